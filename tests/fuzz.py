"""Mutated files for every reader: each is read, or refused with a message; nothing else may happen.

A crash is any exception but a refusal, more than `SECONDS` of processor time for a case (or four times as long on the
clock), or more than `MEMORY` bytes on top of what the process already holds. A mutant that is refused for a new reason
joins the seeds, so that the search goes deeper than one step. The same seed gives the same cases.

    python tests/fuzz.py [CASES] [TARGET ...]     crashing files are kept in build/fuzz/
"""

import contextlib
import copy
import functools
import io
import logging
import re
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import imagecodecs
import numpy as np
import tifffile
from PIL import Image

from ctcascade import formats
from ctcascade.data.camera import Camera
from ctcascade.data.errors import InputError, refuse_all
from ctcascade.formats import FrameError, FrameRef, axioscan, bzscanner, listing
from ctcascade.formats.decoding import reading
from ctcascade.study import checking, jobs, reviews, scenarios, sheets, text_files
from ctcascade.study.assay import read_assay
from ctcascade.study.patient import PatientRow, patient_faults
from ctcascade.study.sample import SampleRow
from ctcascade.study.settings import Settings
from tests.support import czi_bytes, leica_bytes, nd2_bytes, olympus_files, tiff_bytes, zarr_bytes
from tests.support.detecting import camera, detect_job

read_yaml = text_files.read_yaml
ROOT = Path(__file__).parent.parent
SECONDS, MEMORY = 5.0, 3 * 2**29
ROUND = 10_000  # cases of one seed
ASSAY = camera(
    channels={"dna": ["DAPI", "DNA"], "ck": ["CK", "TRITC"], "cd45": ["CD45", "CY5"], "fitc": ["FITC"]},
    pixel_size_um=0.645,
    frame_px=[12, 16],
    bit_depth=12,
    files="{frame}_{channel}",
    channel_order="trusted",
)
STACKS = ASSAY.model_copy(update={"z": "max"})
NAMES = ("DAPI", "CK", "CD45", "FITC")
PLANES = (np.arange(4 * 12 * 16).reshape(4, 12, 16) * 37 % 4000).astype(np.uint16)
REFUSALS = (FrameError, InputError)
TOKENS = [
    b"nan",
    b"inf",
    b"-1",
    b"0",
    b"1e999",
    b"9" * 40,
    b"\0",
    b"\xff\xfe",
    b"'",
    b'"',
    b"\t",
    b"\n",
    b";",
    b",",
    b":",
]
TOKENS += [
    b"- ",
    b"&a ",
    b"*a",
    b"!!python/object/apply:os.system ['true']",
    b"<<: *a",
    b"{",
    b"[",
    b"2026-02-30",
    b"../",
]
TOKENS += [
    "\u202e".encode(),
    "٣".encode(),
    b"x" * 70_000,
    b"<!DOCTYPE a [<!ENTITY b 'c'>]>",
    b"</Pixels>",
    b"true",
    b"~",
]
EDGES = [0, 1, 2, 3, 7, 8, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]

_CELLS = "1|t1|9|5|4|4|a|b|c|d|Y|\n2|t1|3|4|4|4|a|b|c|d|N|\n".replace("|", "\xa6").encode("latin-1")
_SCAN = b"""!<csi_images.csi_scans.Scan>
pixel_size_um: 0.652
tile_width_px: 50
tile_height_px: 40
tile_overlap_proportion: 0.1
channels:
- !<csi_images.csi_scans.Scan.Channel>
  name: DAPI
"""
_LIMITS = [(755, 4, 1, 100, False), (756, 4, 1, 4000, False)]
_EVENTS = b"""<?xml version="1.0"?><archive><runs><record><numcols>2</numcols></record></runs><events>
<record><eventnum>1</eventnum><framenum>1</framenum><location>(9,9)(3,4)</location><assigned>true</assigned></record>
<record eventnum="2" framenum="2" location="(29,9)(23,4)" numselected="0"/></events></archive>"""


class Target(NamedTuple):
    """A reader with whole files to start from; `read` is given the path of the mutant."""

    name: str
    suffix: str
    seeds: list[bytes]
    read: Callable[[Path], object]


