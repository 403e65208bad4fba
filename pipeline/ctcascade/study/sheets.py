"""The study that a run is about: settings, sheets and assays, checked together before any work starts."""

import datetime
import functools
import math
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from ctcascade.data.errors import Fault, InputError, plain, refuse_all
from ctcascade.data.vocabulary import AT_LEAST, CONTROLS, IMAGING, MARKERS, ORGANS, ROLES, SETTINGS, SUBTYPES
from ctcascade.study import privacy, reviews, scenarios, text_files
from ctcascade.study.text_files import Row


class Listing(Protocol):
    """What a look into the images of a sample finds beside its frames."""

    @property
    def ignored(self) -> tuple[str, ...]:
        """Names of files and folders that are no frames."""


Look = Callable[[str, Path, str, dict[str, Any]], Listing]

_COMMAND_LINE = "--config/--configfile"
_STAGES = (
    *("detect", "classify", "crops", "count", "quality", "operator", "controls"),
    *("simulate", "prognose", "report", "spike", "recovery", "cohort"),
)
_FOLLOW_UP = ("event", "time_months")
_DAYS_PER_MONTH = 365.25 / 12
_NAMED = 10  # ignored files that a note names; the number says how many there are
_RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}
FACTORS = ("recovery", "sensitivity", "background_per_7_5_ml", "reference_equivalent", "tube_to_tube")


@dataclass(frozen=True)
class Study:
    """All that the user gave, checked.

    Parameters
    ----------
    config : dict
        Every setting, as in config/config.yaml.
    samples, patients, assays : dict of str to dict
        By name, in the order of the sheet; an empty cell is None. Of a sample, ``images`` is as in the sheet,
        ``blood_volume_ml`` the sum of its parts, and ``format`` and ``sampled_fraction`` have their defaults. Of an
        assay, everything in its file.
    base : Path
        The sample sheet's folder, which image paths are relative to.
    notes : tuple of str
        What is no fault but should be known.
    reviews : dict of str to list of Path
        Reviewers' files by sample, for samples that have any.
    """

    config: dict[str, Any]
    samples: dict[str, dict[str, Any]]
    patients: dict[str, dict[str, Any]]
    assays: dict[str, dict[str, Any]]
    base: Path
    notes: tuple[str, ...] = ()
    reviews: dict[str, list[Path]] = field(default_factory=dict)
    what_if: Path | None = None

    def samples_of(self, patient: str) -> list[str]:
        """Return the patient's samples, the earliest first (of one day: in the sheet's order)."""
        own = [name for name, row in self.samples.items() if row["patient"] == patient]
        return sorted(own, key=lambda name: self.samples[name]["collected"])

    def controls_of(self, samples: Sequence[str]) -> list[str]:
        """Return the control samples of the runs (assay and lot) that samples belong to, themselves left out."""
        runs = dict.fromkeys(_run(self.samples[name]) for name in samples)
        return [name for run in runs for name in self._controls.get(run, []) if name not in samples]

    @property
    def controls(self) -> list[str]:
        """Return all control samples, in the sheet's order."""
        return [name for name, row in self.samples.items() if row["role"] in CONTROLS]

    def healthy_of(self, assay: str) -> list[str]:
        """Return the samples of healthy donors that were made with an assay."""
        return [name for name, row in self.samples.items() if row["role"] == "healthy" and row["assay"] == assay]

    @property
    def followed(self) -> list[str]:
        """Return the patients with a tumour and follow-up, in the sheet's order."""
        return [n for n, row in self.patients.items() if row["event"] is not None and row["primary"] != "none"]

    @functools.cached_property
    def _controls(self) -> dict[tuple[str, str], list[str]]:
        found: dict[tuple[str, str], list[str]] = {}
        for name, row in self.samples.items():
            if row["role"] in CONTROLS:
                found.setdefault(_run(row), []).append(name)
        return found


