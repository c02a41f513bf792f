"""Measures of overlap: by hand, against loops, and on kinds of features that are of one distribution."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.metrics.pairwise import rbf_kernel

from reports.tables.overlap import OverlapError, kinship, median_distance, separability, squared_mmd


def strangers(*counts):
    """No two features have anything in common."""
    return np.eye(sum(counts), dtype=bool)


def column(*values):
    return np.array(values, dtype=float)[:, None]


def slow_separability(first, second, kin):
    """Pair by pair, with masks in place of algebra."""
    n, wins = len(first), []
    for i, x in enumerate(first):
        for j, y in enumerate(second):
            near = kin[i] | kin[n + j]
            one, other = first[~near[:n]], second[~near[n:]]
            if len(one) and len(other):
                w = one.mean(axis=0) - other.mean(axis=0)
                wins.append(1.0 if w @ x > w @ y + 1e-12 else 0.0 if w @ x < w @ y - 1e-12 else 0.5)
    return float(np.mean(wins))


def unit(features):
    return features / np.linalg.norm(features, axis=1, keepdims=True)


def crossed(rng, prefixes, spread=1.0, number=10):
    """Prompts of every prefix with each of some suffixes, l2-normalised, and what they are made of."""
    suffixes = spread * rng.normal(size=(number, prefixes.shape[1]))
    values = (prefixes[:, None] + suffixes[None]).reshape(-1, prefixes.shape[1])
    parts = np.stack([np.repeat(np.arange(len(prefixes)), number), np.tile(np.arange(number), len(prefixes))], axis=1)
    return unit(values + 0.1 * rng.normal(size=values.shape)), parts


def test_separability_by_hand():
    # Judged by the others, every pair of these is ordered rightly: the kinds lie apart.
    assert separability(column(0, 1), column(5, 6), strangers(2, 2)) == 1.0
    # x = 0, y = 3: judged by 4 and 1, w = 3 and 0 < 9, wrong. x = 0, y = 1: by 4 and 3, w = 1, wrong. x = 4, y = 3: by
    # 0 and 1, w = -1 and -4 < -3, wrong. x = 4, y = 1: by 0 and 3, w = -3, wrong.
    assert separability(column(0, 4), column(3, 1), strangers(2, 2)) == 0.0
    # Equal features tie.
    assert separability(column(1, 1), column(1, 1), strangers(2, 2)) == 0.5


def test_kin_do_not_judge():
    first, second = column(0, 1, 10), column(2, 3, 4)
    kin = strangers(3, 3)
    # As kin of 0 and 1, 10 does not judge them, and nothing is left to judge 10.
    alone = separability(first, second, kin)
    kin[2, :3] = kin[:3, 2] = True
    assert separability(first, second, kin) != alone
    assert separability(first, second, kin) == slow_separability(first, second, kin)


@pytest.mark.parametrize(("n", "m", "d"), [(3, 100, 16), (2, 2, 3), (7, 5, 40)])
def test_separability_is_that_of_a_slow_loop(n, m, d):
    rng = np.random.default_rng(n)
    first, second = unit(rng.normal(size=(n, d)) + 0.3), unit(rng.normal(size=(m, d)))
    kin = strangers(n, m)
    assert separability(first, second, kin) == pytest.approx(slow_separability(first, second, kin))
    parts = [rng.integers(-1, 3, size=(number, 2)) for number in (n, m)]
    kin = kinship(*parts)
    if n == 7:
        assert separability(first, second, kin) == pytest.approx(slow_separability(first, second, kin))


def test_separability_does_not_depend_on_the_origin():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(5, 8)) + 0.7, rng.normal(size=(9, 8))
    found = separability(first, second, strangers(5, 9))
    assert 0.5 < found < 1
    assert separability(first + 1000, second + 1000, strangers(5, 9)) == found


@pytest.mark.slow
def test_of_many_features_separability_is_the_auroc_along_the_means():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(400, 2)) + np.array([1, 0]), rng.normal(size=(300, 2))
    along = np.concatenate([first, second]) @ (first.mean(axis=0) - second.mean(axis=0))
    expected = roc_auc_score(np.repeat([1, 0], [400, 300]), along)
    # Two normal distributions a deviation apart: Phi(1 / sqrt 2) = 0.760.
    assert separability(first, second, strangers(400, 300)) == pytest.approx(expected, abs=0.005)
    assert expected == pytest.approx(0.760, abs=0.03)


def test_kinship_is_a_common_prefix_or_suffix():
    normal = np.array([[0, -1], [1, -1]])
    anomaly = np.array([[0, 0], [1, 0], [1, 1]])
    assert kinship(normal, anomaly).astype(int).tolist() == [
        [1, 0, 1, 0, 0],
        [0, 1, 0, 1, 1],
        [1, 0, 1, 1, 0],
        [0, 1, 1, 1, 1],
        [0, 1, 0, 1, 1],
    ]


def test_median_distance():
    # Distances 1, 3, 2.
    assert median_distance(column(0, 1, 3)) == pytest.approx(2)
    assert median_distance(column(1, 1, 1)) == 1


def test_mmd_by_hand():
    # Distances of 1 within each kind; 2, 3, 1, 2 across; the kernel is exp(-d^2 / 2).
    within, across = np.exp(-0.5), np.exp(-(np.array([2, 3, 1, 2]) ** 2) / 2).mean()
    found = squared_mmd(column(0, 1), column(2, 3), strangers(2, 2), width=1)
    assert found == pytest.approx(2 * within - 2 * across)
    # Twice as wide, with features twice as far apart, it is the same.
    assert squared_mmd(column(0, 2), column(4, 6), strangers(2, 2), width=2) == pytest.approx(found)


def test_mmd_is_that_of_scikit_learns_kernel():
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(4, 6)), rng.normal(size=(7, 6)) + 0.5
    kernels = [rbf_kernel(one, other, gamma=1 / (2 * 1.7**2)) for one, other in ((first, first), (second, second))]
    within = sum((kernel.sum() - np.trace(kernel)) / (len(kernel) * (len(kernel) - 1)) for kernel in kernels)
    expected = within - 2 * rbf_kernel(first, second, gamma=1 / (2 * 1.7**2)).mean()
    assert squared_mmd(first, second, strangers(4, 7), 1.7) == pytest.approx(expected)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "m", "d"), [(3, 100, 64), (3, 30, 320), (3, 3, 16)])
def test_kinds_of_one_distribution_have_separability_one_half_and_mmd_0(n, m, d):
    rng = np.random.default_rng(0)
    found = []
    for _ in range(300):
        # Far from the origin, as CLIP's features are.
        shift = 2 * rng.normal(size=d)
        first, second = unit(rng.normal(size=(n, d)) + shift), unit(rng.normal(size=(m, d)) + shift)
        width = median_distance(np.concatenate([first, second]))
        kin = strangers(n, m)
        found.append((separability(first, second, kin), squared_mmd(first, second, kin, width)))
    mean, error = np.mean(found, axis=0), np.std(found, axis=0) / np.sqrt(len(found))
    assert abs(mean[0] - 0.5) < 3 * error[0] < 0.06
    assert abs(mean[1]) < 3 * error[1] < 0.02


def test_prompts_with_suffixes_of_one_distribution_do_not_lie_apart_though_they_share_prefixes():
    rng = np.random.default_rng(0)
    found, naive = [], []
    for _ in range(60):
        prefixes = rng.normal(size=(3, 64)) + 2
        (first, parts), (second, others) = crossed(rng, prefixes), crossed(rng, prefixes)
        kin = kinship(parts, others + np.array([0, 10]))
        width = median_distance(np.concatenate([first, second]))
        found.append((separability(first, second, kin), squared_mmd(first, second, kin, width)))
        naive.append(separability(first, second, strangers(30, 30)))
    mean, error = np.mean(found, axis=0), np.std(found, axis=0) / np.sqrt(len(found))
    assert abs(mean[0] - 0.5) < 3 * error[0] < 0.07
    assert abs(mean[1]) < 3 * error[1] < 0.01
    # What the copies of a suffix would say if they judged each other.
    assert np.mean(naive) > 0.7


def test_what_cannot_be_measured_is_an_error():
    with pytest.raises(OverlapError, match=r"both kinds must have at least 2 features .* have 1 and 3"):
        separability(column(1), column(1, 2, 3), strangers(1, 3))
    with pytest.raises(OverlapError, match="have 2 and 0"):
        squared_mmd(column(1, 2), np.zeros((0, 1)), strangers(2, 0), 1)
    everyone = np.ones((4, 4), dtype=bool)
    with pytest.raises(OverlapError, match="leave others of both kinds"):
        separability(column(1, 2), column(3, 4), everyone)
    with pytest.raises(OverlapError, match="all of them are kin"):
        squared_mmd(column(1, 2), column(3, 4), everyone, 1)