def targets() -> list[Target]:
    """Return every reader of files from outside."""
    return [
        Target("ome-tiff", ".tif", [*_tiffs(), *_tiffs(ome=True)], _frame("ome-tiff")),
        Target("files-tiff", ".tif", _tiffs(grey=True), _frame("files", NAMES[:3])),
        Target("files-picture", ".png", [_picture("png"), _picture("jpeg")], _frame("files", NAMES[:3])),
        Target("bzscanner", ".jpg", [_picture("jpeg"), _picture("png")], _frame("bzscanner", ("DAPI", "TRITC", "CY5"))),
        Target("cellsearch", ".tif", _tiffs(extratags=_LIMITS), _frame("cellsearch")),
        Target("events", ".xml", [_EVENTS], lambda path: formats.operator_events(path, ["f1", "f2"], (12, 16))),
        Target("events, older", ".dlm", [_CELLS], _older_events),
        Target("hyperstack", ".tif", [_imagej(in_one) for in_one in (False, True)], _frame("ome-tiff")),
        Target("slide", ".tif", [_slide(), _slide(deflate=True), _slide(tile=(16, 64), deflate=True)], _of_slide),
        Target("ome-zarr", ".joined", _zarrs(), _of_zarr),
        Target("czi", ".czi", _czis(), _of_czi),
        Target("nd2", ".nd2", _nd2s(), _of_container("nd2")),
        Target("lif", ".lif", _written(".lif", _lif), _of_container("lif")),
        Target("lof", ".lof", _written(".lof", _lof), _of_container("lif")),
        Target("oib", ".oib", _written(".oib", _oib), _of_container("oif")),
        Target("oif", ".joined", _oifs(), _of_oif),
        Target("scan", ".yaml", [_SCAN], axioscan._scan),
        Target("tags", ".tags", [b"PreservedMinValue=0.1\nPreservedMaxValue=0.9\n"], _preserved),
        Target("header words", ".tif", [*_tiffs(ome=True), _picture("png"), _picture("jpeg")], _words),
        Target("samples", ".tsv", _texts("config/samples.tsv"), _sheet(SampleRow, "\t")),
        Target("patients", ".tsv", _texts("config/patients.tsv"), _sheet(PatientRow, "\t")),
        Target("review", ".csv", [_review()], _reviewed),
        Target("config", ".yaml", _texts("config/config.yaml"), _settings_file),
        Target("assay", ".yaml", _texts("config/assays/cellsearch.yaml", "config/assays/hdsca.yaml"), _assay),
        Target("study", ".yaml", _texts("config/config.yaml"), _study),
        Target(
            "what-if",
            ".yaml",
            [b"half: {shedding_cut: 0.5, from_years: 0.25}\nscans: {scans_every_years: 0.5}\n"],
            scenarios.read,
        ),
        Target("settings", ".json", [detect_job(ASSAY, "frames").model_dump_json().encode()], _settings),
    ]


