"""The laboratory's method: channels, gates, markers and factors, every value with where it comes from."""

import math
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field

from ctcascade.data.camera import (
    COLOURS,
    BitDepth,
    Camera,
    ChannelName,
    ChannelOrder,
    Depth,
    FilePattern,
    FrameSize,
    PixelSize,
    Role,
)
from ctcascade.data.errors import Fault, RefusedValueError, plain
from ctcascade.data.typed import Number, Typed, Whole
from ctcascade.data.vocabulary import MARKERS, ROLES, Z95
from ctcascade.study import checking
from ctcascade.study.inherited import FactorName, TakenOver, extended

T = TypeVar("T")
Source = Annotated[str, Field(min_length=1, description="where the value comes from")]
GateValue = Annotated[Number, Field(ge=0, description="a number from 0 on")]
Spreads = Annotated[Number, Field(ge=0, le=100, description="a number of spreads from 0 to 100")]
NucleusRatio = Annotated[Number, Field(ge=1, le=100, description="a ratio from 1 to 100")]
Cells = Annotated[Whole, Field(ge=1, le=1000, description="a whole number of CTCs from 1 to 1000")]
Share = Annotated[Number, Field(gt=0, le=1, description="a share above 0 and at most 1")]
FromZero = Annotated[Number, Field(ge=0, le=1000, description="a number from 0 to 1000")]
AboveZero = Annotated[Number, Field(gt=0, le=100, description="a number above 0 and at most 100")]
One = Annotated[Number, Field(ge=1, le=1, description="1: what tubes hold on average is what the blood holds")]
Place = Literal["cell", "nucleus"]
Leukocytes = Literal["expected", "none"]
BleedShare = Annotated[Number, Field(ge=0, le=0.5, description="a share from 0 to 0.5")]
Stain = Literal["dna", "ck", "cd45"]
BleedShares = dict[Stain, dict[Stain, BleedShare]]
Label = Annotated[str, Field(min_length=1, max_length=24, description="a name of at most 24 characters")]
ChannelNames = Annotated[tuple[ChannelName, ...], Field(min_length=1, description="a list of channel names")]
FACTORS = ("recovery", "sensitivity", "background_per_7_5_ml", "reference_equivalent", "tube_to_tube")
_LEAST_WAY, _MOST_OFF = 0.1, 4.0


class Sourced(Typed, Generic[T]):
    """A value with its source."""

    value: T
    source: Source


class GatesOf(Typed, Generic[T]):
    """The gates that a CTC clears, all of them."""

    ck_min_z: T = Field(description="value and source")
    ck_rise_with_cd45: T = Field(description="value and source")
    cd45_max_ratio: T = Field(description="value and source")
    min_ck_fill: T = Field(description="value and source")
    min_diameter_um: T = Field(description="value and source")
    max_diameter_um: T = Field(description="value and source")
    min_nucleus_um2: T = Field(description="value and source")
    min_nucleus_solidity: T = Field(description="value and source")
    max_dna_peak: T = Field(description="value and source")


Gates = GatesOf[float]
SourcedGates = GatesOf[Sourced[GateValue]]


class Factor(Typed):
    """A quantity of the method: its mean, its 95 % limits, how it is known, and from where."""

    mean: float
    low: float
    high: float
    kind: Literal["measured", "derived", "assumption"]
    source: Source


class ShareFactor(Factor):
    """A share above 0 and at most 1."""

    mean: Share
    low: Share
    high: Share


class FromZeroFactor(Factor):
    """A number from 0 on."""

    mean: FromZero
    low: FromZero
    high: FromZero


class RatioFactor(Factor):
    """A ratio above 0."""

    mean: AboveZero
    low: AboveZero
    high: AboveZero


class AroundOneFactor(Factor):
    """A ratio whose mean is 1."""

    mean: One
    low: AboveZero
    high: AboveZero


class MarkerRule(Typed):
    """When a sample is called positive for a marker."""

    min_ctcs: Cells
    min_positive: Cells
    min_share: Number = Field(ge=0, le=1, description="a share from 0 to 1")
    source: Source


class MarkerGate(Typed):
    """When a cell is called positive for a marker."""

    place: Place = Field(description="where it is looked for")
    min_z: Spreads
    min_nucleus_ratio: NucleusRatio | None = None


class Marker(Typed):
    """A further marker of the assay, by channel role."""

    marker: str = Field(min_length=1, max_length=64, description="what the channel shows")
    place: Place = Field(description="where it is looked for")
    min_nucleus_ratio: Sourced[NucleusRatio] | None = Field(default=None, description="value and source")
    min_z: Sourced[Spreads] = Field(description="value and source")
    rule: MarkerRule = Field(description="min_ctcs, min_positive, min_share and source")

    @property
    def gate(self) -> MarkerGate:
        """When a cell is positive, without the sources."""
        ratio = self.min_nucleus_ratio.value if self.min_nucleus_ratio else None
        return MarkerGate(place=self.place, min_z=self.min_z.value, min_nucleus_ratio=ratio)


