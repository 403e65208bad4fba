"""What more blood, cells and clusters may do to a risk: for any cancer, setting, assays, days, therapies and removal.

One cell more lowers no organ, one cluster more lowers none and multiplies none by more than patients show, names and
order are without effect, a tube split in two says what the whole said, and with ever less blood without a cell the risk
rises to that of any such patient.
"""

import datetime
import itertools
import math

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ctcascade.cascade.simulate import assess
from ctcascade.data.results import Counts
from ctcascade.data.vocabulary import NOT_METASTATIC, ONE_SEX, SETTINGS, SUBTYPES
from tests.support import report_cases
from tests.support.cascades import job

pytestmark = pytest.mark.property

LATEST = datetime.date(2026, 1, 10)
DRAWS = 100
OF_A_CLUSTER = 3.32 / 2.21
"""By how much a hazard with clusters was higher at the same count, at most, in patients (CL03)."""


def factor(mean, low, high):
    return {"mean": mean, "low": low, "high": high, "kind": "assumption", "source": "made up"}


ASSAYS = {
    "cellsearch": {"recovery": factor(0.8, 0.535, 0.967), "background_per_7_5_ml": factor(0.12, 0.01, 1.0)},
    "hdsca": {"recovery": factor(0.7, 0.3, 0.95), "background_per_7_5_ml": factor(5.0, 0.2, 60.0)},
    "exact": {
        "recovery": factor(0.55, 0.35, 0.75),
        "background_per_7_5_ml": factor(0, 0, 0),
        "tube_to_tube": factor(1.0, 0.75, 1.33),
    },
}
KINDS = [(p, s) for p, words in SETTINGS.items() if p not in ("none", "other") for s in words]


@st.composite
def tubes(draw):
    """Draw one tube: assay, day, volume, the probabilities of its cells in doubt, and the sizes of its clusters."""
    n_ctc = draw(st.sampled_from([0, 1, 2, 3, 5, 8, 20, 60, 200]))
    sizes, left = [], n_ctc
    for size in draw(st.lists(st.integers(2, 6), max_size=3)):
        if size <= left:
            sizes, left = [*sizes, size], left - size
    sure = st.floats(0.51, 1.0).map(lambda p: round(p, 2))
    unsure = st.lists(st.floats(0.05, 0.49).map(lambda p: round(p, 2)), max_size=8)
    in_doubt = n_ctc <= 20 and draw(st.booleans())
    candidates = [*draw(st.lists(sure, min_size=n_ctc, max_size=n_ctc)), *draw(unsure)] if in_doubt else []
    return {
        "assay": draw(st.sampled_from(sorted(ASSAYS))),
        "days": draw(st.integers(-900, 0)),
        "ml": draw(st.sampled_from([15.0, 7.5, 3.0, 1.0, 0.3])),
        "drawn": draw(st.sampled_from([None, None, "before", "after"])),
        "n_ctc": n_ctc,
        "candidates": candidates,
        "sizes": sizes,
    }


def day(days):
    return (LATEST + datetime.timedelta(days=days)).isoformat()


@st.composite
def patients(draw, *, imaged=False):
    """Draw what the sheet says of a patient, and up to three tubes; one where imaging is known."""
    primary, setting = draw(st.sampled_from(KINDS))
    about = {"primary": primary, "setting": setting, "sex": ONE_SEX.get(primary) or draw(st.sampled_from(["male"]))}
    if primary in SUBTYPES:
        about["subtype"] = draw(st.sampled_from([None, *SUBTYPES[primary]]))
    if draw(st.booleans()):
        about["resected"] = day(draw(st.integers(-1500, 400)))
    start = draw(st.integers(-600, 200))
    rates = draw(st.sampled_from(["", "growth=0.4,shedding=0.5", "growth=0.1"]))
    end = draw(st.sampled_from(["", day(start + 150)]))
    if draw(st.booleans()):
        about["therapies"] = f"chemotherapy:{day(start)}:{end}:{rates}"
    if not imaged:
        return about, draw(st.lists(tubes(), min_size=1, max_size=3))
    scans = st.tuples(
        st.integers(-300, 300),
        st.sampled_from(["CT:liver", "CT:lung", "MRI:brain", "bone_scan:bone"]),
        st.integers(0, 1),
    )
    found = {scan: (days, lesions) for days, scan, lesions in draw(st.lists(scans, min_size=1, max_size=2))}
    tube = draw(tubes())
    about["imaging"] = ";".join(f"{day(tube['days'] + d)}:{scan}={n}" for scan, (d, n) in found.items())
    return about, [tube]