def mutate(rng: np.random.Generator, whole: list[bytes], seeds: list[bytes]) -> bytes:
    """Return one of the whole files, or less often of the seeds, with one change, or less often several."""
    start = whole if rng.random() < 0.7 else seeds
    data = bytearray(start[rng.integers(len(start))])
    for _ in range(int(rng.geometric(0.6))):
        near_an_end = int(min(rng.exponential(150), len(data)))  # where headers and directories are
        at = [int(rng.integers(len(data) + 1)), near_an_end, len(data) - near_an_end][rng.integers(3)]
        span = int(rng.integers(1, 1 + max(1, min(64, len(data) - at))))
        kind = rng.choice(9, p=[0.3, 0.1, 0.1, 0.1, 0.02, 0.1, 0.18, 0.05, 0.05])
        if kind == 0 and at < len(data):
            data[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            data[at : at + span] = b""
        elif kind == 2:
            data[at:at] = data[at : at + span] * int(rng.integers(1, 9))
        elif kind == 3:
            data[at : at + span] = rng.bytes(span)
        elif kind == 4:
            data[at:] = b""
        elif kind == 5:
            data[at:at] = TOKENS[rng.integers(len(TOKENS))]
        elif kind == 6:  # a number in a binary header, where such numbers are
            at -= at % 2
            data[at : at + 4] = struct.pack("<I", EDGES[rng.integers(len(EDGES))])
        elif kind == 7:
            other = seeds[rng.integers(len(seeds))]
            data[at:] = other[int(rng.integers(len(other) + 1)) :]
        else:
            data[at : at + span] = TOKENS[rng.integers(len(TOKENS))]
    return bytes(data)


def mutate_structure(rng: np.random.Generator, suffix: str, seeds: list[bytes]) -> bytes:
    """Return a seed with some of its claims replaced: tags and links of a TIFF, pieces in the directory of a CZI."""
    data = bytearray(seeds[rng.integers(len(seeds))])
    places = _claims_of_czi(data) if suffix == ".czi" else _claims_of_tiff(data)
    for _ in range(int(rng.geometric(0.4))):
        if not places:
            break
        order, at, code = places[rng.integers(len(places))]
        size = struct.calcsize(code)
        (was,) = struct.unpack_from(order + code, data, at)
        near = [
            was + 1,
            was - 1,
            was * 2,
            was // 2,
            -was,
            was << 8,
            was << 16,
            10**6,
            999_999,
            len(data),
            len(data) - 9,
        ]
        value = (near + EDGES + TAG_WORDS + [place for _, place, _ in places])[
            rng.integers(len(near) + len(EDGES) + len(TAG_WORDS) + len(places))
        ]
        struct.pack_into(order + code.upper(), data, at, int(value) % 2 ** (8 * size))
    return bytes(data)


TAG_WORDS = [1, 2, 3, 5, 6, 7, 8, 16, 17, 32, 64, 128, 254, 258, 259, 273, 277, 284, 322, 324, 325, 330, 338, 339]
TAG_WORDS += [32773, 34712, 34925, 50000]


def _claims_of_tiff(data: bytes) -> list[tuple[str, int, str]]:
    """Return order, place and size of each number in the directories of a TIFF."""
    order = {b"II": "<", b"MM": ">"}.get(bytes(data[:2]), "")
    if not order or len(data) < 16:
        return []
    big = data[2:4] in (b"+\0", b"\0+")
    offset_code, count_code, entry, count = ("Q", "Q", 20, 8) if big else ("I", "H", 12, 2)
    found, link, seen = [], 8 if big else 4, set()
    while link + 8 <= len(data) and len(seen) < 40:
        found.append((order, link, offset_code))
        (at,) = struct.unpack_from(order + offset_code, data, link)
        if at in seen or at == 0 or at + count > len(data):
            break
        seen.add(at)
        (n,) = struct.unpack_from(order + count_code, data, at)
        if at + count + n * entry + 8 > len(data):
            break
        for k in range(n):
            tag = at + count + k * entry
            found += [(order, tag, "H"), (order, tag + 2, "H"), (order, tag + 4, offset_code)]
            found += [(order, tag + entry - (8 if big else 4), offset_code)] * 3
        link = at + count + n * entry
    return found


def _claims_of_czi(data: bytes) -> list[tuple[str, int, str]]:
    """Return order, place and size of each number in the directory of a CZI, and of its other segments' heads."""
    found, at = [], data.find(b"ZISRAWDIRECTORY")
    while 0 <= (at := data.find(b"DV", at + 1)) < len(data) - 40:
        found += [("<", at + 2, "I"), ("<", at + 6, "Q"), ("<", at + 14, "I"), ("<", at + 18, "I"), ("<", at + 28, "I")]
        for k in range(6):
            axis = at + 32 + 20 * k
            if axis + 20 > len(data) or data[axis : axis + 1] not in (b"X", b"Y", b"C", b"S", b"M", b"Z"):
                break
            found += [("<", axis + 4, "I"), ("<", axis + 8, "I"), ("<", axis + 16, "I")]
    for name in (b"ZISRAW",):
        at = -1
        while 0 <= (at := data.find(name, at + 1)) < len(data) - 80:
            found += [("<", at + 16, "Q"), ("<", at + 24, "Q"), ("<", at + 32, "I"), ("<", at + 40, "Q")]
    return found


class Outcome(NamedTuple):
    """How many mutants were refused, what went wrong with others, and the processor time of the slowest, s."""

    n_refused: int
    crashes: list[str]
    slowest_s: float


def fuzz(target: Target, cases: int, seed: int, folder: Path, keep: Path | None = None) -> Outcome:
    """Return what became of `cases` mutants."""
    slowest = 0.0
    rng, corpus, reasons, crashes, n_refused = np.random.default_rng(seed), list(target.seeds), set(), [], 0
    path = folder / f"S1.R1{target.suffix}"
    longest = 4096 + 2 * max(map(len, target.seeds))  # larger mutants are tried, but are too slow as seeds
    for _ in range(cases):
        structured = target.suffix in (".tif", ".czi") and rng.random() < 0.5
        mutant = mutate_structure(rng, target.suffix, target.seeds) if structured else None
        data = mutant if mutant is not None else mutate(rng, target.seeds, corpus)
        path.write_bytes(data)
        began = time.process_time()
        try:
            with _limited():
                target.read(path)
                slowest = max(slowest, _spent(began))
        except REFUSALS as refusal:
            n_refused += 1
            slowest = max(slowest, took := time.process_time() - began)
            if took > SECONDS:
                crashes.append(f"TimeoutError: more than {SECONDS} s until it was refused: {str(refusal)[:100]}")
            reason = re.sub(r"\W+|\d+", "", str(refusal))[:60]
            if reason not in reasons and len(data) < longest and len(corpus) < 2000:
                reasons.add(reason)
                corpus.append(data)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            crashes.append(f"{type(error).__name__}: {str(error)[:200]} at {_where(error)}")
            if keep:
                keep.mkdir(parents=True, exist_ok=True)
                (keep / f"{target.name.replace(' ', '-')}-{zlib.crc32(data):08x}{target.suffix}").write_bytes(data)
    return Outcome(n_refused, crashes, slowest)


def _spent(began: float) -> float:
    spent = time.process_time() - began
    if spent > SECONDS:
        raise TimeoutError(f"more than {SECONDS} s")
    return spent


def _where(error: BaseException) -> str:
    return " < ".join(f"{f.name}:{f.lineno}" for f in reversed(traceback.extract_tb(error.__traceback__)[-4:]))


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    def late(*_: object) -> None:
        raise TimeoutError(f"more than {4 * SECONDS} s on the clock")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, 4 * SECONDS)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _frame(fmt: str, channels: tuple[str, ...] = ()) -> Callable[[Path], object]:
    def read(path: Path) -> object:
        files = [path]
        for number in range(1, len(channels)):  # the mutant is one channel's file; the others are sound and differ
            sound = PLANES[number] if path.suffix == ".tif" else (PLANES[number] >> 4).astype(np.uint8)
            files.append(path.with_name(f"channel{number}.png"))
            if not files[-1].exists():
                Image.fromarray(sound).save(files[-1])
        files = tuple(files)
        return formats.read(FrameRef("f", path.name, files, 0, fmt, channels), ASSAY)

    return read


