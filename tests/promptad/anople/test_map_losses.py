"""AnoPLe's losses against closed forms and numerical gradients."""

import math

import pytest
import torch
from torch.nn.functional import normalize

from promptad.anople.map_losses import alignment_to_local, dice_loss, focal_loss, image_loss


def test_dice_by_hand():
    masks = torch.tensor([[[1.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]])
    maps = torch.tensor([[[0.5, 0.0], [0.25, 0.25]], [[0.5, 0.5], [0.0, 0.0]]])
    # 1 - (2 * 0.5 + 1) / (1 + 1 + 1), and 1 - (0 + 1) / (1 + 0 + 1).
    assert dice_loss(maps, masks).item() == pytest.approx(1 / 3 + 1 / 2)
    assert dice_loss(masks, masks).item() == pytest.approx(0)
    # The worst map of a mask of one pixel of four: 1 - 1 / (3 + 1 + 1).
    assert dice_loss(1 - masks[:1], masks[:1]).item() == pytest.approx(0.8)


def test_focal_by_hand():
    masks, maps = torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[0.5, 0.25]]])
    expected = (-(0.5**2) * math.log(0.5) - 0.25**2 * math.log(0.75)) / 2
    assert focal_loss(maps, masks, 2.0).item() == pytest.approx(expected)
    # Without focus it is the binary cross-entropy.
    expected = torch.nn.functional.binary_cross_entropy(maps, masks).item()
    assert focal_loss(maps, masks, 0.0).item() == pytest.approx(expected)
    assert math.isfinite(focal_loss(torch.zeros(1, 1, 1), torch.ones(1, 1, 1), 2.0).item())
    # Rounding may take a probability past 1, where a power that is no whole number has no value.
    assert focal_loss(torch.full((1, 1, 1), 1 + 1e-6), torch.ones(1, 1, 1), 1.5).item() == pytest.approx(0, abs=1e-9)


def test_image_loss_by_hand():
    z, prototypes = torch.tensor([[1.0, 0.0], [0.6, 0.8]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    for anomalous, sign in ((False, 1), (True, -1)):
        expected = sum(math.log1p(math.exp(sign * 10 * (second - first))) for first, second in z.tolist())
        assert image_loss(z, prototypes, 10.0, anomalous=anomalous).item() == pytest.approx(expected, rel=1e-5)


def test_alignment_is_nothing_where_local_and_global_agree():
    z = normalize(torch.tensor([[1.0, 2.0, 2.0]]), dim=-1)
    parallel = 5 * z[:, :, None, None].expand(1, 3, 2, 2)
    maps = torch.tensor([[[0.1, 0.9], [0.0, 0.5]]])
    assert alignment_to_local(z, parallel, maps).item() == pytest.approx(0, abs=1e-6)
    assert alignment_to_local(z, -parallel, maps).item() == pytest.approx(2)


def test_the_map_says_which_patches_are_aligned():
    z = torch.tensor([[1.0, 0.0]])
    # One patch along z, one across.
    vectors = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).T.reshape(1, 2, 1, 2)
    for first, second in ((1.0, 0.0), (0.6, 0.8), (0.0, 1.0)):
        found = alignment_to_local(z, vectors, torch.tensor([[[first, second]]]))
        assert found.item() == pytest.approx(1 - first / math.hypot(first, second), abs=1e-6)


def test_gradients_are_those_of_the_values():
    draws = torch.Generator().manual_seed(3)

    def drawn(*shape):
        return torch.rand(shape, generator=draws, dtype=torch.float64)

    masks = (drawn(2, 3, 3) > 0.6).double()
    maps, z, vectors = drawn(2, 3, 3).requires_grad_(), normalize(drawn(2, 4), dim=-1), drawn(2, 4, 3, 3)
    assert torch.autograd.gradcheck(lambda maps: dice_loss(maps, masks), maps)
    assert torch.autograd.gradcheck(lambda maps: focal_loss(maps, masks, 2.0), maps)
    assert torch.autograd.gradcheck(lambda *each: alignment_to_local(z, *each), (vectors.requires_grad_(), maps))


def test_losses_are_sums_over_views():
    draws = torch.Generator().manual_seed(4)
    maps, masks = torch.rand((5, 4, 4), generator=draws), (torch.rand((5, 4, 4), generator=draws) > 0.5).float()
    z, vectors = normalize(torch.rand((5, 3), generator=draws), dim=-1), torch.rand((5, 3, 4, 4), generator=draws)
    for loss in (
        lambda part: dice_loss(maps[part], masks[part]),
        lambda part: focal_loss(maps[part], masks[part], 2.0),
        lambda part: alignment_to_local(z[part], vectors[part], maps[part]),
        lambda part: image_loss(z[part], z[:2], 10.0, anomalous=True),
    ):
        torch.testing.assert_close(loss(slice(0, 2)) + loss(slice(2, 5)), loss(slice(0, 5)))
