"""Pages of hostile content."""

from tests.support import report_cases as cases


def hostile_pages(folder):
    """Write pages whose every free text is hostile."""
    bad = cases.HOSTILE
    long = bad + 10_000 * "x"
    data = cases.counts(bad, bad, note=long, role=bad, assay=bad, reason=bad)
    table = cases.frames(hostile=True)
    cells, calls = cases.cells_and_calls(table)
    calls["reason"] = long
    road = cases.cascade(bad, [bad], outside_the_model=[long], switched_off=[bad], assumptions=[bad])
    lists = {key: [{"evidence_id": bad, "text": long}] for key in ("relative", "negative_findings")}
    outlook = cases.prognosis(bad, reason=long, summary=bad, assumptions=[f"{bad}: {bad}"], **lists)
    outlook["evidence"][0] |= {"citation": long, "population": bad, "era": bad}
    outlook["kinetics"][0] |= {"sample": bad, "earlier_sample": bad, "why_no_category": bad}
    return [
        cases.sample_page(folder / "sample", data, table, (cells, calls)),
        cases.patient_page(folder / "patient", [data], road, outlook, patient=bad, subtype=bad),
        cases.cohort_page(folder / "cohort", [data], [road], [outlook]),
    ]
