"""A sample as the sheet describes it: one blood draw, where its images lie, and how much blood they stand for."""

import math
import os
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from ctcascade.data.choice import place_and_choice
from ctcascade.data.errors import Fault, plain
from ctcascade.data.typed import Name, Number, Typed
from ctcascade.data.vocabulary import CONTROLS
from ctcascade.study.patient import Day, faults_of_names
from ctcascade.study.text_files import Row

Role = Literal["patient", "healthy", "control_low", "control_high"]
_Part = Annotated[str, Field(min_length=1)]


def _parts(given: Any) -> Any:
    """Return the parts that ``;`` separates in a cell."""
    return [part.strip() for part in given.split(";") if part.strip()] if isinstance(given, str) else given


Images = Annotated[tuple[_Part, ...], BeforeValidator(_parts)]
"""Folders or files of images, relative to the sheet."""
_Volume = Annotated[
    Number,
    Field(
        ge=0.0001,
        lt=1000,
        description="millilitres of blood, at least 0.0001 and below 1000, with a decimal point",
        examples=["7.5"],
    ),
]


class PreAnalytics(Typed):
    """What happened to the blood before it was processed, as the sheet says; nothing is corrected by it."""

    tube_fill_ml: Number | None = Field(
        default=None,
        gt=0,
        le=100,
        description="millilitres of blood in the tube or tubes that the sample is from, above 0 and up to 100",
        examples=["9.5"],
    )
    storage_temperature_c: Number | None = Field(
        default=None,
        ge=-20,
        le=50,
        description="degrees Celsius at which the tube was kept until it was processed, from -20 to 50",
        examples=["21"],
    )
    draw_order: int | None = Field(
        default=None,
        ge=1,
        le=30,
        description="the place of the tube in the draw, a whole number from 1 (the first tube) to 30",
        examples=["2"],
    )
    haemolysis: Literal["none", "slight", "moderate", "gross"] | None = Field(
        default=None, description="haemolysis of the plasma as the laboratory graded it", examples=["none"]
    )
    days_since_anthracycline: Number | None = Field(
        default=None,
        ge=0,
        le=36_500,
        description="days from the last dose of an anthracycline, which itself fluoresces, to the draw, from 0 to "
        "36500; nothing where none was given or it is not known",
        examples=["21"],
    )


class SampleColumns(PreAnalytics):
    """What the sheet says of a sample, the volume of blood aside."""

    sample: Name = Field(examples=["P1_2026-05-01"])
    patient: Name = Field(examples=["P1"])
    collected: Day
    drawn: str | None = Field(
        default=None,
        pattern="^(before|after|([01][0-9]|2[0-3]):[0-5][0-9])$",
        description="on the day of an operation or of the start of a therapy whether the blood was drawn before or "
        "after it; on other days nothing, or the time as HH:MM",
        examples=["before"],
    )
    images: Images = Field(
        min_length=1,
        description="a folder or file of images, relative to the sheet; several with ';' between; of a plate or a file "
        "of several images the well, position or series after '::'",
        json_schema_extra={"separator": ";"},
    )
    assay: Name = Field(
        description="the name of a file in the folder of assays, without .yaml", examples=["cellsearch"]
    )
    format: str = Field(
        default="auto",
        pattern="^[a-z][a-z0-9_-]{0,31}$",
        description="the image format's name, or auto",
        examples=["auto"],
    )
    sampled_fraction: Number = Field(
        default=1.0,
        ge=0.000001,
        le=1,
        description="the share of the sample's frames that the folder holds, above 0 (at least 0.000001) and at most 1",
        examples=["0.05"],
    )
    role: Role | None = Field(default=None, description="what the sample is for")
    lot: str | None = Field(
        default=None, max_length=64, description="the lot of the assay's reagents, at most 64 characters"
    )
    run: str | None = Field(
        default=None, max_length=64, description="the run that the sample was processed in, at most 64 characters"
    )
    operator: str | None = Field(
        default=None, max_length=64, description="who processed the sample, as initials; at most 64 characters"
    )
    position: int | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description="the place of the sample in its run, a whole number from 1 to 10000",
        examples=["3"],
    )
    spiked_ctc: int | None = Field(
        default=None,
        ge=0,
        le=1_000_000,
        description="tumour cells that were put into the tube, a whole number from 0 to 1000000",
        examples=["50"],
    )
    tube: str | None = Field(default=None, max_length=64, description="the kind of tube, at most 64 characters")
    hours_to_processing: Number | None = Field(
        default=None,
        ge=0,
        le=96,
        description="hours from the blood draw to processing, from 0 to 96",
        examples=["24"],
    )
    note: str | None = Field(default=None, max_length=500, description="free text of at most 500 characters")
    notice: str | None = Field(
        default=None,
        max_length=200,
        description="what every page that shows the sample must say first, at most 200 characters: that it is no "
        "patient's, that it is a trial of the method",
        examples=["Made-up images: no person."],
    )


class Sample(SampleColumns):
    """A sample; the volume is that of all of its parts."""

    blood_volume_ml: Number
    part_volumes_ml: tuple[Number, ...] = ()


class SampleRow(SampleColumns):
    """A row of the sample sheet, with one volume, or one for each part of the images.

    From 1000 on a volume is in microlitres: neither a tube nor the share of an apheresis on slides holds a litre.
    """

    blood_volume_ml: Annotated[tuple[_Volume, ...], BeforeValidator(_parts)] = Field(
        min_length=1,
        description="millilitres of blood that the sample stands for, at least 0.0001 and below 1000; one number, or "
        "one for each part of images",
        examples=["7.5"],
        json_schema_extra={"separator": ";"},
    )

    @property
    def whole(self) -> Sample:
        """The sample with the sum of its volumes."""
        columns = {name: getattr(self, name) for name in SampleColumns.model_fields}
        several = self.blood_volume_ml if len(self.blood_volume_ml) > 1 else ()
        return Sample(**columns, blood_volume_ml=math.fsum(self.blood_volume_ml), part_volumes_ml=several)