def _of_slide(path: Path) -> object:
    return formats.read(listing.list_frames([path.name], path.parent, "slide", ASSAY).frames[-1], ASSAY)


def _older_events(path: Path) -> object:
    path.with_name("pic.dlm").write_bytes(b'"t1"\xa6a\xa6b\xa61\xa6c\n')
    return formats.operator_events(path, ["f1"], (12, 16))


def _preserved(path: Path) -> object:
    with reading(path.name):
        return bzscanner._preserved(path)


def _imagej(in_one: bool) -> bytes:
    text = "ImageJ=1.53t\nimages=4\nchannels=4\nhyperstack=true\nunit=micron\n"
    first = np.concatenate(PLANES) if in_one else PLANES[0]
    size = {282: (2, 1), 283: (2, 1)}
    page = tiff_bytes.Page(first, description=text, rational=size, declared=PLANES[0].shape if in_one else None)
    return tiff_bytes.as_bytes([page, *(() if in_one else map(tiff_bytes.Page, PLANES[1:]))], ">")


def _slide(**how: object) -> bytes:
    wide = np.tile(PLANES[:, :2], (1, 1, 200))  # 3,200 across: two frames
    return tiff_bytes.as_bytes([tiff_bytes.Page(plane, **how) for plane in wide], big=bool(how))


_BETWEEN = b"\n#file "  # files of a folder in one, so that a mutation may hit any of them


def _zarrs() -> list[bytes]:
    made = []
    wide = np.tile(PLANES, (1, 6, 200))  # 72 x 3,200: two frames
    third = {"version": 3, "code": "zstd"}
    for how in ({"code": "zlib"}, {"code": "blosc", "separator": "/"}, third, {**third, "shard": (1, 2)}):
        with tempfile.TemporaryDirectory() as folder:
            zarr_bytes.write(Path(folder), wide, NAMES, chunk=(72, 1600), **how)
            made.append(_joined(Path(folder)))
    return made


def _of_zarr(path: Path) -> object:
    folder = path.with_suffix(".zarr")
    _unjoined(path.read_bytes(), folder)
    return [
        formats.read(ref, ASSAY) for ref in listing.list_frames([folder.name], folder.parent, "auto", ASSAY).frames[:2]
    ]


