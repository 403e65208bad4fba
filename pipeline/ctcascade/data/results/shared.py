"""shared_pixels.json: samples of a run that hold the same images: they cannot all be what the sheet says."""

from typing import ClassVar

from pydantic import Field

from ctcascade.data.results.base import Count, Result, ResultFile, Text


class Shared(Result):
    """Two samples that hold the same frames, pixel by pixel."""

    sample: Text = Field(description="name of the sample")
    patient: Text = Field(description="its patient")
    other: Text = Field(description="name of the other sample")
    other_patient: Text = Field(description="the other sample's patient")
    n_frames: Count = Field(description="frames that both hold")
    frame: Text = Field(description="the first of them in the sample")
    other_frame: Text = Field(description="the same in the other sample")

    @property
    def warning(self) -> str:
        """The warning about them, in words."""
        whose = f"patient {self.patient}"
        if self.patient != self.other_patient:
            whose = f"two patients, {self.patient} and {self.other_patient},"
        n = f"{self.n_frames} frame{'s' if self.n_frames != 1 else ''}"
        return (
            f"samples {self.sample} and {self.other} of {whose} hold the same pixels in {n} "
            f"({self.frame} and {self.other_frame}): one tube must not be counted twice, nor for another patient"
        )


class SharedPixels(ResultFile):
    """All pairs of samples of a run that hold the same frames."""

    file_name: ClassVar[str] = "shared_pixels.json"

    shared: tuple[Shared, ...] = Field(description="each pair of samples once")
    not_compared: tuple[str, ...] = Field(
        default=(), description="samples whose jobs failed: whether they hold the images of another is not known"
    )

    @property
    def notices(self) -> list[tuple[str, str]]:
        """What every page says first of samples that were not compared; the second word is empty."""
        if not self.not_compared:
            return []
        names = ", ".join(self.not_compared[:6]) + (" and more" if len(self.not_compared) > 6 else "")
        return [(f"Not compared with {names}, which failed in this run: the same images may lie there too.", "")]

    def of_sample(self, sample: str) -> tuple[str, ...]:
        """Return the warnings that concern a sample."""
        return tuple(pair.warning for pair in self.shared if sample in (pair.sample, pair.other))

    def of_patient(self, patient: str) -> tuple[str, ...]:
        """Return the warnings that concern a patient."""
        return tuple(pair.warning for pair in self.shared if patient in (pair.patient, pair.other_patient))