def sample_faults(sheet: Path, rows: Sequence[Row[SampleRow]]) -> Iterator[Fault]:
    """Yield what is wrong with the rows beyond each cell: names that clash, images not there, volumes in doubt."""
    yield from faults_of_names(sheet, "sample", rows)
    for row in rows:
        at = f"line {row.line}, {plain(row.text.get('sample'))}"
        yield from _image_faults(sheet, at, _parts(row.text.get("images", "")))
        if row.value:
            yield from _volume_faults(str(sheet), at, row.value)
            yield from _tube_faults(str(sheet), at, row.value)
            yield from _fill_faults(str(sheet), at, row.value)
    yield from _place_faults(str(sheet), rows)


def _tube_faults(file: str, at: str, row: SampleRow) -> Iterator[Fault]:
    """Yield what is wrong with a tube of known content: healthy blood with cells, a control without its lot."""
    if row.role == "healthy" and row.spiked_ctc:
        wanted, todo = "0 or nothing: the role says that it holds none", "leave role empty, or fix the number"
        yield Fault(file, f"{at}, spiked_ctc", f"{row.spiked_ctc} in blood of a healthy donor", wanted, todo)
    known = [name for name in ("run", "operator", "position", "spiked_ctc") if getattr(row, name) is not None]
    if row.role in CONTROLS and known and row.lot is None:
        found = f"nothing, for a {row.role} with {known[0]}"
        yield Fault(file, f"{at}, lot", found, "the lot of its cells, which sets what it should give", "fill in lot")
    if row.position is not None and row.run is None:
        yield Fault(file, f"{at}, run", "nothing, beside a position", "the run that it is a place in", "fill in run")


def _fill_faults(file: str, at: str, row: SampleRow) -> Iterator[Fault]:
    """Yield samples that stand for more blood than their tubes held."""
    volume = math.fsum(row.blood_volume_ml)
    if row.tube_fill_ml is not None and volume > row.tube_fill_ml * (1 + 1e-9):
        found = f"{row.tube_fill_ml:g}, less than the {volume:g} mL of blood that the sample stands for"
        wanted, todo = "all blood of the tube or tubes, in mL", "fix it, or blood_volume_ml"
        yield Fault(file, f"{at}, tube_fill_ml", found, wanted, todo)


def _place_faults(file: str, rows: Sequence[Row[SampleRow]]) -> Iterator[Fault]:
    """Yield samples at one place of one run."""
    seen: dict[tuple[str, str | None, int], str] = {}
    for line, row in ((row.line, row.value) for row in rows if row.value and row.value.position is not None):
        assert row.position is not None
        other = seen.setdefault((row.assay, row.run, row.position), row.sample)
        if other != row.sample:
            found = f"{row.position}, which is the place of {plain(other)} in run {plain(row.run)}"
            yield Fault(file, f"line {line}, {row.sample}, position", found, "one sample at a place", "fix one of them")


def _image_faults(sheet: Path, at: str, images: Sequence[str]) -> Iterator[Fault]:
    wanted, todo = f"a folder or file of images, relative to {sheet.parent}", "fix the path or bring the images"
    place = f"{at}, images"
    there: dict[str, str] = {}
    for whole in images:
        part, choice = place_and_choice(whole, sheet.parent)
        path = sheet.parent / part
        if not part.isprintable() or not (os.path.isdir(path) or os.path.isfile(path)):
            yield Fault(str(sheet), place, f"{plain(part)}, which is not there{_spelt_otherwise(path)}", wanted, todo)
            continue
        # of the images in a file another one may be another part
        real = os.path.realpath(path) + (f"::{choice}" if choice else "")
        outer = next((known for known in there if known == real or _is_in(known, real) or _is_in(real, known)), "")
        if outer:
            how = "the same as" if outer == real else "in one folder with"
            found = f"{plain(part)}, which is {how} {plain(there[outer])}"
            once = "each folder and file once: what is named twice would be counted twice, and its blood too"
            yield Fault(str(sheet), place, found, once, "name it once, with its volume")
        there[real] = part


def _is_in(file: str, folder: str) -> bool:
    return os.path.isfile(file) and os.path.dirname(file) == folder


def _spelt_otherwise(path: Path) -> str:
    """Return that a name which looks the same is there in other characters (é as one character, or as e and accent)."""
    try:
        beside = os.listdir(path.parent)
    except (OSError, ValueError):
        return ""
    same = [name for name in beside if unicodedata.normalize("NFC", name) == unicodedata.normalize("NFC", path.name)]
    return ": the folder on disk is spelt with other characters that look the same; rename it" if same else ""


def _volume_faults(file: str, at: str, row: SampleRow) -> Iterator[Fault]:
    volumes = row.blood_volume_ml
    if len(volumes) not in (1, len(row.images)):
        wanted = f"1 number, or {len(row.images)} as in images"
        yield Fault(file, f"{at}, blood_volume_ml", f"{len(volumes)} numbers", wanted, "fix the volumes")
    if math.fsum(volumes) >= 1000:
        wanted = "parts that add up to less than 1000 mL"
        yield Fault(file, f"{at}, blood_volume_ml", f"{math.fsum(volumes):g}", wanted, "fix the volumes")
