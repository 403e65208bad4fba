"""A few mutants for every reader (`make fuzz` tries 100,000 each), and a check that planted faults are found."""

import pytest

import fuzz

pytestmark = pytest.mark.unit

TARGETS = {target.name: target for target in fuzz.targets()}


@pytest.mark.property
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", TARGETS)
def test_mutants_are_read_or_refused_with_a_message(name, tmp_path):
    cases = 20 if name == "study" else 300
    n_refused, crashes, slowest = fuzz.fuzz(TARGETS[name], cases, seed=2, folder=tmp_path)
    assert crashes == []
    assert slowest < fuzz.SECONDS
    assert n_refused == 0 if name == "header words" else cases * 0.3 < n_refused


@pytest.mark.parametrize("name", TARGETS)
def test_the_unchanged_files_are_read(name, tmp_path):
    target = TARGETS[name]
    for seed in target.seeds:
        (tmp_path / f"S1.R1{target.suffix}").write_bytes(seed)
        target.read(tmp_path / f"S1.R1{target.suffix}")


@pytest.mark.parametrize(
    ("fault", "told"),
    [("1 / 0", "ZeroDivisionError"), ("exit()", "SystemExit"), ("__import__('time').sleep(9)", "TimeoutError")],
)
def test_a_planted_fault_is_found(fault, told, tmp_path, monkeypatch):
    monkeypatch.setattr(fuzz, "SECONDS", 0.1)

    def read(path):
        if b"X" in path.read_bytes():
            eval(fault)

    found = fuzz.fuzz(fuzz.Target("planted", "", [b"aXb"], read), 5, seed=1, folder=tmp_path)
    assert [crash.partition(":")[0] for crash in found[1]] == [told] * len(found[1]) != []


def test_equal_seeds_give_equal_mutants():
    def some(seed):
        rng = fuzz.np.random.default_rng(seed)
        return [fuzz.mutate(rng, [b"abc" * 50], [b"xyz" * 50]) for _ in range(50)]

    assert some(3) == some(3) != some(4)