def _czis() -> list[bytes]:
    wide = np.tile(PLANES, (1, 1, 4))  # 12 x 64 in tiles that overlap, then in tiles that touch
    made = []
    for step, coders in ((20, {0: bytes}), (32, {5: zarr_bytes.zstd, 6: lambda data: b"\1" + zarr_bytes.zstd(data)})):
        for method, coded in coders.items():
            pieces = czi_bytes.mosaic(wide, [(0, 0), (0, step)], (12, 32))
            pieces = [p | {"compression": method, "data": coded(p["pixels"].tobytes())} for p in pieces]
            made.append(czi_bytes.as_bytes(pieces, czi_bytes.xml(NAMES)))
    pieces = [p | {"compression": 4} for p in czi_bytes.mosaic(wide, [(0, 0)], (12, 64))]
    pieces = [p | {"data": imagecodecs.jpegxr_encode(p["pixels"], level=1.0)} for p in pieces]
    return [*made, czi_bytes.as_bytes(pieces, czi_bytes.xml(NAMES))]


def _of_czi(path: Path) -> object:
    return [formats.read(ref, ASSAY) for ref in listing.list_frames([path.name], path.parent, "czi", ASSAY).frames[:2]]


def _of_container(fmt: str, of: Camera = STACKS) -> Callable[[Path], object]:
    def read(path: Path) -> object:
        refs = listing.list_frames([f"{path.name}::*"], path.parent, fmt, of).frames
        return [formats.read(ref, of) for ref in refs[:2]]

    return read


def _written(suffix: str, *writers: Callable[[Path], object]) -> list[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"S1{suffix}")
        made = []
        for write in writers:
            write(path)
            made.append(path.read_bytes())
    return made


def _nd2s() -> list[bytes]:
    many = np.stack([PLANES, PLANES[::-1]])[:, None]  # two positions
    deep = many.swapaxes(0, 1)
    places = (("left", 1.0, 2.0), ("right", 30.0, 2.0))
    return _written(
        ".nd2",
        lambda path: nd2_bytes.write(path, many[:1], NAMES, um=0.645, text="Exposure: 10 ms"),
        lambda path: nd2_bytes.write(path, many, NAMES, um=0.645, positions=places),
        lambda path: nd2_bytes.write(path, deep[:, :1], NAMES, calibrated=False),
    )


def _lif(path: Path) -> None:
    tiles = "".join(f'<Tile FieldX="{k}" FieldY="0" PosX="{k * 1e-4}" PosY="0.002"/>' for k in range(2))
    scan = f'<Attachment Name="TileScanInfo" FlipX="0" FlipY="0" SwapXY="0">{tiles}</Attachment>'
    one = leica_bytes.Series("one", PLANES, "CYX", dyes=NAMES, um=0.645)
    many = leica_bytes.Series("m", np.stack([PLANES, PLANES]), "MCYX", dyes=NAMES, um=0.645, attachments=scan)
    leica_bytes.write_lif(path, [one, many])


def _lof(path: Path) -> None:
    leica_bytes.write_lof(path, leica_bytes.Series("one", PLANES, "CYX", dyes=NAMES, um=0.645))


def _oib(path: Path) -> None:
    olympus_files.write_oib(path.with_suffix(""), np.tile(PLANES, (1, 4, 4))[None], NAMES, um=0.645)


