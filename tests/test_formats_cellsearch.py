"""CellSearch cartridges, written byte by byte from what is known of the instrument's files: frames and events."""

import numpy as np
import pytest

from ctcascade import formats
from ctcascade.data.errors import InputError
from ctcascade.formats import FrameError
from tests.support import tiff_bytes
from tests.support.cellsearch import ASSAY, SHAPE, events, export, listed, record

pytestmark = pytest.mark.unit

LIMITS = [(10, 3010), (0, 255), (100, 4095), (7, 517)]  # in the order of the file: DNA, FITC, CK, CD45


def stretched(counts, low, high):
    """Return counts as the instrument stores them: the limits at 0 and 255."""
    return np.round((counts - low) / (high - low) * 255).astype(np.uint8)


def counts(k):
    """Return the true counts of page k, from limit to limit."""
    low, high = LIMITS[k]
    ramp = np.linspace(low, high, SHAPE[0] * SHAPE[1]).reshape(SHAPE)
    return np.roll(ramp, 5 * k, axis=1) if k % 2 else ramp


def pages(offset=0):
    return [
        tiff_bytes.Page(
            stretched(counts(k), low, high),
            tags=[(754, 3, [1]), (755, 3, [low + offset]), (756, 3, [high + offset])],
        )
        for k, (low, high) in enumerate(LIMITS)
    ]


def cartridge(folder, n=6, xml=None):
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(1, n + 1):
        tiff_bytes.write(folder / f"C1_{k:03d}.tif", pages())
    if xml is not None:
        (folder / "C1.xml").write_text(xml)
    return folder


def test_a_cartridge_is_recognised_by_its_private_tags(tmp_path):
    cartridge(tmp_path / "C1", xml=export())
    found = listed(tmp_path)
    assert (found.format, found.why) == ("cellsearch", "TIFF pages with stretch limits, events in C1.xml")
    assert [ref.frame for ref in found.frames] == [f"C1_{k:03d}" for k in range(1, 7)]
    assert [(part, path.name) for part, path in found.events] == [(0, "C1.xml")]
    assert found.ignored == ()
    (tmp_path / "C1" / "C1.xml").unlink()
    assert listed(tmp_path).format == "cellsearch"
    assert listed(tmp_path).events == ()


def test_plain_tiffs_beside_an_xml_are_not_a_cartridge(tmp_path):
    folder = cartridge(tmp_path / "C1", n=0, xml=export())
    tiff_bytes.write(folder / "f1.tif", [tiff_bytes.Page(page.pixels) for page in pages()])
    found = listed(tmp_path)
    assert (found.format, found.events, found.ignored) == ("ome-tiff", (), ("C1.xml",))
    with pytest.raises(FrameError, match="a page without private tags 755 and 756"):
        formats.read(listed(tmp_path, fmt="cellsearch").frames[0], ASSAY)


@pytest.mark.parametrize("offset", [0, 32768])
def test_pages_come_back_on_the_cameras_scale(tmp_path, offset):
    (tmp_path / "C1").mkdir()
    tiff_bytes.write(tmp_path / "C1" / "C1_001.tif", pages(offset), byteorder="<" if offset else ">")
    frame = formats.read(listed(tmp_path).frames[0], ASSAY)
    assert frame.roles == ("dna", "ck", "cd45")
    assert frame.ceiling == 4095
    assert frame.pixel_size_um == 0.645
    for plane, k in zip(frame.pixels, (0, 2, 3), strict=True):
        step = (LIMITS[k][1] - LIMITS[k][0]) / 255
        np.testing.assert_allclose(plane, counts(k), atol=0.51 * step)  # eight bits hold no more


def test_the_xml_says_which_page_is_which_channel(tmp_path):
    cartridge(tmp_path / "C1", n=1, xml=export(filters=("APC", "PE", "FITC", "DNA")))
    frame = formats.read(listed(tmp_path).frames[0], ASSAY)
    means = dict(zip(frame.roles, frame.pixels.mean(axis=(1, 2)), strict=True))
    for role, k in (("cd45", 0), ("ck", 1), ("dna", 3)):
        assert means[role] == pytest.approx(counts(k).mean(), rel=0.01)


def test_images_may_lie_in_single_folders_below_the_export(tmp_path):
    cartridge(tmp_path / "C1" / "C1.1.2" / "processed", n=2)
    (tmp_path / "C1" / "C1.1.2" / "C1.xml").write_text(export())
    found = listed(tmp_path)
    assert [ref.path for ref in found.frames] == [f"C1/C1.1.2/processed/C1_{k:03d}.tif" for k in (1, 2)]
    assert found.events[0][1] == tmp_path / "C1" / "C1.1.2" / "C1.xml"
    assert found.ignored == ()
    assert formats.read(found.frames[1], ASSAY).roles == ("dna", "ck", "cd45")


def test_events_go_to_their_place_in_a_grid_whose_second_row_runs_backwards(tmp_path):
    rows, columns = SHAPE
    xml = export(
        record(1, 1, (10, 12), assigned="true"),
        record(2, 3, (2 * columns + 4, 2)),
        record(3, 4, (2 * columns + 20, rows + 15), assigned="true"),  # below frame 3, not below frame 1
        record(4, 6, (0, rows + 20)),
    )
    cartridge(tmp_path / "C1", xml=xml)
    assert events(tmp_path) == [
        formats.Event("C1_001", 15, 14, True),
        formats.Event("C1_003", 5, 8, False),
        formats.Event("C1_004", 18, 24, True),
        formats.Event("C1_006", 23, 4, False),
    ]


