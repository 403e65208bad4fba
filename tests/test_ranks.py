"""Compiled shortcuts of detection against plain numpy: order statistics, hot pixels, the digest of a frame."""

import numpy as np
import pytest

from ctcascade.formats import Frame
from ctcascade.images import background
from ctcascade.images.pixels import pixels_digest
from ctcascade.images.ranks import ranked, sorted_values

KINDS = {
    "noise": lambda rng, n: rng.normal(0, 30, n),
    "few values": lambda rng, n: np.round(rng.normal(0, 2, n)),
    "wide": lambda rng, n: rng.normal(0, 1, n) * 10.0 ** rng.integers(-30, 30, n),
    "one value": lambda rng, n: np.full(n, -3.5),
}


@pytest.mark.oracle
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [1, 2, 3, 1000, 70_001])
def test_order_statistics_are_those_of_numpy(kind, n):
    values = KINDS[kind](np.random.default_rng(n), n).astype(np.float32)
    np.testing.assert_array_equal(sorted_values(values), np.sort(values))
    ranks = (n // 2, int(0.999 * n), 0, n - 1)
    np.testing.assert_array_equal(ranked(np.abs(values), ranks), np.sort(np.abs(values))[list(ranks)])


@pytest.mark.oracle
@pytest.mark.parametrize("kind", KINDS)
def test_centre_and_noise_are_medians_of_what_is_kept(kind):
    """The distance that half of the values keep from their upper median, without going through them one by one."""
    for n in (*range(1, 40), 5000):
        values = np.sort(KINDS[kind](np.random.default_rng(n), n).astype(np.float32))
        distances = np.sort(np.abs(values - values[n // 2]))
        assert background._usual_distance(values) == distances[n // 2]


def _cooled(signal, above, spread):
    """As `background._cooled`, a pixel at a time."""
    found = []
    for y in range(2, signal.shape[0] - 2):
        for x in range(2, signal.shape[1] - 2):
            near = signal[y - 1 : y + 2, x - 1 : x + 2].copy()
            here, near[1, 1] = near[1, 1], -np.inf
            if here - np.float32(above) <= 0 or near.max() > here - np.float32(above):
                continue
            inner = (signal[y - 1 : y + 2, x - 1 : x + 2].sum() - here) / 8
            outer = (signal[y - 2 : y + 3, x - 2 : x + 3].sum() - signal[y - 1 : y + 2, x - 1 : x + 2].sum()) / 16
            if inner - outer < spread * (here - outer):
                signal[y, x] = inner
                found.append((y, x))
    return found


@pytest.mark.oracle
@pytest.mark.parametrize("seed", range(40))
def test_hot_pixels_are_those_of_a_plain_search(seed):
    """Beside each other too, where cooling one shows the next; and in frames too small for any."""
    rng = np.random.default_rng(seed)
    shape = rng.integers(1, 30, 2)
    signal = rng.normal(0, 1, shape).astype(np.float32)
    n = int(rng.integers(0, 40))
    signal[rng.integers(0, shape[0], n), rng.integers(0, shape[1], n)] += rng.choice([9, 20, 60, 500], n).astype("f")
    plain, fast = signal.copy(), signal.copy()
    expected = _cooled(plain, 8.0, 0.1)
    assert [tuple(place) for place in background._cooled(fast, 8.0, 0.1)] == expected
    np.testing.assert_allclose(fast, plain, rtol=1e-5, atol=1e-5)


@pytest.mark.property
def test_any_changed_pixel_changes_the_digest():
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 4096, (4, 30, 41)).astype(np.float32)
    roles = ("fitc", "dna", "ck", "cd45")
    digest = pixels_digest(Frame(pixels, roles, 0.65, 4095))
    assert digest == pixels_digest(Frame(pixels.copy(), roles, 0.5, 4095))
    assert digest == pixels_digest(Frame(pixels[[3, 1, 2]], ("cd45", "dna", "ck"), 0.65, 4095))
    seen = {digest}
    places = {(*rng.integers((1, 0, 0), (4, 30, 41)), rng.choice([-1, 1, 256])) for _ in range(300)}
    for channel, y, x, more in places:
        changed = pixels.copy()
        changed[channel, y, x] += more
        seen.add(pixels_digest(Frame(changed, roles, 0.65, 4095)))
    exchanged = pixels.copy()
    exchanged[1, [3, 4]] = exchanged[1, [4, 3]]
    seen.add(pixels_digest(Frame(exchanged, roles, 0.65, 4095)))
    seen.add(pixels_digest(Frame(pixels.reshape(4, 41, 30), roles, 0.65, 4095)))
    assert len(seen) == len(places) + 3
    assert pixels_digest(Frame(np.concatenate([pixels[:1] + 1, pixels[1:]]), roles, 0.65, 4095)) == digest