def _oifs() -> list[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        olympus_files.write_oif(Path(folder, "f"), PLANES[None], NAMES, um=0.645)
        return [_joined(Path(folder))]


def _joined(folder: Path) -> bytes:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return b"".join(_BETWEEN + bytes(p.relative_to(folder)) + b"\n" + p.read_bytes() for p in files)


def _of_oif(path: Path) -> object:
    _unjoined(path.read_bytes(), path.with_suffix(".folder"))
    refs = listing.list_frames(["."], path.with_suffix(".folder"), "oif", ASSAY).frames
    return [formats.read(ref, ASSAY) for ref in refs[:2]]


def _unjoined(data: bytes, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for part in data.split(_BETWEEN)[1:]:
        name, _, content = part.partition(b"\n")
        with contextlib.suppress(OSError, ValueError):  # a mutant of a name
            place = folder / name.decode()
            if place.resolve().is_relative_to(folder):
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(content)


def _words(path: Path) -> object:
    return formats.read_words(FrameRef("f", path.name, (path,), 0, "ome-tiff"))


def _sheet(kind: type, delimiter: str) -> Callable[[Path], object]:
    def read(path: Path) -> object:
        faults: list = []
        rows = text_files.read_sheet(path, kind, faults, delimiter)
        if kind is PatientRow:
            faults += patient_faults(path, rows)
        refuse_all(faults)
        return rows

    return read


def _reviewed(path: Path) -> object:
    faults: list = []
    review = reviews.read(path, faults)
    refuse_all(faults)
    return review


def _settings_file(path: Path) -> object:
    faults: list = []
    found = text_files.read_yaml(path, faults)
    if not faults:
        checking.check(Settings, found, str(path), faults)
    refuse_all(faults)
    return found


def _assay(path: Path) -> object:
    faults: list = []
    found = read_assay(path, faults)
    refuse_all(faults)
    return found


def _study(path: Path) -> object:
    with mock.patch.object(text_files, "read_yaml", _shipped_once):
        return sheets.read_study([ROOT / "config" / "config.yaml", path], {})


def _shipped_once(path: Path, faults: list, *expected: str) -> dict:
    """Read a YAML file; those of the study around the mutant never change and are read once."""
    return copy.deepcopy(_shipped(path)) if path.resolve().is_relative_to(ROOT) else read_yaml(path, faults, *expected)


@functools.cache
def _shipped(path: Path) -> dict:
    return read_yaml(path, [])


def _settings(path: Path) -> object:
    return jobs.read(jobs.DetectJob, path.read_bytes().decode("utf-8", "surrogateescape"))


def _tiffs(ome: bool = False, grey: bool = False, **more: object) -> list[bytes]:
    made = []
    for options in (
        {},
        {"compression": "lzw"},
        {"compression": "zlib", "predictor": True},
        {"bigtiff": True},
        {"byteorder": ">"},
    ):
        file = io.BytesIO()
        metadata = {"axes": "CYX", "Channel": {"Name": list(NAMES)}, "PhysicalSizeX": 0.645} if ome else None
        pixels = PLANES[0] if grey else PLANES
        tifffile.imwrite(file, pixels, photometric="minisblack", ome=ome, metadata=metadata, **options, **more)
        made.append(file.getvalue())
    return made


def _picture(kind: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray((PLANES[0] >> 4).astype(np.uint8)).save(file, kind)
    return file.getvalue()


def _texts(*names: str) -> list[bytes]:
    return [(ROOT / name).read_bytes() for name in names]


def _review() -> bytes:
    columns = reviews.ReviewedCell.model_fields
    given = {"sample": "S1", "reviewer": "R1", "calls_sha256": "0" * 64, "frame": "f1", "cell": "1"}
    given |= {"call": "ctc", "x_px": "3.5", "y_px": "4"}
    return (",".join(columns) + "\n" + ",".join(given.get(name, "") for name in columns) + "\n").encode()


def main(cases: int, chosen: list[str]) -> int:
    """Fuzz the chosen targets, or all; return 1 if anything crashed."""
    logging.disable()
    held = int(re.search(r"VmSize:\s+(\d+)", Path("/proc/self/status").read_text()).group(1)) * 1024
    resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY, resource.RLIM_INFINITY))
    bad = 0
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        for target in targets():
            if chosen and target.name not in chosen:
                continue
            bad += _in_rounds(target, cases, Path(folder))
    return int(bad > 0)


def _in_rounds(target: Target, cases: int, folder: Path) -> int:
    """Fuzz a target with a seed for each round, and print what has become of all cases after each; return crashes."""
    began, sum_of, crashes, slowest = time.process_time(), [0, 0], list[str](), 0.0
    for seed, first in enumerate(range(0, cases, ROUND), start=1):
        n = min(ROUND, cases - first)
        found = fuzz(target, n, seed, folder, ROOT / "build" / "fuzz")
        sum_of = [sum_of[0] + n, sum_of[1] + found.n_refused]
        slowest, crashes = max(slowest, found.slowest_s), crashes + found.crashes
        print(
            f"{target.name:14} {sum_of[0]} cases, {sum_of[1]} refused, {len(crashes)} crashed, "
            f"{time.process_time() - began:.0f} s of processor time, the slowest {slowest:.2f} s, "
            f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB",
            flush=True,
        )
        for crash, times in _counted(found.crashes):
            print(f"    {times} x {crash}", flush=True)
    return len(crashes)


def _counted(crashes: list[str]) -> list[tuple[str, int]]:
    return sorted(((crash, crashes.count(crash)) for crash in set(crashes)), key=lambda item: -item[1])[:20]


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000, sys.argv[2:]))
