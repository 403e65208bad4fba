"""Frames of one sample compared by their channels: another order of them, or a stain much weaker in one frame."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ctcascade import formats
from ctcascade.calling.channel_order import of_others
from ctcascade.calling.classify import call_sample
from ctcascade.formats.listing import list_frames
from ctcascade.images.detect import detect_frame
from tests.support.calling import assay, classify_job
from tests.support.detecting import camera, detect_job
from tests.support.runs import ROOT

IMAGES = ROOT / "test_data" / "images"
ROLES = ("dna", "ck", "cd45", "fitc")


@pytest.fixture(scope="module")
def frames():
    """Two frames of the demonstration, with their planes in the order of `ROLES`."""
    given = assay("cellsearch")
    of = camera(**{key: given[key] for key in ("channels", "pixel_size_um", "frame_px", "bit_depth")})
    listed = list_frames(["P01_1"], IMAGES, "auto", of)
    return [formats.read(replace(ref, files=tuple(IMAGES / f for f in ref.files)), of) for ref in listed.frames[:2]]


def failed(*frames):
    """Return the claims that fail in a sample of these frames, and their reasons."""
    job = detect_job(assay("cellsearch"), "P01_1")
    made = [detect_frame(frame, f"f{k + 1}", job, job.frame_limits)[:2] for k, frame in enumerate(frames)]
    tables = [pd.concat(part, ignore_index=True) for part in zip(*made, strict=True)]
    claims = call_sample(classify_job(assay("cellsearch")), *tables).reference.claims
    assert [claim.verdict for claim in claims if claim.claim == "channels_in_order"] != []
    return {claim.claim: claim.reason for claim in claims if claim.verdict == "fails"}


def in_order(frame, order):
    at = [frame.roles.index(role) for role in order]
    pixels = frame.pixels.copy()
    for role, plane in zip(ROLES, frame.pixels[at], strict=True):
        pixels[frame.roles.index(role)] = plane
    return replace(frame, pixels=pixels)


@pytest.mark.property
@pytest.mark.parametrize(
    ("order", "said"),
    [
        (("cd45", "ck", "dna", "fitc"), "DNA looks like CD45, CD45 looks like DNA"),
        (("ck", "dna", "cd45", "fitc"), "DNA looks like cytokeratin, cytokeratin looks like DNA"),
        (("dna", "fitc", "cd45", "ck"), "cytokeratin looks like fitc"),
        (("ck", "cd45", "fitc", "dna"), "cytokeratin looks like DNA"),
    ],
)
def test_a_frame_whose_channels_have_another_order_withholds_the_count(frames, order, said):
    assert said in failed(frames[0], in_order(frames[1], order))["channels_in_order"]


@pytest.mark.property
@pytest.mark.parametrize("gain", [0.6, 1.0, 1.6])
@pytest.mark.parametrize("roles", [ROLES, ("dna",), ("ck",), ("cd45",)])
def test_frames_that_differ_by_light_and_background_are_in_order(frames, gain, roles):
    pixels = frames[1].pixels.copy()
    for role in roles:
        at = frames[1].roles.index(role)
        pixels[at] = np.rint(pixels[at] * gain)
    assert failed(frames[0], replace(frames[1], pixels=pixels)) == {}


@pytest.mark.property
@pytest.mark.parametrize(("role", "word"), [("ck", "cytokeratin"), ("cd45", "CD45")])
@pytest.mark.parametrize("share", [0.1, 0.05, 0.03])
def test_a_stain_that_one_frame_of_two_hardly_shows_is_missing_there(frames, role, word, share):
    pixels, at = frames[1].pixels.copy(), frames[1].roles.index(role)
    dark = np.median(pixels[at])
    pixels[at] = np.rint(dark + (pixels[at] - dark) * share)
    assert failed(frames[0], replace(frames[1], pixels=pixels))[f"{role}_in_every_frame"] == (
        f"{word} is missing in 1 of 2 frames (f2)"
    )


@pytest.mark.property
@pytest.mark.parametrize("n", [2, 3, 4, 7])
def test_the_median_of_the_others(n):
    values = np.random.default_rng(n).integers(0, 5, n).astype(float)
    assert of_others(values) == pytest.approx([np.median(np.delete(values, k)) for k in range(n)])
