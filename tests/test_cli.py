import json
import re
import subprocess
import sys

import pytest

from ctcascade import __main__ as cli
from ctcascade.counting import count
from ctcascade.data.errors import refuse
from ctcascade.images import detect, verbs
from ctcascade.study import jobs
from tests.support.counts import settings

pytestmark = pytest.mark.workflow

VERBS = [
    "check",
    "detect",
    "gather",
    "classify",
    "crops",
    "compensate",
    "count",
    "simulate",
    "prognose",
    "report",
    "spike",
    "recovery",
    "replicates",
    "validation",
    "calibrate",
    "cohort",
    "exchange",
    "dataset",
    "crate",
    "phantom",
    "warm",
]


def run(*args):
    with pytest.raises(SystemExit) as caught:
        cli.main(args)
    return caught.value.code


def test_every_verb_has_help(capsys):
    assert run("--help") == 0
    text = capsys.readouterr().out
    assert [verb for verb in VERBS if not re.search(rf"^    {verb}\s", text, re.MULTILINE)] == []
    assert "research use only" in text
    for verb in VERBS:
        assert run(verb, "--help") == 0


@pytest.mark.parametrize("args", [[], ["dtect"], ["detect"], ["report"], ["count", "--settings", "{}"]])
def test_a_wrong_command_line_ends_with_2(args, capsys):
    assert run(*args) == 2
    assert "usage: ctcascade" in capsys.readouterr().err


@pytest.mark.parametrize("chunk", ["0/3", "4/3", "1", "a/b", "1/0", "+1/3", "1/3/5"])
def test_a_chunk_is_k_of_n(chunk, capsys):
    args = ["detect", "--settings", "{}", "--base", ".", "--frames", "f", "--cells", "c", "--chunk", chunk]
    assert run(*args) == 2
    assert "is not K/N with 1 <= K <= N" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "expected"),
    [("{", "expected a JSON object"), ("[]", "found list"), ("nil", "expected a JSON object")],
)
def test_settings_that_are_not_an_object_end_with_2_and_one_line(settings, expected, capsys):
    assert run("count", "--settings", settings, "--frames", "f", "--calls", "c", "--out", "o") == 2
    err = capsys.readouterr().err
    assert expected in err
    assert err.count("\n") == 1


def test_settings_reach_the_stage_from_the_command_line_or_a_file(monkeypatch, tmp_path, capsys):
    seen = []
    monkeypatch.setattr(count, "count", lambda *given: seen.append(given))
    args = ["--settings", settings(level=0.9).model_dump_json(), "--frames", "f", "--calls", "c d", "--out", "o"]
    (tmp_path / "args").write_text("\n".join(args) + "\n")
    cli.main(["count", *args])
    cli.main(["count", f"@{tmp_path}/args"])
    assert seen[0] == seen[1]
    assert seen[0][0] == settings(level=0.9)
    assert str(seen[1][2]) == "c d"
    assert run("count", "@gone") == 2
    assert "gone" in capsys.readouterr().err


def test_bad_input_ends_with_2_and_a_bug_keeps_its_traceback(monkeypatch, capsys):
    args = ["gather", "--frames", "f", "--cells", "c", "--out-frames", "of", "--out-cells", "oc"]

    def bad_input(*_):
        refuse("f", "", "a\nb", "c", "d")

    def bug(*_):
        raise KeyError("x")

    monkeypatch.setattr(detect, "gather", bad_input)
    assert run(*args) == 2
    assert capsys.readouterr().err == "f: found a\\u000ab; expected c; d\n"
    monkeypatch.setattr(detect, "gather", bug)
    with pytest.raises(KeyError):
        cli.main(args)


def test_verbs_in_one_process_run_in_turn_and_only_the_first_must_end_well(monkeypatch, capsys):
    done = []

    def count_or_refuse(_, frames, *__):
        if str(frames) == "bad":
            refuse("bad", "", "a", "b", "c")
        done.append(str(frames))

    monkeypatch.setattr(count, "count", count_or_refuse)
    rest = ["--settings", settings().model_dump_json(), "--calls", "c", "--out", "o", "--frames"]
    cli.main(["ahead", "count", *rest, "one", "+", "count", *rest, "two"])
    assert done == ["one", "two"]
    cli.main(["ahead", "count", *rest, "three", "+", "count", *rest, "bad", "+", "count", *rest, "four"])
    assert done[2:] == ["three"]
    assert capsys.readouterr().err == "count is left to its own job: bad: found a; expected b; c\n"
    cli.main(["ahead", "count", *rest, "five", "+", "count"])  # a usage error
    assert run("ahead", "count", *rest, "bad", "+", "count", *rest, "six") == 2
    assert done[3:] == ["five"]


@pytest.mark.parametrize(
    ("frames", "most", "samples", "number"),
    [  # where the number of cores is not known
        *((175, 256, 1, 4), (175, 256, 2, 2), (175, 256, 4, 1), (175, 64, 4, 3), (40, 256, 1, 1), (70, 256, 1, 2)),
        *((2304, 256, 1, 9), (2304, 256, 1000, 9), (5, 2, 1, 3), (1, 256, 1, 1), (0, 256, 1, 0), (175, 256, 0, 4)),
    ],
)
def test_few_samples_are_divided_further_so_that_cores_do_not_wait(frames, most, samples, number):
    assert jobs.number_of_chunks(frames, most, samples) == number


@pytest.mark.parametrize(
    ("samples", "cores", "number"), [(1, 1, 1), (1, 2, 2), (1, 16, 5), (2, 2, 1), (2, 4, 2), (5, 16, 4), (5, 2, 1)]
)
def test_a_sample_is_divided_no_further_than_there_are_cores(samples, cores, number):
    assert jobs.number_of_chunks(175, 256, samples, cores) == number


def test_check_takes_settings_as_snakemake_does(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    assert run("check", "--config", "samples") == 2
    assert "is not NAME=VALUE" in capsys.readouterr().err
    assert run("check", "--configfile", "gone.yaml", "--config", "chunk_frames=0") == 2
    err = capsys.readouterr().err.splitlines()
    assert any(line.startswith("gone.yaml: found no such file") for line in err)
    assert any(line.startswith("--config/--configfile: chunk_frames: found 0") for line in err)


@pytest.mark.workflow
def test_the_stages_of_a_patient_start_without_tables():
    stages = "ctcascade.cascade.simulate, ctcascade.prognosis.prognose, ctcascade.report.patient_page"
    code = f"import sys, {stages}; print([m for m in ('pandas', 'pyarrow', 'cv2', 'numba') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"  # pandas alone takes as long as the cascade of a patient


@pytest.mark.workflow
def test_the_command_starts_fast_and_is_the_module():
    code = "import sys, ctcascade.__main__; print([m for m in ('numpy', 'pandas', 'cv2', 'numba') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert json.loads(out.replace("'", '"')) == []  # a verb imports what it needs, and no more
    version = subprocess.run(
        [sys.executable, "-m", "ctcascade", "--version"], capture_output=True, text=True, check=True
    )
    assert version.stdout.startswith("ctcascade 0.")


def test_progress_is_reported_now_and_then_and_at_the_end(monkeypatch, capsys):
    seconds = iter([0.0, 1.0, 6.0, 7.0, 8.0])
    monkeypatch.setattr(verbs.time, "monotonic", lambda: next(seconds))
    say = verbs.progress_on_stderr()
    for done, cells in ((1, 10), (2, 20), (3, 35), (4, 40)):
        say(done, 4, cells)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == ["2 of 4 frames, 20 cells, 0:00:06 left", "4 of 4 frames, 40 cells, 0:00:00 left"]