def _run(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["assay"], row["lot"] or ""


def read_study(configfiles: Sequence[Path], overrides: Mapping[str, Any], look: Look | None = None) -> Study:
    """Return the study that configuration files describe, after checking all of it.

    Parameters
    ----------
    configfiles : sequence of Path
        YAML files of settings; a later one overrides an earlier one, setting by setting. A relative path in them is
        looked up in the working folder, and where it is not there beside the folder of the first of these files.
    overrides : mapping
        Settings over those of the files; text is read as the type that the setting has.
    look : callable, optional
        Called with the images, base folder, format and assay (as in the settings of detect) of each sample that is
        sound so far; its `InputError` is collected too (a folder without one image), and what it ignored is noted.

    Raises
    ------
    InputError
        With every fault of the settings, the sheets, the assay files and the reviews.
    """
    faults: list[Fault] = []
    config = _config(configfiles, overrides, faults)
    home = Path(configfiles[0]).parent.parent if configfiles else Path()

    def place(setting: str, of: str | None = None) -> Path | None:
        section = config.get(of) if of else config
        named = section.get(setting) if isinstance(section, dict) else None
        if not isinstance(named, str):
            return None
        return Path(named) if os.path.exists(named) or not os.path.exists(home / named) else home / named

    sheet, patient_sheet, assay_folder = place("samples"), place("patients"), place("assays")
    samples = text_files.read_sheet(sheet, "samples", faults) if sheet else []
    patients = text_files.read_sheet(patient_sheet, "patients", faults) if patient_sheet else []
    assays = _assays(assay_folder, sheet, samples, faults) if assay_folder and sheet else {}
    if sheet:
        faults += _sample_faults(sheet, samples)
    if patient_sheet:
        faults += _patient_faults(patient_sheet, patients)
    notes = _looked_into(look, sheet.parent, samples, assays, faults) if sheet and look else []
    if sheet and patient_sheet and patients:
        faults += _samples_without_patient(sheet, patient_sheet, samples, patients)
        faults += _draws_before_diagnosis(sheet, samples, patients)
        faults += _draws_after_follow_up(sheet, samples, patients)
    review_folder, names = place("reviews"), [row.cells["sample"] for row in samples if row.cells["sample"]]
    by_sample, unused = reviews.find(review_folder, names, faults) if review_folder else ({}, [])
    what_if = place("what_if", "simulate")
    if what_if:
        scenarios.check(what_if, faults)
    files = list(dict.fromkeys(fault.file for fault in faults))
    refuse_all(sorted(faults, key=lambda fault: files.index(fault.file)))
    assert sheet is not None
    named = {row.cells["patient"]: row.cells for row in patients}
    with_samples = {row.cells["patient"] for row in samples}
    rows = {row.cells["sample"]: _plain_sample(row.cells) for row in samples}
    return Study(
        config,
        rows,
        {
            name: {**cells, "setting": cells["setting"] or "none"}
            for name, cells in named.items()
            if name in with_samples
        },
        assays,
        sheet.parent,
        (
            *(f"{patient_sheet}: {name} has no sample and no report" for name in named if name not in with_samples),
            *notes,
            *unused,
            *privacy.in_rows(str(sheet), rows, ("sample", "patient", "images", "lot", "tube", "note")),
        ),
        by_sample,
        what_if,
    )


class Scan(NamedTuple):
    """What one scan found in one organ."""

    date: datetime.date
    modality: str
    organ: str
    lesions: int


def read_imaging(text: str | None) -> list[Scan]:
    """Return the findings of the patient sheet's cell (``2026-05-01:CT:liver=2,lung=0;...``), the earliest first.

    Raises
    ------
    ValueError
        If the text is none, or names an organ twice in a scan; the modality is not looked at.
    """
    found = []
    for scan in text.split(";") if text else []:
        day, modality, organs = scan.strip().split(":")
        if len(day) != 10:
            raise ValueError(day)
        date = datetime.date.fromisoformat(day)
        named = [part.strip().partition("=")[::2] for part in organs.split(",")]
        if len(dict(named)) < len(named):
            raise ValueError(organs)
        for organ, n in named:
            if organ not in ORGANS or not (n.isascii() and n.isdigit() and len(n) <= 3):
                raise ValueError(organ)
            found.append(Scan(date, _spelt(modality), organ, int(n)))
    return sorted(found, key=lambda s: (s.date, s.modality, s.organ))


def _spelt(modality: str) -> str:
    """Return a modality as `IMAGING` spells it, or as it stands."""
    return {m.casefold(): m for m in IMAGING}.get(modality.strip().replace(" ", "_").casefold(), modality)


def settings_for(
    study: Study, verb: str, sample: str | None = None, patient: str | None = None, assay: str | None = None
) -> dict[str, Any]:
    """Return the settings of one job: what the stage may know, and nothing that only another stage needs.

    Parameters
    ----------
    study : Study
    verb : {"detect", "classify", "crops", "count", "quality", "operator", "controls", "simulate", "prognose", "report",
        "spike", "recovery", "cohort"}
    sample, patient, assay : str, optional
        What the job is about; a report is about a sample, a patient, or with neither the cohort. An assay's is a
        spike-in of it. A cohort is that of the patients with a tumour and follow-up.

    Returns
    -------
    dict
        JSON types.
    """
    assert verb in _STAGES
    # the file of scenarios is an input of its rule: its place is no setting of the stage
    section = study.config[{"spike": "recovery", "crops": "report"}.get(verb, verb)]
    own = {name: value for name, value in section.items() if name != "what_if"}
    if assay is not None:
        return {**_about_spike_in(study, verb, assay), **own}
    if sample is not None:
        return {**_about_sample(study, verb, sample), **own}
    if patient is not None:
        about: dict[str, Any] = {"patient": _unforeseen(study.patients[patient])}
        if verb != "report":
            about["random_seed"] = study.config["random_seed"]
        return {**about, **own}
    if verb == "controls":
        return own
    if verb == "cohort":
        kept = ("patient", "primary", "setting", *_FOLLOW_UP)
        followed = [
            {**{key: study.patients[name][key] for key in kept}, "sample": study.samples_of(name)[0]}
            for name in study.followed
        ]
        return {"patients": followed, "random_seed": study.config["random_seed"], **own}
    patients = [_unforeseen(row) for row in study.patients.values()]
    return {"patients": patients, "samples": list(study.samples.values()), **own}


def _about_sample(study: Study, verb: str, sample: str) -> dict[str, Any]:
    row = study.samples[sample]
    name, assay = row["assay"], study.assays[row["assay"]]
    if verb in ("detect", "crops", "operator"):
        images = {"sample": sample, "images": row["images"], "format": row["format"]}
        level = {"level": study.config["count"]["level"]} if verb == "operator" else {}
        return {**images, "assay": {"name": name, **_camera(assay)}, **level}
    if verb == "classify":
        return {"sample": sample, "assay": {"name": name, **_judged_by(assay)}}
    if verb == "count":
        kept = ("patient", "collected", "role", "note", "blood_volume_ml", "sampled_fraction")
        factors = {factor: assay.get(factor) for factor in FACTORS}
        markers = _where_any("markers", assay.get("markers", {}))
        return {"sample": sample, **{key: row[key] for key in kept}, "assay": {"name": name, **factors, **markers}}
    if verb == "quality":
        return {"sample": {key: row[key] for key in ("sample", "lot", "tube", "hours_to_processing")}}
    # a report shows the whole assay, without the {value, source} around each value
    values = {key: _value(given) for key, given in assay.items()}
    values["gates"] = {gate: _value(given) for gate, given in assay["gates"].items()}
    return {"sample": row, "patient": _unforeseen(study.patients[row["patient"]]), "assay": {"name": name, **values}}


def _unforeseen(patient: Mapping[str, Any]) -> dict[str, Any]:
    """Return a patient's row without the outcome, which no stage may know that foretells it."""
    return {key: value for key, value in patient.items() if key not in _FOLLOW_UP}


def _about_spike_in(study: Study, verb: str, name: str) -> dict[str, Any]:
    assay = study.assays[name]
    if verb == "detect":
        return {"sample": name, "images": ".", "format": "ome-tiff", "assay": {"name": name, **_camera(assay)}}
    if verb == "classify":
        return {"sample": name, "assay": {"name": name, **_judged_by(assay)}}
    seed = {"random_seed": study.config["random_seed"]}
    if verb == "recovery":
        return {"assay": {"name": name, "file": assay}, **seed}
    kept = ("sample", "images", "format", "blood_volume_ml", "sampled_fraction")
    healthy = [study.samples[sample] for sample in study.healthy_of(name)]
    return {
        "assay": {"name": name, **_camera(assay)},
        "samples": [{key: row[key] for key in kept} for row in healthy],
        "detect": study.config["detect"],
        **seed,
    }


def _judged_by(assay: Mapping[str, Any]) -> dict[str, Any]:
    gates = {gate: given["value"] for gate, given in assay["gates"].items()}
    limits = ("place", "min_z", "min_nucleus_ratio")
    markers = assay.get("markers", {}).items()
    judged = {role: {key: _value(given[key]) for key in limits if key in given} for role, given in markers}
    return {"gates": gates, **_where_any("markers", judged)}


def _where_any(key: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: values} if values else {}


def _camera(assay: dict[str, Any]) -> dict[str, Any]:
    values = {key: assay[key]["value"] for key in ("pixel_size_um", "frame_px", "bit_depth")}
    return {"channels": assay["channels"], "files": assay["files"], **values}


def _value(given: Any) -> Any:
    return given["value"] if isinstance(given, dict) and set(given) == {"value", "source"} else given


def _config(configfiles: Sequence[Path], overrides: Mapping[str, Any], faults: list[Fault]) -> dict[str, Any]:
    by = text_files.schema("config")
    given = [(str(path), text_files.read_yaml(Path(path), faults)) for path in configfiles]
    given.append((_COMMAND_LINE, _typed(overrides, by)))
    config: dict[str, Any] = {}
    before = len(faults)
    for source, settings in given:
        faults += text_files.check(settings, by, source, partial=True)
        config = _merged(config, settings)
    if len(faults) == before:
        faults += text_files.check(config, by, given[0][0])
    if len(faults) == before:
        faults += _contradictions(config, given[0][0])
    return config


def _typed(value: Any, by: Mapping[str, Any]) -> Any:
    """Read text as the schema's type: Snakemake hands on what stands inside `--config x='{...}'` as text."""
    if isinstance(value, Mapping):
        properties = by.get("properties", {})
        return {str(key): _typed(item, properties.get(key, {})) for key, item in value.items()}
    if isinstance(value, list):
        return [_typed(item, by.get("items", {})) for item in value]
    return text_files.typed(value, by) if isinstance(value, str) else value


def _merged(under: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    both = dict(under)
    for key, value in over.items():
        below = both.get(key)
        both[key] = _merged(below, value) if isinstance(below, dict) and isinstance(value, Mapping) else value
    return both


def _contradictions(config: dict[str, Any], file: str) -> list[Fault]:
    faults = []
    low, high = config["detect"]["nucleus_diameter_um"]
    if low >= high:
        wanted = "the smallest, then the largest diameter"
        faults.append(Fault(file, "detect.nucleus_diameter_um", f"[{low}, {high}]", wanted, "swap or mend them"))
    uncertain, call = config["classify"]["p_ctc_uncertain"], config["classify"]["p_ctc_call"]
    if uncertain > call:
        wanted = f"at most p_ctc_call, {call}"
        faults.append(Fault(file, "classify.p_ctc_uncertain", str(uncertain), wanted, "lower it, or raise p_ctc_call"))
    levels = config["recovery"]["levels"]
    if len(set(levels)) < 3:
        found, wanted = f"{len(set(levels))} different numbers", "three or more, for a line with its spread"
        faults.append(Fault(file, "recovery.levels", found, wanted, "add levels"))
    frame = {f"frame.{check}": limits for check, limits in config["quality"]["frame"].items()}
    for check, limits in {**config["quality"], **frame}.items():
        if check != "frame" and None not in limits:
            low, high = reversed(limits) if check.rpartition(".")[2] in AT_LEAST else limits
            if low > high:
                wanted = "the limit that warns, then one that is not easier to pass: [warn, fail]"
                faults.append(Fault(file, f"quality.{check}", str(limits), wanted, "swap or mend them"))
    return faults


def _plain_sample(cells: dict[str, Any]) -> dict[str, Any]:
    return {
        **cells,
        "images": ";".join(cells["images"]),
        "blood_volume_ml": math.fsum(cells["blood_volume_ml"]),
        "format": cells["format"] or "auto",
        "sampled_fraction": 1.0 if cells["sampled_fraction"] is None else cells["sampled_fraction"],
    }


def _sample_faults(sheet: Path, rows: list[Row]) -> list[Fault]:
    faults = _name_faults(sheet, "sample", rows)
    for row in rows:
        at = f"line {row.line}, {plain(row.cells['sample'])}"
        if row.cells["images"]:
            faults += _image_faults(sheet, at, row.cells["images"])
        if row.sound:
            faults += _volume_faults(str(sheet), at, row.cells["images"], row.cells["blood_volume_ml"])
    return faults


def _image_faults(sheet: Path, at: str, images: list[str]) -> list[Fault]:
    wanted, todo = f"a folder or file of images, relative to {sheet.parent}", "mend the path or bring the images"
    return [
        Fault(str(sheet), f"{at}, images", f"{plain(part)}, which is not there", wanted, todo)
        for part in images
        if not part.isprintable() or not (os.path.isdir(sheet.parent / part) or os.path.isfile(sheet.parent / part))
    ]


def _looked_into(
    look: Look, base: Path, rows: list[Row], assays: dict[str, dict[str, Any]], faults: list[Fault]
) -> list[str]:
    notes = []
    for cells in (row.cells for row in rows if row.sound and row.cells["assay"] in assays):
        if all(os.path.exists(base / part) for part in cells["images"]):
            about = {"name": cells["assay"], **_camera(assays[cells["assay"]])}
            try:
                ignored = look(";".join(cells["images"]), base, cells["format"] or "auto", about).ignored
            except InputError as error:
                faults.extend(error.faults)
                continue
            if ignored:
                some = ", ".join(map(plain, ignored[:_NAMED])) + (" ..." if len(ignored) > _NAMED else "")
                notes.append(f"{cells['sample']}: {len(ignored)} beside the frames, ignored: {some}")
    return notes


def _volume_faults(file: str, at: str, images: list[str], volumes: list[float]) -> list[Fault]:
    faults = []
    if len(volumes) not in (1, len(images)):
        wanted = f"1 number, or {len(images)} as in images"
        faults.append(Fault(file, f"{at}, blood_volume_ml", f"{len(volumes)} numbers", wanted, "mend the volumes"))
    if math.fsum(volumes) >= 1000:
        wanted = "parts that add up to less than 1000 mL"
        faults.append(Fault(file, f"{at}, blood_volume_ml", f"{math.fsum(volumes):g}", wanted, "mend the volumes"))
    return faults


def _name_faults(sheet: Path, column: str, rows: list[Row]) -> list[Fault]:
    faults = []
    names = [(row.line, row.cells[column]) for row in rows if row.cells[column]]
    times = Counter(name.lower() for _, name in names)
    for line, name in names:
        at = f"line {line}, {column}"
        if times[name.lower()] > 1:  # the results of both would go into one folder where case does not count
            wanted = f"each {column} once, capitals or not"
            faults.append(Fault(str(sheet), at, f"{plain(name)} more than once", wanted, "rename or remove one"))
        if name.lower().split(".")[0] in _RESERVED:
            wanted = "a name that every file system can hold"
            faults.append(Fault(str(sheet), at, name, wanted, "choose another name"))
    return faults


def _patient_faults(sheet: Path, rows: list[Row]) -> list[Fault]:
    faults = _name_faults(sheet, "patient", rows)
    for row in rows:
        faults += _clinical_faults(str(sheet), f"line {row.line}, {plain(row.cells['patient'])}", row.cells)
    return faults


def _clinical_faults(file: str, at: str, cells: dict[str, Any]) -> list[Fault]:
    primary, setting, subtype = (cells[key] for key in ("primary", "setting", "subtype"))
    faults = [
        *_imaging_faults(file, at, cells["imaging"]),
        *_therapies_faults(file, at, cells),
        *_time_faults(file, at, cells),
    ]
    if primary is None:
        return faults
    if primary not in SETTINGS:
        return [*faults, _not_one_of(file, f"{at}, primary", primary, tuple(SETTINGS))]
    if setting is None and primary != "none":
        todo = f"name one of {', '.join(SETTINGS[primary])}"
        faults.append(Fault(file, f"{at}, setting", "nothing", f"the clinical setting of {primary}", todo))
    elif setting is not None and setting not in SETTINGS[primary]:
        faults.append(_not_one_of(file, f"{at}, setting", setting, SETTINGS[primary], f" for {primary}"))
    if subtype is not None and subtype not in SUBTYPES.get(primary, ()):
        faults.append(_not_one_of(file, f"{at}, subtype", subtype, SUBTYPES.get(primary, ()), f" for {primary}"))
    return faults


def _imaging_faults(file: str, at: str, imaging: str | None) -> Iterator[Fault]:
    try:
        scans = read_imaging(imaging)
    except ValueError:
        wanted = "DATE:MODALITY:ORGAN=LESIONS,... with organs of " + ", ".join(ORGANS)
        yield Fault(file, f"{at}, imaging", plain(imaging), wanted, "write it like 2026-05-01:CT:liver=2,lung=0")
        return
    for modality in dict.fromkeys(scan.modality for scan in scans if scan.modality not in IMAGING):
        yield _not_one_of(file, f"{at}, imaging", modality, IMAGING)


def _therapies_faults(file: str, at: str, cells: dict[str, Any]) -> Iterator[Fault]:
    try:
        therapies = scenarios.read_therapies(cells["therapies"])
    except ValueError:
        acts = "; ".join(f"{kind} on {', '.join(rates)}" for kind, rates in scenarios.ACTS_ON.items())
        wanted = f"CLASS:START:END:RATE=VALUE,... with {acts}; shedding and growth up to 1"
        todo = "write it like chemotherapy:2026-05-20:2026-08-20:shedding=0.4,growth=0.4"
        yield Fault(file, f"{at}, therapies", plain(cells["therapies"]), wanted, todo)
        return
    first = therapies[0].start.isoformat() if therapies else None
    if first and cells["diagnosed"] and first < cells["diagnosed"]:
        yield Fault(
            file, f"{at}, therapies", first, f"a day from the diagnosis on, {cells['diagnosed']}", "mend a date"
        )


def _time_faults(file: str, at: str, cells: dict[str, Any]) -> Iterator[Fault]:
    """Yield therapy or removal before the diagnosis, and follow-up of which only a half is given."""
    diagnosed = cells["diagnosed"]
    for column in ("therapy_start", "resected"):
        if diagnosed and cells[column] and cells[column] < diagnosed:
            wanted = f"a day from the diagnosis on, {diagnosed}"
            yield Fault(file, f"{at}, {column}", cells[column], wanted, "mend a date")
    if (cells["event"] is None) != (cells["time_months"] is None):
        missing = "event" if cells["event"] is None else "time_months"
        wanted = "event and time_months together"
        yield Fault(file, f"{at}, {missing}", "nothing", wanted, "fill it, or empty the other")


def _not_one_of(file: str, at: str, found: str, known: tuple[str, ...], of: str = "") -> Fault:
    if not known:
        return Fault(file, at, plain(found), f"an empty cell{of}", "empty the cell")
    wanted = f"one of {', '.join(known)}{of}"
    return Fault(file, at, plain(found), wanted, text_files.nearest(found, list(known), "choose one of them"))


def _samples_without_patient(
    sheet: Path, patient_sheet: Path, samples: list[Row], patients: list[Row]
) -> Iterator[Fault]:
    known = [row.cells["patient"] for row in patients if row.cells["patient"]]
    for row in samples:
        patient = row.cells["patient"]
        if patient and patient not in known:
            at = f"line {row.line}, {plain(row.cells['sample'])}, patient"
            todo = text_files.nearest(patient, known, "add the row or mend the name")
            yield Fault(str(sheet), at, plain(patient), f"a patient with a row in {patient_sheet}", todo)


def _draws_before_diagnosis(sheet: Path, samples: list[Row], patients: list[Row]) -> Iterator[Fault]:
    diagnosed = {row.cells["patient"]: row.cells["diagnosed"] for row in patients if row.sound}
    for row in (row for row in samples if row.sound):
        day = diagnosed.get(row.cells["patient"])
        if day and row.cells["collected"] < day:
            at = f"line {row.line}, {plain(row.cells['sample'])}, collected"
            wanted = f"a day from the patient's diagnosis on, {day}"
            yield Fault(str(sheet), at, row.cells["collected"], wanted, "mend one of the dates")


def _draws_after_follow_up(sheet: Path, samples: list[Row], patients: list[Row]) -> Iterator[Fault]:
    """Yield draws later than death or last contact: a month's grace, for times in whole months."""
    ends = {row.cells["patient"]: row.cells["time_months"] for row in patients if row.sound}
    drawn = [row for row in samples if row.sound and ends.get(row.cells["patient"]) is not None]
    first: dict[str, datetime.date] = {}
    for row in drawn:
        day = datetime.date.fromisoformat(row.cells["collected"])
        first[row.cells["patient"]] = min(day, first.get(row.cells["patient"], day))
    for row in drawn:
        patient = row.cells["patient"]
        later = (datetime.date.fromisoformat(row.cells["collected"]) - first[patient]).days / _DAYS_PER_MONTH
        if later > ends[patient] + 1:
            at = f"line {row.line}, {plain(row.cells['sample'])}, collected"
            found = f"{row.cells['collected']}, {later:.1f} months after the patient's first draw"
            wanted = f"a draw before the follow-up ends, time_months {ends[patient]:g}"
            todo = "mend a date, or time_months (months from the first draw to death or last contact)"
            yield Fault(str(sheet), at, found, wanted, todo)


def _assays(folder: Path, sheet: Path, samples: list[Row], faults: list[Fault]) -> dict[str, dict[str, Any]]:
    known = sorted(path.stem for path in folder.glob("*.yaml")) if os.path.isdir(folder) else []
    used = {row.cells["assay"]: None for row in samples if row.cells["assay"]}
    for row in samples:
        name = row.cells["assay"]
        if name and name not in known:
            at = f"line {row.line}, {plain(row.cells['sample'])}, assay"
            todo = text_files.nearest(name, known, "choose one of them or write its file")
            wanted = f"an assay of {folder}: {', '.join(known) or 'none is there'}"
            faults.append(Fault(str(sheet), at, plain(name), wanted, todo))
    assays = {}
    for name in (name for name in used if name in known):
        path, wrong = folder / f"{name}.yaml", list[Fault]()
        assay = _extended(path, text_files.read_yaml(path, wrong), wrong)
        wrong = wrong or text_files.check(assay, text_files.schema("assay"), str(path))
        wrong = wrong or _assay_contradictions(str(path), assay)
        faults += wrong
        if not wrong:
            assays[name] = assay
    return assays


def _extended(path: Path, assay: dict[str, Any], faults: list[Fault]) -> dict[str, Any]:
    """Return an assay over the one that it extends, key by key of the first level; that one extends no other."""
    if "extends" not in assay:
        return assay
    known = sorted(other.stem for other in path.parent.glob("*.yaml") if other != path)
    if assay["extends"] not in known:
        faults.append(_not_one_of(str(path), "extends", str(assay["extends"]), tuple(known)))
        return {}
    base = text_files.read_yaml(path.with_name(f"{assay['extends']}.yaml"), faults)
    return {**base, **{key: value for key, value in assay.items() if key != "extends"}}


def _assay_contradictions(file: str, assay: dict[str, Any]) -> list[Fault]:
    faults = []
    names = Counter(name.lower() for channel in assay["channels"].values() for name in dict.fromkeys(channel))
    for name in (name for name, times in names.items() if times > 1):
        wanted = "each channel name in one role, once"
        faults.append(Fault(file, "channels", f"{plain(name)} twice (case does not count)", wanted, "remove one"))
    for factor in FACTORS:
        given = assay.get(factor)
        if given is not None and not given["low"] <= given["mean"] <= given["high"]:
            found = f"low {given['low']}, mean {given['mean']}, high {given['high']}"
            faults.append(Fault(file, factor, found, "low <= mean <= high", "mend the numbers"))
        if given is not None and given["low"] == 0 < given["high"]:
            wanted, todo = "a lower limit above 0, or 0 in all three", "give the smallest value that is plausible"
            faults.append(Fault(file, factor, f"low 0, high {given['high']}", wanted, todo))
    faults += _marker_faults(file, assay)
    files = assay["files"]
    if files is not None and not (files.count("{frame}") == files.count("{channel}") == 1):
        faults.append(Fault(file, "files", plain(files), "{frame} and {channel}, each once", "mend the pattern"))
    return faults


def _marker_faults(file: str, assay: dict[str, Any]) -> Iterator[Fault]:
    """Yield markers that are unknown, named twice, of no channel of their own, or with a rule that none can meet."""
    markers = assay.get("markers", {})
    further = tuple(role for role in assay["channels"] if role not in ROLES)
    roles_of: dict[str, list[str]] = {}
    for role, given in markers.items():
        roles_of.setdefault(given["marker"].lower(), []).append(role)
        if given["marker"] not in MARKERS:
            yield _not_one_of(file, f"markers.{role}.marker", given["marker"], MARKERS)
        if role not in further:
            wanted = "a role of `channels` beyond " + ", ".join(ROLES)
            todo = text_files.nearest(role, list(further), "add its channel, or remove the marker")
            yield Fault(file, f"markers.{role}", plain(role), wanted, todo)
        if (given["place"] == "nucleus") != ("min_nucleus_ratio" in given):
            found = f"place {given['place']} {'with' if 'min_nucleus_ratio' in given else 'without'} min_nucleus_ratio"
            yield Fault(file, f"markers.{role}", found, "min_nucleus_ratio with place nucleus only", "mend the marker")
        rule = given["rule"]
        if rule["min_positive"] > rule["min_ctcs"]:
            found = f"min_positive {rule['min_positive']}, min_ctcs {rule['min_ctcs']}"
            yield Fault(file, f"markers.{role}.rule", found, "min_positive at most min_ctcs", "mend the numbers")
    for roles in (roles for roles in roles_of.values() if len(roles) > 1):
        found = f"{plain(markers[roles[0]]['marker'])} twice, by {' and '.join(roles)}"
        yield Fault(file, "markers", found, "each marker once", "remove one, or name what the other channel shows")
