"""The demonstration's slides: small phantoms of known truth, as they lie in test_data/."""

from pathlib import Path

from ctcascade.data import store
from ctcascade.validation.phantom import Optics, Recipe, Slide, write_slide

_HDSCA = Optics(pixel_size_um=0.591, offset=20.0, haze=(15.0, 70.0, 30.0, 20.0), photons_per_count=2.0)
_CRC = (8.5, 0.18)  # colorectal CTCs are small


_QUIET = Optics(read_noise=1.5, photons_per_count=14.0)  # noise does not compress, and these frames live in git


def _demo_slide(ctcs: int = 0, clusters: tuple[tuple[int, int], ...] = ()) -> Slide:
    return Slide(frames=3, optics=_QUIET, recipe=Recipe(leukocytes=70, ctcs=ctcs, clusters=clusters))


_DEMO = {
    "P01_1": _demo_slide(ctcs=9, clusters=((2, 0), (1, 1))),
    "P01_2": _demo_slide(ctcs=2),
    "P02_1": _demo_slide(ctcs=14, clusters=((3, 0), (2, 1), (5, 0))),
    "P03_1": Slide(
        frames=6,
        layout="files",
        optics=_HDSCA,
        channel_names=("DAPI", "CK", "CD45", "FITC"),
        recipe=Recipe(leukocytes=90, ctcs=4, ctc_diameter_um=_CRC, clusters=((2, 0),)),
    ),
    "D01_1": _demo_slide(),
}
"""The demonstration: one patient with two samples, one with clusters and a broken frame, one of another assay,
and a healthy donor."""


def write_demo(out: Path) -> None:
    """Write the demonstration's slides and their truth: ``images/SAMPLE/`` and ``truth/SAMPLE.tsv`` below `out`."""
    out = Path(out)
    for number, (sample, slide) in enumerate(_DEMO.items()):
        truth = write_slide(out / "images" / sample, slide, seed=100 + number)
        text = truth.round({"y_px": 1, "x_px": 1, "diameter_um": 2, "ck_contrast": 3}).to_csv(sep="\t", index=False)
        store.write_text(out / "truth" / f"{sample}.tsv", text)
    broken = out / "images" / "P02_1" / "f003.ome.tif"
    whole = broken.read_bytes()
    broken.write_bytes(whole[: len(whole) // 2])
