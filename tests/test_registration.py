"""Channels are laid upon each other where they correlate, left alone where nothing shows, refused if from elsewhere."""

import numpy as np
import pytest
from scipy import ndimage
from skimage.registration import phase_cross_correlation

from ctcascade.images.background import Channel, correct
from ctcascade.images.registration import Shift, moved_back, registered, shifts_of
from ctcascade.study.detection_settings import DetectSettings, RegistrationSettings
from ctcascade.validation import phantom

pytestmark = pytest.mark.unit

PX = 0.645
SETTINGS = RegistrationSettings()


def planes(seed, recipe=None, groups=()):
    slide = phantom.Slide(1, (400, 400), phantom.Optics(shift_px=0), recipe or phantom.Recipe(leukocytes=60))
    pixels, _ = phantom.render(slide, list(groups), np.random.default_rng(seed))
    return dict(zip(phantom.ROLES, pixels.astype(np.float32), strict=True))


def channels_of(of):
    return {role: correct(plane, PX, DetectSettings().background) for role, plane in of.items()}


@pytest.mark.property
@pytest.mark.parametrize("shift_px", [(0, 0), (2, 0), (0, -2), (1.5, 2), (4, 0), (18, -25), (-60, 40)])
def test_a_shift_is_measured_whatever_its_size(shift_px):
    of = planes(8)
    of["cd45"] = ndimage.shift(of["cd45"], shift_px, order=1, mode="reflect")
    found = shifts_of(channels_of(of), PX, SETTINGS)
    assert found["cd45"].ratio > 3
    assert (found["cd45"].y_um / PX, found["cd45"].x_um / PX) == pytest.approx(shift_px, abs=0.8)
    assert found["ck"].um < 0.5


@pytest.mark.oracle
def test_the_shift_of_one_channel_against_itself_is_that_of_scikit_image():
    of = channels_of(planes(5))
    moved = np.roll(of["dna"].signal, (7, -12), axis=(0, 1))
    of["ck"] = Channel(moved, 0.0, 0.0, of["dna"].noise)
    found = shifts_of(of, PX, SETTINGS)["ck"]
    oracle, _, _ = phase_cross_correlation(moved, of["dna"].signal, upsample_factor=10)
    assert (found.y_um / PX, found.x_um / PX) == pytest.approx(tuple(oracle), abs=0.3)


@pytest.mark.property
@pytest.mark.parametrize("seed", range(6))
def test_another_field_of_view_correlates_nowhere(seed):
    of, other = planes(seed), planes(100 + seed)
    found = shifts_of(channels_of({**of, "cd45": other["cd45"]}), PX, SETTINGS)["cd45"]
    assert (found.known, found.unlike) == (False, True)


@pytest.mark.property
@pytest.mark.parametrize("seed", range(3))
def test_no_light_is_no_fault(seed):
    of = planes(seed)
    of["cd45"] = np.random.default_rng(seed).normal(100, 4, of["cd45"].shape).astype(np.float32)
    found = shifts_of(channels_of(of), PX, SETTINGS)["cd45"]
    assert (found.known, found.unlike) == (False, False)
    few = shifts_of(channels_of(planes(seed, phantom.Recipe(leukocytes=0), [(1, 0)])), PX, SETTINGS)
    assert not any(shift.unlike for shift in few.values())


@pytest.mark.parametrize(("count", "known"), [(1, False), (2, False), (12, True)])
def test_a_few_lopsided_cells_show_no_shift(count, known):
    of = planes(3, phantom.Recipe(leukocytes=0, bare_nuclei=0, fragments=0, specks=0, aggregates=0), [(1, 0)] * count)
    of["ck"] = np.roll(of["ck"], 6, axis=0)
    assert shifts_of(channels_of(of), PX, SETTINGS)["ck"].known == known


def test_cells_in_a_regular_array_are_no_fault():
    y, x = np.mgrid[:300, :300]
    wells = np.clip(6 - np.hypot(y % 30 - 15, x % 30 - 15), 0, 1).astype(np.float32) * 500
    noise = np.random.default_rng(1).normal(100, 4, (3, 300, 300)).astype(np.float32)
    found = shifts_of(channels_of(dict(zip(("dna", "ck", "cd45"), wells + noise, strict=True))), PX, SETTINGS)
    assert not any(shift.unlike for shift in found.values())


def test_channels_are_cut_to_what_all_of_them_show():
    signal = np.arange(30 * 40, dtype=np.float32).reshape(30, 40)
    of = {
        role: Channel(np.roll(signal, by, axis=(0, 1)), 0.0, 0.0, 1.0)
        for role, by in (("dna", (0, 0)), ("ck", (2, -3)))
    }
    of["cd45"] = of["dna"]
    shifts = {"ck": Shift(2.0, -3.0, 9.0), "cd45": Shift(0.0, 0.0, 9.0)}
    laid = registered(of, shifts, 1.0, SETTINGS)
    assert laid.moved_px == {"dna": (0, 0), "ck": (2, -3), "cd45": (0, 0)}
    assert laid.corner == (0, 3)
    for channel in laid.channels.values():
        np.testing.assert_array_equal(channel.signal, signal[:28, 3:])


def test_the_channel_that_lies_apart_is_moved_be_it_dna():
    of = {role: Channel(np.zeros((30, 40), np.float32), 0.0, 0.0, 1.0) for role in ("dna", "ck", "cd45")}
    shifts = {"ck": Shift(5.0, -4.0, 9.0), "cd45": Shift(5.0, -4.0, 9.0)}
    assert registered(of, shifts, 1.0, SETTINGS).moved_px == {"dna": (-5, 4), "ck": (0, 0), "cd45": (0, 0)}


def test_a_small_or_unknown_shift_moves_nothing():
    of = {role: Channel(np.zeros((30, 40), np.float32), 0.0, 0.0, 1.0) for role in ("dna", "ck", "cd45")}
    laid = registered(of, {"ck": Shift(1.0, 0.5, 9.0), "cd45": Shift(np.nan, np.nan, 1.1)}, 1.0, SETTINGS)
    assert laid.corner == (0, 0)
    assert laid.channels["ck"] is of["ck"]


def test_a_plane_moved_back_lies_where_its_cells_were_found():
    plane = np.arange(12, dtype=np.float32).reshape(3, 4)
    np.testing.assert_array_equal(moved_back(plane, (1, -2)), [[0, 0, 4, 5], [0, 0, 8, 9], [0, 0, 0, 0]])
    assert moved_back(plane, (0, 0)) is plane
