"""An error of the file layer at any call of a reader fails the job: it makes no frame unusable, and no other pixels."""

import contextlib
import errno
import os

import numpy as np
import pytest

from ctcascade import formats
from ctcascade.formats import FrameError, olympus
from ctcascade.formats.decoding import reading
from ctcascade.formats.listing import list_frames
from ctcascade.formats.watched import Watched, opened
from tests.support import czi_bytes, leica_bytes, nd2_bytes, olympus_files, tiff_bytes, zarr_bytes
from tests.support.detecting import camera

pytestmark = pytest.mark.unit

NAMES = ("DAPI", "CK", "CD45")
ASSAY = camera(
    channels={"dna": ["DAPI"], "ck": ["CK"], "cd45": ["CD45"]}, pixel_size_um=0.6, frame_px=[60, 80], bit_depth=12
)
PLANES = np.random.default_rng(3).integers(100, 4000, (3, 60, 80)).astype(np.uint16)
WIDE = np.tile(PLANES[:, :12], (1, 1, 40))  # 3,200 across: two frames of a slide


def _slide(folder):
    text = "<OME><Image><Pixels>" + "".join(f'<Channel Name="{name}"/>' for name in NAMES) + "</Pixels></Image></OME>"
    (folder / "f.ome.tif").write_bytes(
        tiff_bytes.as_bytes([tiff_bytes.Page(plane, description="" if k else text) for k, plane in enumerate(WIDE)])
    )


def _lif(folder):
    leica_bytes.write_lif(folder / "f.lif", [leica_bytes.Series("one", PLANES, "CYX", dyes=NAMES, um=0.6)])


def _lof(folder):
    leica_bytes.write_lof(folder / "f.lof", leica_bytes.Series("one", PLANES, "CYX", dyes=NAMES, um=0.6))


def _czi(folder):
    pieces = czi_bytes.mosaic(PLANES, [(0, 0)], PLANES.shape[1:])
    (folder / "f.czi").write_bytes(czi_bytes.as_bytes(pieces, czi_bytes.xml(NAMES)))


WRITERS = {
    "slide": _slide,
    "lif": _lif,
    "lof": _lof,
    "czi": _czi,
    "nd2": lambda folder: nd2_bytes.write(folder / "f.nd2", PLANES[None, None], NAMES, um=0.6),
    "zarr": lambda folder: zarr_bytes.write(
        folder / "f.zarr", PLANES, NAMES, chunk=(60, 40), version=3, code="zstd", shard=(1, 2)
    ),
}


class FailsOnce:
    """Makes one call of watched files fail, and counts the calls."""

    def __init__(self, monkeypatch):
        self.arm(None, 0)
        noted = Watched._noted

        def failing(file, call, *args):
            self.names.append(call.__name__)
            if len(self.names) - 1 == self.at:
                return noted(file, self._fail if self.number else lambda *_: None)
            return noted(file, call, *args)

        monkeypatch.setattr(Watched, "_noted", failing)

    def _fail(self):
        raise OSError(self.number, os.strerror(self.number))

    def arm(self, at, number):
        self.names, self.at, self.number = [], at, number


@pytest.mark.parametrize("number", [errno.EIO, errno.ETIMEDOUT])
@pytest.mark.parametrize("kind", WRITERS)
def test_a_call_that_fails_once_fails_the_reading_and_the_next_attempt_is_right(kind, number, monkeypatch, tmp_path):
    WRITERS[kind](tmp_path)
    (ref, *_) = list_frames([tmp_path.name], tmp_path.parent, "auto", ASSAY).frames
    _forget()
    once = FailsOnce(monkeypatch)
    right = formats.read(ref, ASSAY).pixels
    calls = once.names
    assert {"seek", "tell"} < set(calls)
    for at in range(len(calls)):
        _forget()
        once.arm(at, number)
        with pytest.raises(OSError, match=os.strerror(number)) as caught:
            formats.read(ref, ASSAY)
        assert caught.value.errno == number, at
    once.arm(None, 0)
    np.testing.assert_array_equal(formats.read(ref, ASSAY).pixels, right)


def _forget():
    """Forget what the directory of a CZI said: it would not be read again."""
    formats.czi._slide.cache_clear()


@pytest.mark.parametrize("kind", ["slide", "lif", "czi"])
def test_a_file_layer_that_says_try_again_fails_the_reading(kind, monkeypatch, tmp_path):
    WRITERS[kind](tmp_path)
    (ref, *_) = list_frames([tmp_path.name], tmp_path.parent, "auto", ASSAY).frames
    _forget()
    once = FailsOnce(monkeypatch)
    formats.read(ref, ASSAY)
    reads = [at for at, name in enumerate(once.names) if name.startswith("read")]
    assert reads
    for at in reads:
        _forget()
        once.arm(at, 0)
        with pytest.raises(BlockingIOError):
            formats.read(ref, ASSAY)


def test_what_a_decoder_swallowed_is_raised_at_the_end(monkeypatch, tmp_path):
    (tmp_path / "f").write_bytes(b"12345678")
    once = FailsOnce(monkeypatch)

    def swallowing():
        with reading("f"), opened(tmp_path / "f") as file:
            once.arm(0, errno.EIO)
            with contextlib.suppress(OSError):  # as libraries do
                file.read(4)

    with pytest.raises(OSError, match="Input/output error"):
        swallowing()
    once.arm(None, 0)
    with reading("f"), opened(tmp_path / "f") as file:
        assert file.read() == b"12345678"


def test_a_place_that_no_file_has_is_the_fault_of_what_the_file_says(tmp_path):
    (tmp_path / "f").write_bytes(b"12345678")

    def broken():
        with reading("f"), opened(tmp_path / "f") as file:
            with contextlib.suppress(OSError):
                file.raw.seek(-1)
            raise ValueError("broken")

    with pytest.raises(FrameError, match="broken"):
        broken()


def test_planes_that_the_folder_of_an_oif_holds_and_the_library_does_not_list_fail_the_reading(monkeypatch, tmp_path):
    import oiffile.oiffile as library  # noqa: PLC0415

    olympus_files.write_oif(tmp_path / "f", PLANES[None], NAMES, um=0.6)
    (ref,) = list_frames([tmp_path.name], tmp_path.parent, "auto", ASSAY).frames
    glob = library.glob
    monkeypatch.setattr(library, "glob", lambda pattern: [name for name in glob(pattern) if "C002" not in name])
    with pytest.raises(OSError, match=r"s_C002\.tif was not listed"):
        olympus.read(ref, ASSAY)
    monkeypatch.setattr(library, "glob", glob)
    np.testing.assert_array_equal(olympus.read(ref, ASSAY).pixels, PLANES)