def counts(tube, name):
    """Return the counts of a tube as the stage that counts writes them."""
    sizes = {str(size): tube["sizes"].count(size) for size in tube["sizes"]}
    candidates = [{"p_ctc": p, "n": tube["candidates"].count(p)} for p in sorted(set(tube["candidates"]))]
    return Counts.model_validate(
        report_cases.counts(
            name,
            n_ctc=tube["n_ctc"],
            collected=day(tube["days"]),
            drawn=tube["drawn"],
            assay=tube["assay"],
            blood_volume_ml=tube["ml"],
            imaged_fraction=1.0,
            n_clusters=len(tube["sizes"]),
            cluster_sizes=sizes,
            n_uncertain=sum(p < 0.5 for p in tube["candidates"]),
            candidates=candidates,
            sensitivity=factor(0.93, 0.76, 0.998),
            **ASSAYS[tube["assay"]],
        )
    )


def risks(about, samples, names="ABCD"):
    """Return the mean risks of all organs and of any, by horizon."""
    read = [counts(tube, name) for tube, name in zip(samples, names, strict=False)]
    found = assess(job(draws=DRAWS, **about), read, {}, read[0].provenance)
    by_organ = {(o.organ, years): band.mean for o in found.organs for years, band in o.p_metastasis.items()}
    return by_organ | {("any", years): band.mean for years, band in found.p_any.items()}


def more_cells(tube, n):
    certain = [*tube["candidates"], *[0.99] * n] if tube["candidates"] else []
    return {**tube, "n_ctc": tube["n_ctc"] + n, "candidates": certain}


def falls(before, after, about):
    """Return the risks that fall; after a removal by more than one part in 500, as several curves stand for one."""
    least = 1 - 2e-3 if about["setting"] in NOT_METASTATIC and about.get("resected", "9") < day(0) else 1
    return {key: (before[key], after[key]) for key in before if after[key] < least * before[key] - 1e-9}


tried = settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],  # a case is small already, and takes seconds
    derandomize=True,
)


@pytest.mark.parametrize("n", [1, 10])
@tried
@given(patients(), st.integers(0, 2))
def test_one_cell_more_lowers_no_organ(n, patient, which):
    about, samples = patient
    more = [more_cells(tube, n) if i == which % len(samples) else tube for i, tube in enumerate(samples)]
    assert not falls(risks(about, samples), risks(about, more), about)


@tried
@given(patients(imaged=True), st.sampled_from([1, 10, 100]))
def test_one_cell_more_lowers_no_organ_whatever_imaging_found(patient, n):
    about, (tube,) = patient
    assert not falls(risks(about, [tube]), risks(about, [more_cells(tube, n)]), about)


@tried
@given(patients(), st.integers(0, 2), st.integers(2, 8))
def test_one_cluster_more_lowers_no_organ_and_weighs_no_more_than_in_patients(patient, which, size):
    about, samples = patient
    tube = samples[which % len(samples)]
    singles = tube["n_ctc"] - sum(tube["sizes"])
    if singles < size:
        tube = {**more_cells(tube, size - singles)}
    before = [tube if i == which % len(samples) else other for i, other in enumerate(samples)]
    after = [{**t, "sizes": [*t["sizes"], size]} if t is tube else t for t in before]
    without, with_it = risks(about, before), risks(about, after)
    assert not falls(without, with_it, about)
    for key, risk in without.items():
        assert math.log1p(-min(with_it[key], 1 - 1e-12)) >= OF_A_CLUSTER * math.log1p(-min(risk, 1 - 1e-12)) - 1e-9


@tried
@given(patients(), st.permutations([0, 1, 2]))
def test_names_and_order_are_without_effect(patient, order):
    about, samples = patient
    moved = [samples[i] for i in order if i < len(samples)]
    assert risks(about, moved, names="ZYX") == risks(about, samples)


@tried
@given(patients(), st.floats(0.1, 0.9), st.floats(0, 1))
def test_a_tube_split_in_two_says_what_the_whole_said(patient, blood, cells):
    about, samples = patient
    whole = {**samples[0], "candidates": [], "sizes": []}
    first = round(cells * whole["n_ctc"])
    parts = [
        {**whole, "n_ctc": first, "ml": whole["ml"] * blood},
        {**whole, "n_ctc": whole["n_ctc"] - first, "ml": whole["ml"] * (1 - blood)},
    ]
    expected = risks(about, [whole, *samples[1:]])
    assert risks(about, [*parts, *samples[1:]]) == pytest.approx(expected, abs=1e-6)


@tried
@given(patients())
def test_with_ever_less_blood_without_a_cell_the_risk_rises_to_that_of_any_such_patient(patient):
    about, samples = patient
    empty = {**samples[0], "n_ctc": 0, "candidates": [], "sizes": []}
    found = [risks(about, [{**empty, "ml": ml}]) for ml in (7.5, 1.0, 0.1, 0.01, 1e-4)]
    for more_blood, less in itertools.pairwise(found):
        assert not falls(more_blood, less, about)
    assert list(found[-1].values()) == pytest.approx(list(found[-2].values()), abs=0.05)
