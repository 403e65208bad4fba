"""Exports as of CellSearch."""

from ctcascade import formats
from ctcascade.formats.listing import list_frames
from tests.support.detecting import camera

ASSAY = camera(
    channels={"dna": ["DAPI", "DNA"], "ck": ["CK-PE", "CK", "PE"], "cd45": ["CD45-APC", "CD45", "APC"]},
    pixel_size_um=0.645,
    frame_px=[30, 40],
    bit_depth=12,
    files=None,
)


SHAPE = (30, 40)


def record(number, frame, top_left, size=(8, 6), assigned="false", **more):
    """Return the XML of one event; places are (x, y) of the stitched cartridge, the lower right corner first."""
    (x, y), (w, h) = top_left, size
    fields = {"eventnum": number, "framenum": frame, "numselected": 0, "assigned": assigned, **more}
    fields["location"] = f"({x + w},{y + h})({x},{y})"
    return f"<record>{''.join(f'<{k}>{v}</{k}>' for k, v in fields.items())}</record>"


def export(*events, columns=3, rows=2, filters=("DNA", "FITC", "PE", "APC"), doctype="<!DOCTYPE archive>"):
    names = "".join(f"<record><filtername>{name}</filtername></record>" for name in filters)
    run = f"<runs><record><numcols>{columns}</numcols><numrows>{rows}</numrows></record></runs>" if columns else ""
    return (
        f'<?xml version="1.0"?>{doctype}<archive>{run}<test_filters>{names}</test_filters>'
        f"<events>{''.join(events)}</events></archive>"
    )


def listed(base, images="C1", fmt="auto"):
    return list_frames([images], base, fmt, ASSAY)


def events(base, shape=SHAPE):
    found = listed(base)
    return formats.operator_events(found.events[0][1], [ref.frame for ref in found.frames], shape)