class Factors(Typed):
    """The factors of an assay between cells in the blood and cells counted."""

    recovery: ShareFactor = Field(description="mean, low and high between 0 and 1, kind and source")
    sensitivity: ShareFactor = Field(description="mean, low and high between 0 and 1, kind and source")
    background_per_7_5_ml: FromZeroFactor = Field(description="mean, low and high (numbers from 0 on), kind and source")
    reference_equivalent: RatioFactor | None = Field(
        default=None, description="mean, low and high (numbers above 0), kind and source"
    )
    tube_to_tube: AroundOneFactor | None = Field(
        default=None, description="mean 1, low and high (numbers above 0), kind and source"
    )


def _listed(channels: Any) -> Any:
    """Return channels of which a colour of merged pictures may stand alone (``dna: blue``) as lists."""
    if not isinstance(channels, dict):
        return channels
    return {role: [n] if isinstance(n, str) and n.lower() in COLOURS else n for role, n in channels.items()}


def _with_needed_roles(channels: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    missing = [role for role in ROLES if role not in channels]
    if missing:
        raise RefusedValueError(*((f"no {role}", "a list of channel names", "add it") for role in missing))
    return channels


class Method(Typed):
    """How the slides are made and read."""

    description: str = Field(min_length=1, max_length=500, description="a line of text")
    channels: Annotated[dict[Role, ChannelNames], BeforeValidator(_listed), AfterValidator(_with_needed_roles)] = Field(
        max_length=16,
        description="channel roles, dna, ck and cd45 among them, each with a list of the channel names a file may use; "
        "of merged colour pictures red, green or blue",
    )
    pixel_size_um: Sourced[PixelSize] = Field(description="value (um, 0.01 to 20) and source")
    frame_px: Sourced[FrameSize] = Field(description="value ([rows, columns]) and source")
    bit_depth: Sourced[BitDepth] = Field(description="value (8 to 16) and source")
    files: FilePattern | None = Field(
        description="null (one file a frame), or the pattern of one file a channel with {frame} and {channel}, also "
        "{channel}/{frame}; {guid} stands for a GUID, * for anything",
        examples=["'{frame}_{channel}'"],
    )
    bleed: Sourced[BleedShares] | None = Field(
        default=None,
        description="value (for each stain the share of its light that is seen in other channels, from single-stain "
        "controls) and source",
    )
    leukocytes: Leukocytes = Field(
        default="expected",
        description="expected, or none (cell lines, purified samples), where none have to be found",
    )
    channel_order: ChannelOrder = Field(
        default="named",
        description="named: planes without names are refused; trusted: they always come in the order of channels",
    )
    z: Depth | None = Field(
        default=None,
        description="what becomes of a stack in depth: null (refused), max (each pixel's largest value), or sharpest "
        "(the plane in which DNA is sharpest, for all channels)",
    )
    gates: SourcedGates = Field(description="gates by name, each with value and source")
    markers: dict[Role, Marker] = Field(
        default_factory=dict, description="further markers by channel role, each with marker, place, min_z and rule"
    )
    labels: dict[Role, Label] = Field(
        default_factory=dict, description="what pages call a channel, by role: EpCAM for a ck that is EpCAM"
    )
    capture: str | None = Field(
        default=None, max_length=200, description="how cells are enriched, such as EpCAM ferrofluid; null: not stated"
    )
    inherits: Sourced[tuple[FactorName, ...]] | None = Field(
        default=None,
        description="value (which of recovery, sensitivity, background_per_7_5_ml and reference_equivalent hold for "
        "this method too, though stated by the assay that it extends) and source",
    )
    taken_over: TakenOver | None = Field(
        default=None, description="found when the file is read: factors of another method, nobody writes it"
    )


class Assay(Factors, Method):
    """An assay file: what the laboratory's method is, every value with where it comes from."""

    def camera(self, name: str) -> Camera:
        """Return how frames of this assay are to be read."""
        return Camera(
            name=name,
            channels=self.channels,
            files=self.files,
            pixel_size_um=self.pixel_size_um.value,
            frame_px=self.frame_px.value,
            bit_depth=self.bit_depth.value,
            channel_order=self.channel_order,
            z=self.z,
        )

    def gate_values(self) -> Gates:
        """Return the gates without their sources."""
        return Gates(**{name: getattr(self.gates, name).value for name in Gates.model_fields})


def read_assay(path: Path, faults: list[Fault]) -> Assay | None:
    """Return the assay of a file, over the one that it extends; None, and its faults, where it cannot be used."""
    wrong: list[Fault] = []
    given = extended(path, wrong)
    assay: Assay | None = None if wrong else checking.check(Assay, given, str(path), wrong)
    if assay:
        wrong += _contradictions(str(path), assay)
    faults += wrong
    return None if wrong else assay


def _contradictions(file: str, assay: Assay) -> Iterator[Fault]:
    names = Counter(name.lower() for channel in assay.channels.values() for name in dict.fromkeys(channel))
    for name in (name for name, times in names.items() if times > 1):
        wanted = "each channel name in one role, once"
        yield Fault(file, "channels", f"{plain(name)} twice (case does not count)", wanted, "remove one")
    yield from _of_gates(file, assay)
    for factor in FACTORS:
        given: Factor | None = getattr(assay, factor)
        if given is not None:
            yield from _of_factor(file, factor, given)
            yield from _of_shape(file, factor, given)
    yield from _of_markers(file, assay)
    yield from _of_labels(file, assay)
    if assay.files is not None and not (assay.files.count("{frame}") == assay.files.count("{channel}") == 1):
        yield Fault(file, "files", plain(assay.files), "{frame} and {channel}, each once", "fix the pattern")
    words = re.findall(r"\{[^}]*\}|\.\.?(?=/)", assay.files or "")
    for word in (word for word in words if word not in ("{frame}", "{channel}", "{guid}")):
        yield Fault(file, "files", plain(word), "{frame}, {channel}, {guid} and * only", "write * for what varies")


def _of_gates(file: str, assay: Assay) -> Iterator[Fault]:
    """Yield gates that no cell can pass, and a stain that bleeds into itself."""
    least, most = assay.gates.min_diameter_um.value, assay.gates.max_diameter_um.value
    if least >= most:
        found = f"min_diameter_um {least:g}, max_diameter_um {most:g}: no cell can be a CTC"
        yield Fault(file, "gates", found, "min_diameter_um below max_diameter_um", "fix one of the two")
    for role in (role for role, into in (assay.bleed.value if assay.bleed else {}).items() if role in into):
        yield Fault(file, f"bleed.{role}", f"{plain(role)} into {plain(role)}", "another channel", "remove it")


def _of_labels(file: str, assay: Assay) -> Iterator[Fault]:
    for role in (role for role in assay.labels if role not in assay.channels):
        todo = checking.nearest(role, list(assay.channels), "remove it")
        yield Fault(file, f"labels.{role}", plain(role), f"a role of channels: {', '.join(assay.channels)}", todo)


def _of_factor(file: str, name: str, given: Factor) -> Iterator[Fault]:
    if not given.low <= given.mean <= given.high:
        found = f"low {given.low}, mean {given.mean}, high {given.high}"
        yield Fault(file, name, found, "low <= mean <= high", "fix the numbers")
    if given.low == 0 < given.high:
        wanted, todo = "a lower limit above 0, or 0 in all three", "give the smallest value that is plausible"
        yield Fault(file, name, f"low 0, high {given.high}", wanted, todo)


def _of_shape(file: str, name: str, given: Factor) -> Iterator[Fault]:
    """Yield limits that no distribution of the factor's kind has around its mean; others would be used instead.

    Of a Beta with one mode the mean lies between 0.26 and 0.74 of the way from one limit to the other; limits that were
    estimated or rounded reach somewhat further. The limits of a lognormal lie about its median, which its mean and the
    ratio of the limits tell; stated ones may be off by the factor here.
    """
    if not 0 < given.low < given.high or not given.low <= given.mean <= given.high:
        return
    if isinstance(given, ShareFactor):
        way = (given.mean - given.low) / (given.high - given.low)
        wrong = not _LEAST_WAY <= way <= 1 - _LEAST_WAY
    else:
        spread = math.log(given.high / given.low) / (2 * Z95)
        middle = given.mean * math.exp(-(spread**2) / 2)
        wrong = abs(math.log(middle / math.sqrt(given.low * given.high))) > math.log(_MOST_OFF)
    if wrong:
        found = f"low {given.low:g}, mean {given.mean:g}, high {given.high:g}: the mean is nearly one of the limits"
        yield Fault(file, name, found, "the mean, and limits on both sides that hold 95 %", "fix the numbers")


def _of_markers(file: str, assay: Assay) -> Iterator[Fault]:
    """Yield markers that are unknown, named twice, without a channel of their own, or with a rule never met."""
    further = tuple(role for role in assay.channels if role not in ROLES)
    roles_of: dict[str, list[str]] = {}
    for role, given in assay.markers.items():
        roles_of.setdefault(given.marker.lower(), []).append(role)
        if given.marker not in MARKERS:
            yield checking.not_one_of(file, f"markers.{role}.marker", given.marker, MARKERS)
        if role not in further:
            wanted = "a role of `channels` beyond " + ", ".join(ROLES)
            todo = checking.nearest(role, further, "add its channel, or remove the marker")
            yield Fault(file, f"markers.{role}", plain(role), wanted, todo)
        if (given.place == "nucleus") != (given.min_nucleus_ratio is not None):
            found = f"place {given.place} {'without' if given.min_nucleus_ratio is None else 'with'} min_nucleus_ratio"
            yield Fault(file, f"markers.{role}", found, "min_nucleus_ratio with place nucleus only", "fix the marker")
        if given.rule.min_positive > given.rule.min_ctcs:
            found = f"min_positive {given.rule.min_positive}, min_ctcs {given.rule.min_ctcs}"
            yield Fault(file, f"markers.{role}.rule", found, "min_positive at most min_ctcs", "fix the numbers")
    for roles in (roles for roles in roles_of.values() if len(roles) > 1):
        found = f"{plain(assay.markers[roles[0]].marker)} twice, by {' and '.join(roles)}"
        yield Fault(file, "markers", found, "each marker once", "remove one, or name what the other channel shows")
