"""Nearest neighbours and coresets against scikit-learn and slow loops."""

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from promptad.scoring import neighbours
from promptad.scoring.neighbours import greedy_coreset, nearest

DRAWS = torch.Generator().manual_seed(0)
QUERY, MEMORY = torch.randn(37, 5, generator=DRAWS), torch.randn(600, 5, generator=DRAWS)


@pytest.mark.slow
@pytest.mark.parametrize("tile", [256, 3000, 2**24])
@pytest.mark.parametrize("count", [1, 3, 600])
def test_tiles_give_what_scikit_learn_gives(tile, count):
    distance, index = nearest(QUERY, MEMORY, count, tile=tile)
    expected, where = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(MEMORY).kneighbors(QUERY)
    np.testing.assert_allclose(distance, expected, atol=1e-5)
    assert np.array_equal(index, where)


def test_more_neighbours_than_entries_are_all_entries():
    distance, index = nearest(QUERY, MEMORY[:7], 1000)
    assert distance.shape == (37, 7)
    assert (index.sort(dim=1).values == torch.arange(7)).all()


def test_an_entry_is_at_no_distance_from_itself():
    unit = torch.nn.functional.normalize(torch.randn(50, 300, generator=DRAWS), dim=1)
    distance, index = nearest(unit, unit, 1)
    assert torch.equal(distance[:, 0], torch.zeros(50))
    assert torch.equal(index[:, 0], torch.arange(50))


@pytest.mark.parametrize("tile", [512, 4096])
def test_no_tile_is_larger_than_asked_for(tile, monkeypatch):
    sizes, real = [], neighbours._closeness

    def recording(query, memory, squares):
        sizes.append(len(query) * len(memory))
        return real(query, memory, squares)

    monkeypatch.setattr(neighbours, "_closeness", recording)
    nearest(QUERY.repeat(20, 1), MEMORY, 2, tile=tile)
    assert max(sizes) <= tile
    assert sum(sizes) == 20 * 37 * 600


def slow_coreset(points, size):
    taken = [0]
    while len(taken) < size:
        gaps = [min(float(np.linalg.norm(point - points[entry])) for entry in taken) for point in points]
        taken.append(int(np.argmax(gaps)))
    return taken


@pytest.mark.parametrize("size", [1, 2, 40])
def test_a_coreset_against_a_slow_loop(size):
    assert greedy_coreset(MEMORY[:120], size).tolist() == slow_coreset(MEMORY[:120].double().numpy(), size)


def test_a_coreset_by_hand():
    line = torch.tensor([[0.0], [1.0], [10.0], [4.0]])
    assert greedy_coreset(line, 3).tolist() == [0, 2, 3]


def test_equal_entries_are_taken_once_each():
    assert sorted(greedy_coreset(torch.full((30, 7), 0.3), 30).tolist()) == list(range(30))


def test_bad_sizes():
    with pytest.raises(ValueError, match="between 1 and 600, but got 0"):
        greedy_coreset(MEMORY, 0)
    with pytest.raises(ValueError, match="neighbours need count >= 1"):
        nearest(QUERY, MEMORY[:0], 1)