def test_the_grid_goes_by_the_number_of_frames_where_the_xml_has_none(tmp_path):
    names = [f"{k:03d}" for k in range(1, 176)]  # 5 rows of 35
    xml = export(record(1, 36, (34 * 40 + 10, 30 + 5), assigned="true"), columns=0)
    path = tmp_path / "C1.xml"
    path.write_text(xml)
    assert formats.operator_events(path, names, SHAPE) == [formats.Event("036", 8, 14, True)]
    with pytest.raises(InputError, match="no numcols, and 9 frames"):
        formats.operator_events(path, names[:9], SHAPE)


def test_a_frame_that_is_missing_moves_no_event(tmp_path):
    xml = export(record(1, 3, (2 * 40 + 10, 12), assigned="true"), record(2, 2, (40 + 10, 12), assigned="true"))
    (cartridge(tmp_path / "C1", xml=xml) / "C1_002.tif").unlink()
    assert events(tmp_path) == [formats.Event("C1_003", 15, 14, True)]


def test_older_exports_say_how_many_pictures_were_selected(tmp_path):
    xml = export(record(1, 1, (10, 12), assigned="", numselected=2), record(2, 1, (20, 12), assigned=""))
    cartridge(tmp_path / "C1", n=1, xml=xml)
    assert [event.is_ctc for event in events(tmp_path)] == [True, False]


def test_the_tables_of_older_instruments(tmp_path):
    folder = cartridge(tmp_path / "C1", n=4)
    bar = "\xa6"
    for name in ("autoanalysis", "expdata", "exper", "frames"):
        (folder / f"{name}.dlm").write_bytes(b"")
    pictures = [bar.join([f'"t{k}"', "a", "b", str(k), "c"]) for k in range(1, 5)]
    (folder / "pic.dlm").write_bytes("\r\n".join(pictures).encode("latin-1"))
    cells = [
        bar.join(["1", "t3", "12.5", "20", "8", "6", *"abcd", "Y", "", ""]),
        bar.join(["2", "t4", "30", "4", "8", "6", *"abcd", "N", "", ""]),
    ]
    (folder / "cells.dlm").write_bytes("\r\n".join(cells).encode("latin-1"))
    found = listed(tmp_path)
    assert (found.format, found.ignored) == ("cellsearch", ())
    assert events(tmp_path) == [formats.Event("C1_003", 20, 12.5, True), formats.Event("C1_004", 4, 30, False)]
    (folder / "cells.dlm").write_bytes(b"1\xa6t9\xa612\xa620" + b"\xa6" * 9)
    with pytest.raises(InputError, match=r"line 1: found 't9'; expected a time that pic.dlm"):
        events(tmp_path)
    (folder / "cells.dlm").write_bytes(b"1|t3|12")
    with pytest.raises(InputError, match="1 columns; expected at least 11 columns with the byte A6"):
        events(tmp_path)


@pytest.mark.parametrize(
    ("xml", "reason"),
    [
        ("<archive>", "no XML"),
        (export(doctype='<!DOCTYPE archive [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'), "entity definitions"),
        (export(doctype='<!DOCTYPE archive [<!ENTITY % a SYSTEM "file:///etc/hostname"> %a;]>'), "entity definitions"),
        (export(doctype=f'<!DOCTYPE a [<!ATTLIST record x CDATA "{"y" * 999}">]>'), "an attribute with a long default"),
        ("<a>" * 200 + "</a>" * 200, "nested more than 100 deep"),
    ],
)
def test_an_export_that_cannot_be_read_is_refused_with_its_name(tmp_path, xml, reason):
    cartridge(tmp_path / "C1", n=1, xml=xml)
    with pytest.raises(InputError, match=f"C1.xml: found .*{reason}"):
        listed(tmp_path)


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (record(1, 1, (400, 12)), "event 1: found .* expected a location inside frame 1 of the grid of 3 columns"),
        (record(1, "x", (10, 12)), "event 1: found invalid literal"),
        (record(7, 1, (10, 12)).replace("(18,18)(10,12)", "(1,2)"), r"event 7: found location \(1,2\)"),
    ],
)
def test_an_event_outside_every_frame_is_refused(tmp_path, event, reason):
    cartridge(tmp_path / "C1", xml=export(event))
    with pytest.raises(InputError, match=reason):
        events(tmp_path)


def test_of_several_exports_the_one_with_the_folders_name_is_taken(tmp_path):
    folder = cartridge(tmp_path / "C1", n=1, xml=export())
    (folder / "other.xml").write_text("<a/>")
    assert listed(tmp_path).events[0][1].name == "C1.xml"
    (folder / "C1.xml").rename(folder / "C2.xml")
    with pytest.raises(InputError, match=r"found C2\.xml, other\.xml; expected one XML file of events"):
        listed(tmp_path)


@pytest.mark.parametrize(
    ("tags", "reason"),
    [([(755, 3, [9]), (756, 3, [2])], "stretch limits 9 and 2"), ([(755, 3, [9])], "without private tags")],
)
def test_frames_without_sound_limits_are_unusable(tmp_path, tags, reason):
    path = tiff_bytes.write(tmp_path / "f.tif", [tiff_bytes.Page(page.pixels, tags=tags) for page in pages()])
    with pytest.raises(FrameError, match=reason):
        formats.read(formats.FrameRef("f", "f", (path,), 0, "cellsearch"), ASSAY)
