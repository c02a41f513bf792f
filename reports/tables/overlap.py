"""Overlap of two kinds of features, also for few features, unequal numbers of them, or shared parts."""

import numpy as np
from numpy.typing import NDArray

from promptad.user_error import UserError

FEWEST = 2
"""Least number of features of a kind: one is judged, and one remains."""
TIE = 1e-12
"""Projections of l2-normalised features that differ by less count as tied."""

Features = NDArray[np.float64]
"""number x embed."""
Kin = NDArray[np.bool_]
"""Which features must not judge each other, (n + m) x (n + m), those of the first kind first; the diagonal is True."""


class OverlapError(UserError):
    """Two kinds of features whose overlap cannot be measured."""


def kinship(first: NDArray[np.int64], second: NDArray[np.int64]) -> Kin:
    """Which features have a part in common; parts are number x part, a negative number is no part.

    Prompts are made of a prefix and a suffix: two prompts that share one resemble each other, whatever they mean.
    """
    parts = np.concatenate([first, second])
    same = ((parts[:, None, :] == parts[None, :, :]) & (parts[:, None, :] >= 0)).any(axis=2)
    return np.asarray(same | np.eye(len(parts), dtype=np.bool_))


def separability(first: Features, second: Features, kin: Kin) -> float:
    """AUROC of telling two kinds apart along the difference of their means, in [0, 1]: 0.5 overlap, 1 apart.

    Each pair of a feature x of the first kind and y of the second is judged by the means of those features that are kin
    to neither: it counts 1 if w.x > w.y for w = mean(first) - mean(second) of these, 1/2 if they tie. The result is the
    mean over all pairs for which features of both kinds remain as judges. If both kinds are of one distribution, x and
    y are exchangeable given w, so that 0.5 is the expectation however few the features are. Neither leaving out one
    feature at a time has that property (a feature left out pulls the mean of the rest away from itself: 0.03 for 3
    against 100 in 640 dimensions) nor judging prompts by others with the same prefix or suffix (0.2 to 1.0).

    Raises:
        OverlapError: fewer than ``FEWEST`` features of a kind, or no pair that can be judged.
    """
    first, second = _checked(first, second)
    n = len(first)
    # The measure does not depend on the origin; at the common mean, products lose fewer digits.
    features = np.concatenate([first, second])
    features = features - features.mean(axis=0)
    products = features @ features.T
    left = ~kin[:n, None, :] & ~kin[None, n:, :]
    along = np.where(left, products[:n, None, :] - products[None, n:, :], 0.0)
    counts = np.stack([left[..., :n].sum(axis=2), left[..., n:].sum(axis=2)])
    judged = (counts > 0).all(axis=0)
    if not judged.any():
        raise OverlapError("a pair of features must leave others of both kinds that are kin to neither, but none does")
    counts = np.maximum(counts, 1)
    margin = along[..., :n].sum(axis=2) / counts[0] - along[..., n:].sum(axis=2) / counts[1]
    wins = (margin > TIE) + 0.5 * (np.abs(margin) <= TIE)
    return float(wins[judged].mean())


def median_distance(features: Features) -> float:
    """The median Euclidean distance of two different features; 1 if that is 0."""
    squares = _squared_distances(features, features)[np.triu_indices(len(features), k=1)]
    found = float(np.sqrt(np.median(squares))) if len(squares) else 0.0
    return found if found > TIE else 1.0


def squared_mmd(first: Features, second: Features, kin: Kin, width: float) -> float:
    """Unbiased squared maximum mean discrepancy with the kernel exp(-d^2 / (2 width^2)): 0 for one distribution.

    Mean of the kernel over pairs within the first kind + the same within the second - 2 means over pairs across
    (Gretton et al., JMLR 2012, eq. 3), here over pairs that are not kin. May be negative; at most 2.

    Raises:
        OverlapError: fewer than ``FEWEST`` features of a kind, or pairs that are all kin.
    """
    first, second = _checked(first, second)
    n = len(first)
    features = np.concatenate([first, second])
    kernel = np.exp(-_squared_distances(features, features) / (2 * width**2))

    def mean(rows: slice, columns: slice) -> float:
        apart = ~kin[rows, columns]
        if not apart.any():
            raise OverlapError("pairs of features must be of different parts to be compared, but all of them are kin")
        return float(kernel[rows, columns][apart].mean())

    one, other = slice(0, n), slice(n, None)
    return mean(one, one) + mean(other, other) - 2 * mean(one, other)


def _checked(first: Features, second: Features) -> tuple[Features, Features]:
    if min(len(first), len(second)) < FEWEST:
        raise OverlapError(
            f"both kinds must have at least {FEWEST} features to be compared, but have {len(first)} and {len(second)}"
        )
    return np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)


def _squared_distances(one: Features, other: Features) -> NDArray[np.float64]:
    squares = np.square(one).sum(axis=1)[:, None] + np.square(other).sum(axis=1)[None, :] - 2 * one @ other.T
    return np.asarray(np.maximum(squares, 0.0), dtype=np.float64)
