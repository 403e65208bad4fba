"""Pages that hold all they show: one for each sample, one for each patient, and the cohort's index."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ctcascade.counting import agreement
from ctcascade.data import store
from ctcascade.data.vocabulary import CALLS, HORIZONS_YEARS
from ctcascade.report import controls as of_controls
from ctcascade.report import follow_up as of_follow_up
from ctcascade.report import index_page as of_cohort
from ctcascade.report import overview as of_overview
from ctcascade.report import patient as of_patient
from ctcascade.report import recovery as of_recovery
from ctcascade.report import sample as of_sample
from ctcascade.report import scatter as of_scatter
from ctcascade.report import tables
from ctcascade.report.axes import Axis
from ctcascade.report.page import Result, anchor, write_page
from ctcascade.report.thumbnails import Pictures, Spot


def report_sample(
    settings: Mapping[str, Any],
    base: Path,
    frames: Path,
    cells: Path,
    calls: Path,
    counts: Path,
    quality: Path,
    out: Path,
    out_operator: Path,
    controls: Sequence[Sequence[Path]] = (),
) -> None:
    """Write a sample's page (count, quality, cells to look at, plots, what the count rests on) and operator.json.

    Parameters
    ----------
    settings : mapping
        ``sample`` and ``patient`` (rows of the sheets), ``assay`` (the assay file), ``max_thumbnails``.
    base : Path
        Folder that the sheet's image paths are relative to.
    frames, cells, calls, counts, quality : Path
        Tables and results of the sample.
    out : Path
        The page.
    out_operator : Path
        JSON to write, as `results.OPERATOR_JSON`: the calls of the scanner's operator beside ours.
    controls : sequence of (Path, Path)
        Counts and quality of the controls of the sample's assay and lot: a failed one speaks against the sample.

    Raises
    ------
    InputError
        If a table or the result cannot be read or lacks a column.
    """
    data, judged = store.read_json(counts, "counts"), store.read_json(quality, "quality")
    against = _doubts([(counts, quality)], controls)
    frame_table, cell_table, call_table = (
        store.read_table(path, kind) for path, kind in ((frames, "frames"), (cells, "cells"), (calls, "calls"))
    )
    cell_table = of_scatter.with_contrast(cell_table)
    found = of_sample.candidates_of(call_table, cell_table)
    pictures = Pictures(settings, base, store.table_provenance(frames)["settings"], cell_table, found)
    longest, marked = settings["max_thumbnails"], of_sample.records(found.head(of_scatter.MARKED))
    single, groups = of_sample.records(found.head(longest)), of_sample.cluster_members(found, longest)
    grid = of_overview.grid_of(frame_table)
    spots = [Spot.around(rows) for rows in [*([row] for row in single), *groups]]
    shots, small = pictures.of(spots, grid.sizes_px if grid else {})
    shown = of_sample.gallery(single, shots[: len(single)], pictures.roles)
    operator = of_sample.operator(pictures.listed, call_table, frame_table, data["limit_of_blank"]["level"])
    read = {"frames": frames, "calls": calls} | {
        f"events_{n}": path for n, (_, path) in enumerate(pictures.listed.events)
    }
    made_by = store.provenance({"sample": settings["sample"]}, read)
    store.write_json(
        out_operator, "operator", of_sample.operator_result(data["sample"], operator) | {"provenance": made_by}
    )
    write_page(
        out,
        "sample.html",
        counts=Result(f"counts/{data['sample']}", data),
        axis=_ruler(data),
        odds=of_sample.reference_odds(data),
        lights=[*of_sample.lights(data, frame_table), of_sample.layout(pictures.listed)],
        quality=Result(f"quality/{data['sample']}", judged),
        doubts=against[data["sample"]],
        frame_lights={light["frame"]: light for light in judged["frames"]},
        strips=of_sample.strips(frame_table),
        frames=of_sample.frame_rows(frame_table),
        found=len(found),
        shown=shown,
        clusters=of_sample.clusters(groups, shots[len(single) :]),
        overview=of_overview.overview(frame_table, grid, small, marked) if grid else None,
        scatters=of_scatter.scatters(
            call_table, cell_table, frame_table, marked, store.table_provenance(calls).get("reference")
        ),
        narrowed=of_sample.NARROWED,
        shown_calls=of_sample.SHOWN_CALLS,
        anchors={anchor(c.call["frame"], c.call["cell"]) for c in shown},
        operator=operator,
        factors=of_sample.factors(data),
        gates=sorted(settings["assay"]["gates"].items()),
        calls_sha256=agreement.calls_hash(call_table),
        verdicts=of_sample.verdicts(data),
        all_calls=CALLS,
    )


def report_patient(
    settings: Mapping[str, Any],
    counts: Sequence[Path],
    quality: Sequence[Path],
    cascade: Path,
    prognosis: Path,
    out: Path,
    controls: Sequence[Sequence[Path]] = (),
) -> None:
    """Write a patient's page: count, change, organs at risk, survival of published groups, evidence, limits.

    Parameters
    ----------
    settings : mapping
        ``patient``: the row of the patient sheet.
    counts, quality : sequence of Path
        counts.json and quality.json of each of the patient's samples, in one order.
    cascade, prognosis : Path
    out : Path
        The page.
    controls : sequence of (Path, Path)
        Counts and quality of the controls of their assays and lots.

    Raises
    ------
    InputError
        If a result cannot be read.
    """
    patient = settings["patient"]
    name = patient["patient"]
    draws = sorted(
        (Result(f"counts/{c['sample']}", c) for c in (store.read_json(path, "counts") for path in counts)),
        key=lambda r: (r.data["collected"], r.data["sample"]),
    )
    against = _doubts(list(zip(counts, quality, strict=True)), controls)
    road = Result(f"cascade/{name}", store.read_json(cascade, "cascade"))
    outlook = Result(f"prognosis/{name}", store.read_json(prognosis, "prognosis"))
    measured = [d for d in draws if d.data["status"] == "ok"]
    latest = measured[-1] if measured else None
    organs = of_patient.organs(road.data)
    write_page(
        out,
        "patient.html",
        patient=patient,
        draws=draws,
        doubts={d.data["sample"]: against[d.data["sample"]] for d in draws if against[d.data["sample"]]},
        measured=len(measured),
        latest=latest,
        axis=_ruler(latest.data) if latest else None,
        timeline=of_patient.timeline(draws, patient.get("therapy_start")),
        cascade=road,
        prognosis=outlook,
        years=HORIZONS_YEARS,
        organs=organs,
        risks={year: of_patient.shades(road.data, year) for year in HORIZONS_YEARS},
        risk_bar=of_patient.risk_bar,
        modalities=sorted({t["modality"] for _, o in organs for t in o["time_to_detectability"]}),
        bars=of_patient.flow_bars(road.data),
        curve=of_patient.survival(outlook.data),
        main=of_patient.main_source(outlook.data),
        studies=of_patient.studies(outlook.data),
        table_months=of_patient.at_months(outlook.data, of_patient.SHOWN_MONTHS),
        earlier_months=of_patient.at_months(outlook.data.get("earlier_curve") or outlook.data, of_patient.SHOWN_MONTHS),
        headline=of_patient.headline(outlook.data),
        people_months=of_patient.at_months(outlook.data, of_patient.PEOPLE_MONTHS),
        people=of_patient.people,
        rows=of_patient.evidence_rows(sorted({*road.data["evidence_ids"], *outlook.data["evidence_ids"]})),
        results=[*draws, road, outlook],
    )


def report_cohort(
    settings: Mapping[str, Any],
    counts: Sequence[Path],
    qualities: Sequence[Path],
    cascades: Sequence[Path],
    prognoses: Sequence[Path],
    out: Path,
    multiqc: Path,
    table: Path,
) -> None:
    """Write the cohort's index: all patients and samples, with links to their pages.

    Parameters
    ----------
    settings : mapping
        ``patients``: the rows of the patient sheet.
    counts, qualities, cascades, prognoses : sequence of Path
        All results.
    out : Path
        The page, beside the folders ``samples/`` and ``patients/``.
    multiqc : Path
        Table of samples and their checks, for MultiQC.
    table : Path
        CSV, a row a sample with its patient's risk.

    Raises
    ------
    InputError
        If a result cannot be read.
    """
    kinds = {"counts": counts, "quality": qualities, "cascade": cascades, "prognosis": prognoses}
    found, judged, roads, outlooks = ([store.read_json(path, kind) for path in paths] for kind, paths in kinds.items())
    store.write_text(multiqc, of_controls.multiqc(found, judged))
    rows = of_cohort.patient_rows(settings["patients"], found, roads, outlooks)
    doubts, quality_of = of_controls.doubts(found, judged), {q["sample"]: q for q in judged}
    exported = {
        "patients": [tables.of_patient(row) for row in rows],
        "samples": [tables.of_sample(c, quality_of[c["sample"]], doubts[c["sample"]]) for c in found],
    }
    store.write_text(table, tables.cohort(exported["samples"], exported["patients"]))
    write_page(
        out,
        "cohort.html",
        patients=rows,
        samples=[Result(f"counts/{c['sample']}", c) for c in found],
        quality=quality_of,
        doubts=doubts,
        csv={name: tables.lines(lines) for name, lines in exported.items()},
        charts=of_controls.charts(found, judged),
        control_words=of_controls.ROLES,
        lost=sum(c["status"] != "ok" for c in found),
        results=[r for row in rows for r in (row.cascade, row.prognosis)],
    )


def report_recovery(settings: Mapping[str, Any], recovery: Path, out: Path) -> None:
    """Write the page of an in-silico spike-in: levels, the line through them, what the assay can take, limits.

    Parameters
    ----------
    settings : mapping
        Nothing is needed.
    recovery : Path
        As `results.RECOVERY_JSON`.
    out : Path
        The page.

    Raises
    ------
    InputError
        If the result cannot be read.
    """
    data = store.read_json(recovery, "recovery")
    found = Result(f"recovery/{data['assay']}", data)
    write_page(
        out, "recovery.html", found=found, plot=of_recovery.plot(data), means=of_recovery.means(data), **settings
    )


def report_follow_up(settings: Mapping[str, Any], cohort: Path, out: Path) -> None:
    """Write the page of a cohort's follow-up: survival by count, the count's weight, foretold beside seen survival.

    Parameters
    ----------
    settings : mapping
        Nothing is needed.
    cohort : Path
        As `results.COHORT_JSON`.
    out : Path
        The page.

    Raises
    ------
    InputError
        If the result cannot be read.
    """
    data = store.read_json(cohort, "cohort")
    plots = [of_follow_up.plot(group) for group in data["groups"]]
    write_page(out, "follow_up.html", found=Result("cohort", data), plots=plots, **settings)


def _doubts(own: Sequence[Sequence[Path]], controls: Sequence[Sequence[Path]]) -> dict[str, list[str]]:
    """Return by sample what speaks against it, from counts and quality of the samples and of their runs' controls."""
    counts, quality = zip(*own, *controls, strict=True)
    return of_controls.doubts(
        [store.read_json(path, "counts") for path in counts], [store.read_json(path, "quality") for path in quality]
    )


def _ruler(counts: Mapping[str, Any]) -> Axis | None:
    """Return the axis from zero on which an estimate is drawn with its interval."""
    interval = counts["ctc_per_7_5_ml"]
    return Axis(0, 1.08 * interval["high"], 8, 312) if interval else None
