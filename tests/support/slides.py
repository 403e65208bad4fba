"""Changes to the frames of a slide, for tests that must see them in the results."""

import re

import tifffile

from ctcascade.validation import phantom

CHANNELS = ("DAPI", "CK-PE", "CD45-APC", "FITC")


def edit(source, target, change):
    """Write a copy of an OME-TIFF frame with `change` applied to its pixels, in the order of CHANNELS."""
    with tifffile.TiffFile(source) as tif:
        pixels, description = tif.asarray(), tif.ome_metadata
    names = re.findall(r'<Channel[^>]* Name="([^"]+)"', description)
    order = [names.index(name) for name in CHANNELS]
    pixels[order] = change(pixels[order])
    tifffile.imwrite(target, pixels, photometric="minisblack", description=description, metadata=None)


def add_ctc(source, target, y_px, x_px, seed=1):
    """Write a copy of a frame with one CTC more."""
    edit(source, target, lambda pixels: phantom.add_ctc(pixels, phantom.Optics(), y_px, x_px, seed))


def repeat(source, target, number):
    """Write the frame with one pixel changed by `number`: copies of a frame would be counted once."""

    def vary(pixels):
        plane = pixels[0].reshape(-1)
        plane[number] ^= 1
        return pixels

    edit(source, target, vary)


def empty_place(cells, shape, radius_px=24):
    """Return (y, x) of a disc, in a frame of `shape`, that no cell's bounding box touches."""
    for y in range(2 * radius_px, shape[0] - 2 * radius_px, 4):
        for x in range(2 * radius_px, shape[1] - 2 * radius_px, 4):
            above_or_below = (cells["y1_px"] < y - radius_px) | (cells["y0_px"] > y + radius_px)
            beside = (cells["x1_px"] < x - radius_px) | (cells["x0_px"] > x + radius_px)
            if (above_or_below | beside).all():
                return y, x
    raise AssertionError("no room in this frame")
