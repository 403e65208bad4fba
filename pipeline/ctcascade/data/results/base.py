"""What all results are built from: the kinds of number, intervals, factors and provenance."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, Strict
from pydantic_core import CoreSchema, core_schema

from ctcascade.data.vocabulary import CUTOFFS, HORIZONS_YEARS, IMAGING, MARKERS, ORGANS

T = TypeVar("T")


class Result(BaseModel):
    """A result or a part of one: it cannot be changed, takes no other key, and holds neither NaN nor infinity.

    A key that has a default may be absent from the file, and is written only where it was given.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)


@dataclass(frozen=True)
class OneOf:
    """A text that is one of `words`."""

    words: tuple[str, ...]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return the check of a value."""
        return core_schema.literal_schema(list(self.words))


@dataclass(frozen=True)
class Keys:
    """A mapping that has exactly these keys."""

    names: tuple[str, ...]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return the check of a mapping."""
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Return the JSON schema of an object with these properties."""
        values = handler(schema)["additionalProperties"]
        return {
            "type": "object",
            "properties": dict.fromkeys(self.names, values),
            "required": list(self.names),
            "additionalProperties": False,
        }

    def check(self, value: dict[str, T]) -> dict[str, T]:
        """Return `value` if it has the keys."""
        if set(value) != set(self.names):
            raise ValueError(f"its keys must be {', '.join(self.names)}")
        return value


@dataclass(frozen=True)
class Limits:
    """A number within limits. A whole number stays one, so that 96 is not written as 96.0."""

    low: float | None = None
    high: float | None = None
    ends_excluded: bool = False

    @property
    def names(self) -> tuple[str, str]:
        """Return how JSON schema calls the two limits."""
        return ("exclusiveMinimum", "exclusiveMaximum") if self.ends_excluded else ("minimum", "maximum")

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return the check of a value."""
        limits: dict[str, Any] = dict(
            zip(("gt", "lt") if self.ends_excluded else ("ge", "le"), self._ends, strict=True)
        )
        kinds: list[CoreSchema | tuple[CoreSchema, str]] = [
            core_schema.int_schema(strict=True, **limits),
            core_schema.float_schema(strict=True, allow_inf_nan=False, **limits),
        ]
        low, high = self._ends
        least = "" if low is None else f" {'above' if self.ends_excluded else 'from'} {low:g}"
        most = "" if high is None else f" {'and below' if self.ends_excluded else 'to'} {high:g}"
        return core_schema.union_schema(
            kinds,
            mode="left_to_right",
            custom_error_type="number",
            custom_error_message=f"Input should be a number{least}{most}",
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Return the JSON schema of a number."""
        return {"type": "number"} | {n: end for n, end in zip(self.names, self._ends, strict=True) if end is not None}

    @property
    def _ends(self) -> tuple[float | None, float | None]:
        return self.low, self.high


Text = Annotated[str, Strict()]
Flag = Annotated[bool, Strict()]
Count = Annotated[int, Strict(), Field(ge=0)]
Number = Annotated[float, Limits()]
Amount = Annotated[float, Limits(0)]
"""A number that is not negative."""
Share = Annotated[float, Limits(0, 1)]
Risk = Annotated[float, Limits(0, 1, ends_excluded=True)]
"""A probability that is never 0 or 1."""
Change = Annotated[float, Limits(-1, 1)]
"""A difference of two probabilities."""
Quantiles = Annotated[tuple[Annotated[float, Strict(), Field(ge=0)], ...], Field(min_length=2)]
"""A distribution: its quantiles at the probabilities (i + 0.5) / number of them."""

OrganName = Annotated[str, OneOf(ORGANS)]
MarkerName = Annotated[str, OneOf(MARKERS)]
Modality = Annotated[str, OneOf(IMAGING)]
Kind = Literal["measured", "derived", "assumption"]
"""What a parameter rests on."""

V = TypeVar("V")
ByHorizon = Annotated[dict[str, V], Keys(tuple(map(str, HORIZONS_YEARS)))]
"""By years from the latest sample, as text: ``{"1": ..., "2": ..., "5": ...}``."""
ByCutoff = Annotated[dict[str, V], Keys(tuple(map(str, CUTOFFS)))]
"""By number of CTCs, as text."""


class Interval(Result):
    """An estimate with the limits that hold the truth with probability `level`."""

    estimate: Amount = Field(description="best estimate")
    low: Amount = Field(description="lower limit")
    high: Amount = Field(description="upper limit")
    level: Share = Field(description="probability that the interval covers the truth")


class RiskBand(Result):
    """A probability strictly between 0 and 1, averaged over the draws of the uncertain parameters."""

    mean: Risk = Field(description="mean over the draws")
    low: Risk = Field(description="lower limit")
    high: Risk = Field(description="upper limit")


class ShareBand(Result):
    """A share, averaged over the draws of the uncertain parameters."""

    mean: Share = Field(description="mean over the draws")
    low: Share = Field(description="lower limit")
    high: Share = Field(description="upper limit")


class AmountBand(Result):
    """A quantity that is not negative, averaged over the draws of the uncertain parameters."""

    mean: Amount = Field(description="mean over the draws")
    low: Amount = Field(description="lower limit")
    high: Amount = Field(description="upper limit")


class ChangeBand(Result):
    """A difference of two probabilities, averaged over the draws of the uncertain parameters."""

    mean: Change = Field(description="mean over the draws")
    low: Change = Field(description="lower limit")
    high: Change = Field(description="upper limit")


class Factor(Result):
    """A factor of the assay with its range and what it rests on."""

    mean: Amount = Field(description="expected value")
    low: Amount = Field(description="lower limit")
    high: Amount = Field(description="upper limit")
    kind: Kind = Field(description="what it rests on")
    source: Text = Field(description="where it is from")


class Provenance(Result):
    """What made a result. It names no path of a machine and no time: equal inputs give equal bytes."""

    software: Text = Field(description="name of the software")
    version: Text = Field(description="its version")
    settings: dict[str, Any] = Field(description="everything that was set")
    inputs: dict[str, Text] = Field(description="sha256 of each file that was read, by role")
    evidence: Text = Field(default="", description="hash of the evidence tables, where any were read")
    code: Text = Field(default="", description="hash of the code and evidence of the stage")
    content_sha256: Text = Field(default="", description="checksum of the file itself, in JSON results and pages")
    images: Text = Field(default="", description="digest of the sample's images, in tables that are read from them")


class ResultFile(Result):
    """A result that is a file of its own."""

    file_name: ClassVar[str]

    provenance: Provenance = Field(description="what made the result")
