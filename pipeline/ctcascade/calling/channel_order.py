"""Whether every frame of a sample names its channels in the right order: each is compared with those of the others."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ctcascade.data.results import Claim
from ctcascade.data.vocabulary import ROLES
from ctcascade.study.calling_settings import OrderSettings

Floats = NDArray[np.float64]

_CHECKED_WITH = "how much better a frame's channels would match those of the other frames in another order"
_CELLS = (0.5, 0.9)
_NOT_AS = "channels have another order in {} of {} frames than in the others"
_MOST = 4.0  # a feature counts no more than that many spreads apart


def order_claim(frames: pd.DataFrame, cells: pd.DataFrame, names: Mapping[str, str], settings: OrderSettings) -> Claim:
    """Return whether the channels of all frames are in one order.

    Parameters
    ----------
    frames, cells : DataFrame
        Usable frames of a sample, as `tables.FRAMES`, and its cells.
    names : mapping of str to str
        Words for the roles.
    settings : OrderSettings

    Notes
    -----
    A channel is described by its background, noise and contrast (sharpness times noise) and by the light of the cells
    in it (median and 90th percentile), as logarithms, each less its mean over the channels of the frame: blur or a
    longer exposure of a whole frame changes nothing. Squared distances to the medians of the other frames, in usual
    spreads from frame to frame, are the cost of taking one channel for another; the order of least cost is found by
    assignment. A frame has another order where that costs less than half as much as the stated one, and less by
    `settings.least_gain`, and moves a channel that every call needs. Where all frames have one wrong order, this cannot
    tell.
    """
    roles = [name.removesuffix("_noise") for name in map(str, frames.columns) if name.endswith("_noise")]
    roles = [role for role in roles if frames[f"{role}_noise"].notna().all()]
    light = _light(cells, roles, settings.min_cells)
    kept = frames[frames["frame"].isin(light.index)]
    if len(kept) < 2:
        why = "fewer than two frames with enough cells"
        return Claim(
            claim="channels_in_order", checked_with=_CHECKED_WITH, value=None, verdict="not_checked", reason=why
        )
    described = _described(kept, light.loc[kept["frame"]], roles)
    flat = described.reshape(len(kept), -1)
    others = np.stack([of_others(one) for one in flat.T], axis=1).reshape(described.shape)
    gains, bad = np.zeros(len(kept)), list[str]()
    for k, frame in enumerate(kept["frame"].astype(str)):
        gain, order = _better(described[k], others[k], settings)
        moved = [(a, roles[b]) for a, b in zip(roles, order, strict=True) if a != roles[b] and a in ROLES]
        gains[k] = gain if moved else 0.0
        if gains[k]:
            bad.append(f"{frame}: {', '.join(f'{_word(a, names)} looks like {_word(b, names)}' for a, b in moved)}")
    fails = _area(kept, gains > 0) > settings.max_lost_area
    which = "two frames differ in the order of their channels" if len(kept) == 2 else _NOT_AS
    why = f"{which.format(len(bad), len(frames))} ({bad[0]})" if fails else ""
    return Claim(
        claim="channels_in_order",
        checked_with=_CHECKED_WITH,
        value=float(gains.max()),
        verdict="fails" if fails else "holds",
        reason=why,
    )


def _word(role: str, names: Mapping[str, str]) -> str:
    return names.get(role, role)


def _area(frames: pd.DataFrame, bad: NDArray[np.bool_]) -> float:
    area = frames["area_um2"].to_numpy(float)
    return float(area[bad].sum() / max(area.sum(), 1e-9))


def _light(cells: pd.DataFrame, roles: Sequence[str], fewest: int) -> pd.DataFrame:
    """Return the cells' light by frame and role, for frames with enough cells."""
    by_frame = cells.groupby("frame", sort=False, observed=True)
    enough = by_frame.size() >= fewest
    light = by_frame[[f"{role}_mean" for role in roles]]
    table = pd.concat({share: light.quantile(share) for share in _CELLS}, axis=1)
    return pd.DataFrame(table[enough.reindex(table.index).to_numpy(bool)])


def _described(frames: pd.DataFrame, light: pd.DataFrame, roles: Sequence[str]) -> Floats:
    """Return the features of channels, shape (frames, roles, features), less the mean over roles."""
    features = []
    for role in roles:
        noise = np.maximum(frames[f"{role}_noise"].to_numpy(float), 1e-3)
        background = np.maximum(frames[f"{role}_background"].to_numpy(float), 1e-3)
        contrast = np.maximum(frames[f"{role}_focus"].to_numpy(float), 1e-3) * noise
        plane = [np.log(background), np.log(noise), np.log(contrast)]
        cells = [np.log(np.maximum(light[share, f"{role}_mean"].to_numpy(float), 0) + noise) for share in _CELLS]
        features.append(np.stack([*plane, *cells], axis=1))
    described = np.stack(features, axis=1)
    return np.asarray(described - described.mean(axis=1, keepdims=True))


def of_others(values: Floats) -> Floats:
    """Return for each value the median of the others.

    Parameters
    ----------
    values : ndarray, shape (n,)
        At least two, none NaN.
    """
    n, order = len(values), np.argsort(values, kind="stable")
    ordered, rank = values[order], np.empty(len(values), np.int64)
    rank[order] = np.arange(n)
    low, high = (n - 2) // 2, (n - 1) // 2
    return np.asarray((ordered[low + (low >= rank)] + ordered[high + (high >= rank)]) / 2)


def _better(own: Floats, others: Floats, settings: OrderSettings) -> tuple[float, NDArray[np.int64]]:
    """Return by how much another order matches the other frames better, 0 where none clearly does, and that order."""
    spread = np.array(
        [settings.background_ln, settings.noise_ln, settings.contrast_ln, *[settings.light_ln] * len(_CELLS)]
    )
    apart = np.minimum(np.abs(own[:, None] - others[None]) / spread, _MOST)
    cost = (apart**2).sum(axis=-1)
    from scipy.optimize import linear_sum_assignment  # noqa: PLC0415  takes a third of a second to load

    rows, columns = linear_sum_assignment(cost)
    stated, least = float(np.trace(cost)), float(cost[rows, columns].sum())
    clear = least < stated / 2 and stated - least > settings.least_gain
    return (stated - least if clear else 0.0), columns
