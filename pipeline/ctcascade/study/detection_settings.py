"""The settings of detection: background, nuclei, cells, measurement, registration."""

from typing import Literal

from ctcascade.data.typed import Flag, Number, Typed, Whole
from ctcascade.study.fields import (
    CELLS,
    FLAG,
    LENGTH,
    PIXELS,
    ZOOM,
    Diameter,
    Length,
    length,
    section,
    setting,
    share,
)


class BackgroundSettings(Typed):
    """How the background of a channel is followed, and its noise learned."""

    tile_um: Number = length(
        32.0, "Background is followed at this scale, um: wider than a cell, narrower than vignetting."
    )
    tile_samples: Whole = setting(
        16,
        "a whole number from 2 to 1000",
        "Pixels looked at along each side of a tile: its background is known to a tenth of the noise.",
        ge=2,
        le=1000,
    )
    quantile: Number = share(
        0.25, "Quantile of a tile's pixels: background as long as cells cover less than about two thirds of it."
    )
    noise_pixels: Whole = setting(
        50_000,
        "a whole number from 100 to 100000000",
        "Pixels that the noise is learned from, to about half a per cent.",
        ge=100,
        le=100_000_000,
    )
    hot_min_snr: Number = setting(
        8.0,
        "a number above 0 and up to 1000",
        "Standard deviations of the noise by which a hot pixel rises above each of its neighbours.",
        gt=0,
        le=1000,
    )
    hot_spread: Number = share(
        0.1,
        "Share of a hot pixel's light that its neighbours show at most: optics spread more, up to 0.9 um a pixel.",
    )


class NucleiSettings(Typed):
    """How nuclei are found in the DNA channel, and touching ones split."""

    smooth_um: Number = length(0.5, "First smoothing, um: evens out noise; half of a blurred edge lies where it did.")
    min_snr: Number = setting(
        5.0,
        "a number above 0 and up to 1000",
        "Standard deviations of the noise above which a pixel is signal: less than one a frame by chance.",
        gt=0,
        le=1000,
    )
    edge_share: Number = share(
        0.5, "Share of its own brightness at which a nucleus ends: half, where a blurred edge lies."
    )
    glow_share: Number = share(
        0.04, "Share of the brightest nuclei below which light is their glow; assumes no nucleus 25 times darker."
    )
    object_um: Number = length(1.6, "Smoothing, um, at which the grain of chromatin is gone: a nucleus is one hill.")
    coarse_pixel_um: Number = length(1.3, "Largest pixel, um, that still shows hills of that smoothing.")
    apart_um: Number = length(2.0, "Maxima nearer than this, um, are one: about half of the smallest nucleus.")
    waist: Number = share(
        0.87, "Waist over the lesser radius below which two touching nuclei are cut: discs from one radius apart on."
    )
    waist_of_large: Number = share(0.96, "The same of what is larger than two lobed nuclei and not convex.")
    convex_share: Number = share(0.9, "Share of its convex hull that one nucleus fills.")
    valley: Number = share(0.7, "As waist, of the depth that the network of the learned segmenter sees.")
    min_depth: Number = share(0.45, "Least depth of what that network takes for a nucleus.")
    min_dna_share: Number = share(
        0.12, "Least share of the median nucleus's DNA: what holds less is glow, a fragment or noise."
    )
    surroundings_um: Number = length(
        1.5, "Width of a nucleus's surroundings, um: beyond the blur of its edge, short of the next nucleus."
    )


class CellsSettings(Typed):
    """How cells are grown around nuclei."""

    smooth_um: Number = length(0.5, "Smoothing of cytokeratin and CD45, um.")
    min_snr: Number = setting(
        5.0,
        "a number above 0 and up to 1000",
        "Standard deviations of the noise above which a pixel shows a marker.",
        gt=0,
        le=1000,
    )
    edge_share: Number = share(0.5, "Share of a cell's own brightest marker at which the cell ends.")
    rim_um: Number = length(
        2.0, "Cytoplasm, um, that every nucleated cell is given, as markers do not show all of it; an assumption."
    )
    min_bare_um2: Number = setting(
        6.0,
        "an area from 0 to 1000 um2",
        "Cytokeratin without nucleus that is smaller, um2 (2.8 um across), is noise.",
        ge=0,
        le=1000,
    )


class LearnedSettings(Typed):
    """How a frame is shown to the network of the learned segmenter, and how its answer is read."""

    first_pixel_um: Number = length(
        1.3, "Pixel size, um, of the first look: small nuclei are still seen, large ones do not fall into pieces yet."
    )
    best_nucleus_px: Number = setting(
        18.0, PIXELS, "Diameter of nuclei, pixels, that the frame is scaled to for the second look.", gt=0, le=1000
    )
    min_nucleus_px: Number = setting(
        11.0, PIXELS, "Smallest diameter, pixels, with which the frame is not scaled.", gt=0, le=1000
    )
    max_nucleus_px: Number = setting(
        28.0, PIXELS, "Largest diameter, pixels, with which the frame is not scaled.", gt=0, le=1000
    )
    min_zoom: Number = setting(0.1, ZOOM, "Smallest scale of the second look.", gt=0, le=100)
    max_zoom: Number = setting(3.0, ZOOM, "Largest scale of both looks.", gt=0, le=100)
    min_nucleus_p: Number = share(0.5, "Probability above which a pixel is nucleus.")
    core_depth: Number = share(0.5, "Depth above which a pixel belongs to the core of a nucleus.")
    core_share: Number = setting(
        0.575,
        "a share above 0 and up to 1",
        "Diameter of such a core over the diameter of its nucleus, as the network draws them.",
        gt=0,
        le=1,
    )
    smooth_share: Number = setting(
        0.08, "a share above 0 and up to 1", "Smoothing of the depth, in diameters of a nucleus.", gt=0, le=1
    )


