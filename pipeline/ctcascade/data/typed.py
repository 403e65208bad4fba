"""The base of all typed facts: frozen, without unknown names, without numbers that are none."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, Strict


class Typed(BaseModel):
    """A fact with named and checked parts; equal facts are equal objects, and none changes after it was made."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)

    def as_json(self) -> dict[str, Any]:
        """Return the fact as JSON types."""
        return self.model_dump(mode="json")


Number = Annotated[float, Strict()]
"""A finite number; text and truth values are not numbers."""
Whole = Annotated[int, Strict()]
"""A whole number; text and truth values are not numbers."""
Flag = Annotated[bool, Strict()]
Name = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9_-]([A-Za-z0-9._-]{0,62}[A-Za-z0-9_-])?$",
        description="a name of letters, digits, '.', '_' or '-', at most 64, neither starting nor ending with '.'",
    ),
]
