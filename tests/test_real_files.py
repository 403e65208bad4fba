"""Real files of many microscopes: what is read has the pixels that the vendor's library reads, the rest is refused."""

import pytest

from verification import real_files

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not real_files.FOLDERS[0].is_dir(), reason="../shared/data/fmt_real is not here"),
]
FILES = list(real_files.images(real_files.FOLDERS[0])) if real_files.FOLDERS[0].is_dir() else []
NEVER = ("Traceback", "NoneType", "Error", "[Errno", "index out of range", "unpack", "invalid")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_real_file_is_read_right_or_refused_in_words(path):
    row = real_files.row_of(path, real_files.FOLDERS[0])
    assert "DIFFER" not in row.pixels
    assert row.n_read == row.n_frames or row.with_roles not in ("", "read")
    assert not [word for word in NEVER if word in row.message + row.with_roles]
    assert len(row.message) > 20  # most files have fewer than three stains


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("cluster.nd2", "this is a Nikon ND2 file (channels 5-FAM/pH 9.0, FM 4-64/2% CHAPS): 3 points in time"),
        ("testdata_2channel_xz.lif", "this is a Leica LIF file, image xz: a scan over C, Z, X"),
        ("DAPI_GFP.czi", "channel missing: ck, cd45; the file names DAPI, GFP"),
        ("1_TRITC.tif", "a colour picture (RGB), where grey pages are expected"),
        ("labeled_positions_NDTiffStack.tif", "channel missing: ck, cd45; the file names DAPI"),
        ("Images", "channel missing: dna, ck, cd45; the file names Fluorescein (FITC)"),
    ],
)
def test_what_a_person_is_told_of_a_real_file(name, said):
    (path,) = (path for path in FILES if path.name == name)
    assert real_files.row_of(path, real_files.FOLDERS[0]).message.startswith(said)


def test_most_of_the_real_files_are_compared_plane_by_plane():
    rows = [real_files.row_of(path, real_files.FOLDERS[0]) for path in FILES]
    assert sum("planes equal" in row.pixels for row in rows) >= 20
