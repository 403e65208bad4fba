"""How a laboratory's readers find CTCs among cells of a given `p_ctc`: intercept and slope of a logistic line.

The model is ``logit P(CTC) = a + b logit(p_ctc)``, with ``a ~ Normal(0, sd_a)`` and ``b ~ Normal(1, sd_b)``, so that
few reviews move little. A CTC is what the laboratory's readers agree is one: where a lone reader errs, the slope gets
flatter, and nothing in one reader's calls tells error from a judge that is too certain. A slope below 1 says that the
judge is more certain than readers find it.

References
----------
Platt J. Probabilistic outputs for support vector machines. In: Advances in Large Margin Classifiers, 1999:61-74.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import norm

Floats = NDArray[np.float64]
_SHIPPED = np.array([0.0, 1.0])
_CERTAIN = 1e-4  # a probability nearer to 0 or 1 than this counts as this
_NEWTON, _SMALL = 50, 1e-9


@dataclass(frozen=True)
class ReadCells:
    """Cells that readers have seen.

    Attributes
    ----------
    slide : (n,) array of int
        Number of the slide that each lies on.
    logit : (n,) array
        Of the classifier's `p_ctc` (`logit_of`).
    yes : (n,) array of bool
        Whether readers agree that it is a CTC.
    """

    slide: NDArray[np.int64]
    logit: Floats
    yes: NDArray[np.bool_]

    def of(self, rows: NDArray[np.bool_]) -> "ReadCells":
        """Return some of the cells."""
        return ReadCells(self.slide[rows], self.logit[rows], self.yes[rows])


@dataclass(frozen=True)
class Line:
    """Intercept and slope, shape (2,), with their covariance, shape (2, 2)."""

    at: Floats
    covariance: Floats

    def p(self, logits: Floats) -> Floats:
        """Return the probability that cells like those that were read are CTCs."""
        return np.asarray(expit(self.at[0] + self.at[1] * logits))

    def limits(self, level: float) -> list[tuple[float, float, float]]:
        """Return estimate, lower and upper limit of intercept and slope."""
        z, sd = float(norm.ppf((1 + level) / 2)), np.sqrt(np.diag(self.covariance))
        return [(float(m), float(m - z * s), float(m + z * s)) for m, s in zip(self.at, sd, strict=True)]


def logit_of(p_ctc: Floats) -> Floats:
    """Return the logit of probabilities; those that are nearly certain are held at 0.0001 from 0 and 1."""
    return np.asarray(logit(np.clip(np.asarray(p_ctc, np.float64), _CERTAIN, 1 - _CERTAIN)))


def before_any(sd: tuple[float, float]) -> Line:
    """Return the shipped line with what is known of it before any cell is read."""
    return Line(_SHIPPED.copy(), np.diag(np.square(np.array(sd, float))))


def fitted(cells: ReadCells, sd: tuple[float, float]) -> Line:
    """Return the line most probable given what readers agree on, with its covariance, by Newton's steps.

    Parameters
    ----------
    cells : ReadCells
    sd : (float, float)
        Standard deviations of intercept and slope around the shipped ones before any cell is read.
    """
    precision = np.diag(1 / np.square(np.array(sd, float)))
    x = np.column_stack([np.ones(len(cells.logit)), cells.logit])
    at = _SHIPPED.copy()
    for _ in range(_NEWTON):
        p = expit(x @ at)
        information = precision + (x * (p * (1 - p))[:, None]).T @ x
        step = np.linalg.solve(information, x.T @ (cells.yes - p) - precision @ (at - _SHIPPED))
        at = at + np.clip(step, -1, 1)
        if float(np.abs(step).max()) < _SMALL:
            break
    p = expit(x @ at)
    return Line(at, np.linalg.inv(precision + (x * (p * (1 - p))[:, None]).T @ x))


def without_each_slide(cells: ReadCells, sd: tuple[float, float]) -> dict[int, Line]:
    """Return the line fitted without each slide, by the slide's number."""
    return {int(k): fitted(cells.of(cells.slide != k), sd) for k in np.unique(cells.slide)}


def with_slides_apart(line: Line, without: Mapping[int, Line]) -> Line:
    """Return the line with the larger of its own variances and those by which slides differ (jackknife).

    Cells of one slide are more alike than chance: what is known of them is less than their number says.
    """
    left = np.array([other.at for other in without.values()])
    n = len(left)
    of_slides = (n - 1) / n * np.square(left - left.mean(axis=0)).sum(axis=0)
    own = np.diag(line.covariance)
    grown = np.sqrt(np.maximum(of_slides / own, 1.0))
    return Line(line.at, line.covariance * np.outer(grown, grown))


def most_telling(line: Line, logits: Floats, slide: NDArray[np.int64], most: int) -> list[tuple[int, float]]:
    """Return rows of the cells that would teach most about the line, the first first, with the information in nats.

    Parameters
    ----------
    line : Line
    logits : (n,) array
        Of cells that nobody has read.
    slide : (n,) array of int
    most : int

    Notes
    -----
    One is taken at a time, each with the gain ``0.5 ln(1 + p (1 - p) x' V x)`` over those before it (D-optimal). No
    slide gives more than twice its even share: what is particular to a slide must not be taken for the laboratory's.
    """
    x = np.column_stack([np.ones(len(logits)), logits])
    p, covariance = line.p(logits), line.covariance
    slides, own = np.unique(slide, return_inverse=True)
    left = np.full(len(slides), 2 * -(-most // max(len(slides), 1)))
    free, found = np.ones(len(logits), bool), list[tuple[int, float]]()
    while len(found) < most and (free & (left[own] > 0)).any():
        gain = 0.5 * np.log1p(p * (1 - p) * np.einsum("ni,ij,nj->n", x, covariance, x))
        row = int(np.argmax(np.where(free & (left[own] > 0), gain, -1.0)))
        found.append((row, float(gain[row])))
        free[row], left[own[row]] = False, left[own[row]] - 1
        v = covariance @ x[row]
        w = p[row] * (1 - p[row])
        covariance = covariance - w * np.outer(v, v) / (1 + w * x[row] @ v)
    return found