class MeasureSettings(Typed):
    """How cells are measured."""

    ring_um: Number = length(
        3.0, "Width, um, of the surroundings that a cell is compared with: wider than the blur, and still local."
    )
    high_share: Number = setting(
        0.02,
        "a share above 0 and up to 1",
        "Share of a cell's pixels that are brighter than what is called high in it: one pixel cannot turn it.",
        gt=0,
        le=1,
    )
    fragment_level: Number = share(0.5, "Share of a cell's high DNA above which a pixel belongs to a body of DNA.")
    min_fragment_um2: Number = setting(
        0.8,
        "an area from 0 to 1000 um2",
        "Least area, um2, of a body of DNA: about what the optics make of a point.",
        ge=0,
        le=1000,
    )
    min_plate_eccentricity: Number = share(0.75, "Least eccentricity of a nucleus that may be a plate of an anaphase.")
    min_plate_cosine: Number = share(0.85, "Least cosine of the angle between two such plates.")
    max_plate_offset: Number = share(0.5, "Largest cosine of the angle between a plate and the way to the other.")
    max_plate_gap: Number = setting(
        1.3, "a number above 0 and up to 10", "Largest distance of their centres, over their mean length.", gt=0, le=10
    )
    max_plate_ratio: Number = setting(2.0, "a number from 1 to 10", "Largest ratio of their areas.", ge=1, le=10)


class RegistrationSettings(Typed):
    """How far each channel lies beside DNA, when that is certain, and what is done about it."""

    coarse_um: Number = length(2.4, "Pixels, um, in which the channels are compared: cells still show, noise does not.")
    max_share: Number = setting(
        0.3, "a share above 0 and up to 0.5", "Largest shift that is looked for, over the frame's side.", gt=0, le=0.5
    )
    apart_um: Number = length(12.0, "Shifts further apart than this, um, are two: a cell is no larger.")
    min_ratio: Number = setting(
        1.75,
        "a number from 1 to 1000",
        "A shift is found where the channels correlate this many times as well as at any other; two fields of view "
        "reach 1.0 to 1.5 by chance, channels of one field 2.3 to 20 where they show cells (phantoms).",
        ge=1,
        le=1000,
    )
    min_in_place: Number = share(
        0.6,
        "Correlation in place, over the best, from which a channel without a certain shift is not of another field.",
    )
    min_shift_um: Number = length(1.3, "Shift, um, from which a channel is moved: less changes no call.")
    min_moved_objects: Whole = setting(
        4, CELLS, "Objects in both channels that a shift of that size rests on, at least.", ge=1, le=1_000_000
    )
    min_objects: Whole = setting(
        20,
        CELLS,
        "Objects in both channels from which a frame without any correlation is unusable.",
        ge=1,
        le=1_000_000,
    )
    min_object_um2: Number = setting(
        20.0, "an area from 0 to 1000 um2", "Least area, um2, of such an object: a cell's.", ge=0, le=1000
    )
    min_snr: Number = setting(
        3.0, "a number above 0 and up to 1000", "Standard deviations of the noise that it shows.", gt=0, le=1000
    )


class DetectSettings(Typed):
    """Frames -> cells: how nuclei and cells are found and measured."""

    labels: Flag = setting(False, FLAG, "Whether label images are written too (labels/FRAME.tif).")
    segmenter: Literal["classical", "learned"] = setting(
        "classical", "classical or learned", "What finds the nuclei; learned is a small network (docs/segmenter.md)."
    )
    nucleus_diameter_um: tuple[Diameter, Diameter] = setting(
        (3.5, 60.0),
        "the smallest and the largest diameter, two rising numbers from 1 to 200",
        "Diameters, um, of the smallest and the largest nucleus; other DNA objects are not nuclei.",
        examples=["[3.5, 30]"],
    )
    lobed_nucleus_um2: Number = setting(
        60.0,
        "an area from 0 to 1000 um2",
        "Parts whose areas, um2, add up to no more than this stay one nucleus (granulocytes; an assumption, tried on "
        "phantoms).",
        ge=0,
        le=1000,
    )
    cell_margin_um: Length = setting(
        4.0, LENGTH, "How far, um, a cell may reach beyond its nucleus, or the nucleus's radius if that is more."
    )
    contact_gap_max_um: Length = setting(3.0, LENGTH, "Cells with a gap, um, of at most this are listed as contacts.")
    background: BackgroundSettings = section(BackgroundSettings, "how the background is followed")
    nuclei: NucleiSettings = section(NucleiSettings, "how nuclei are found")
    cells: CellsSettings = section(CellsSettings, "how cells are grown")
    learned: LearnedSettings = section(LearnedSettings, "how the network of the learned segmenter is used")
    measure: MeasureSettings = section(MeasureSettings, "how cells are measured")
    registration: RegistrationSettings = section(RegistrationSettings, "how channels are laid upon DNA")
