"""Nearest neighbours and coresets against slow loops."""

import pytest
import torch

from promptad.neighbours import greedy_coreset, nearest

DRAWS = torch.Generator().manual_seed(0)
QUERY, MEMORY = torch.randn(37, 5, generator=DRAWS), torch.randn(600, 5, generator=DRAWS)


@pytest.mark.parametrize("tile", [256, 3000, 2**24])
@pytest.mark.parametrize("count", [1, 3, 1000])
def test_tiles_give_what_the_whole_matrix_gives(tile, count):
    distance, index = nearest(QUERY, MEMORY, count, tile=tile)
    expected = torch.cdist(QUERY, MEMORY, compute_mode="donot_use_mm_for_euclid_dist").sort(dim=1)
    torch.testing.assert_close(distance, expected.values[:, :count])
    assert (index.sort(dim=1).values.diff(dim=1) > 0).all()
    torch.testing.assert_close((QUERY[:, None] - MEMORY[index]).norm(dim=2), expected.values[:, :count])


def test_a_coreset_by_hand():
    line = torch.tensor([[0.0], [1.0], [10.0], [4.0]])
    assert greedy_coreset(line, 3).tolist() == [0, 2, 3]


def test_bad_sizes():
    with pytest.raises(ValueError, match="between 1 and 600, but got 0"):
        greedy_coreset(MEMORY, 0)
    with pytest.raises(ValueError, match="neighbours need count >= 1"):
        nearest(QUERY, MEMORY[:0], 1)
