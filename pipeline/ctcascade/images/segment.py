"""One frame of pixels to a label image of nuclei and one of cells: background, then nuclei, then cells."""

from collections.abc import Mapping
from dataclasses import dataclass

from ctcascade.formats import Frame
from ctcascade.images import background, cells, distances, nuclei, pixels, ranks, watershed
from ctcascade.images.background import Channel
from ctcascade.images.cells import cells_around
from ctcascade.images.labels import Labels
from ctcascade.images.nuclei import learned_nuclei
from ctcascade.images.nuclei import nuclei as find_nuclei
from ctcascade.study.detection_settings import DetectSettings


@dataclass(frozen=True)
class Segmentation:
    """Label images of one frame, both int32 of shape (Y, X): a nucleus has the number of the cell that it lies in."""

    nuclei: Labels
    cells: Labels


def segment(frame: Frame, channels: Mapping[str, Channel], settings: DetectSettings) -> Segmentation:
    """Return nuclei and cells of one frame.

    Parameters
    ----------
    frame : Frame
    channels : mapping of str to Channel
        By role, from `correct`.
    settings : DetectSettings

    Notes
    -----
    Nuclei, classical: two touching ones are cut where the distance to their common edge, a little less where the light
    dips, falls below 0.87 of the lesser one's radius; also below 0.96 where both are together larger than two lobed
    granulocyte nuclei and fill less than 0.9 of their convex hull. Learned: where the depth that the network sees falls
    below 0.7 of the lesser one's. Neither cuts what is together no larger than one lobed granulocyte nucleus; what
    holds less than 0.12 of the DNA of the frame's median nucleus is none. Cells: the nucleus and a rim, and what
    cytokeratin or CD45 shows connected to it as far as the margin. Cytokeratin without a nucleus is an object too, so
    that dye aggregates and debris are seen and counted as what they are.
    """
    find = {"classical": find_nuclei, "learned": learned_nuclei}[settings.segmenter]
    found = find(channels["dna"], frame.pixel_size_um, settings)
    return Segmentation(found, cells_around(found, channels, frame.pixel_size_um, settings))


def warm() -> None:
    """Compile the kernels into their cache."""
    background.warm()
    ranks.warm()
    pixels.warm()
    distances.warm()
    watershed.warm()
    nuclei.warm()
    cells.warm()
