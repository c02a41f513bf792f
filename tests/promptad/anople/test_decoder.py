"""AnoPLe's decoder against torch's own convolutions."""

import pytest
import torch
from torch import nn

from promptad.anople.decoder import Decoder
from promptad.configs.anople_config import AnoPLeConfig


def drawn(kind="windows", seed=0):
    config = AnoPLeConfig(decoder=kind, decoder_width=6)
    decoder = Decoder.draw(4, config, category="bottle", seed=seed)
    assert decoder is not None
    return decoder


GRID = torch.randn((2, 4, 5, 5), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kind", ["windows", "patches"])
def test_an_untrained_decoder_changes_nothing(kind):
    assert torch.equal(drawn(kind)(GRID), GRID)


@pytest.mark.parametrize(("kind", "side"), [("windows", 3), ("patches", 1)])
def test_the_decoder_against_modules(kind, side):
    decoder = drawn(kind)
    second = torch.randn(decoder.second.shape, generator=torch.Generator().manual_seed(2))
    bias = torch.randn(4, generator=torch.Generator().manual_seed(3))
    trained = Decoder(first=decoder.first, first_bias=decoder.first_bias, second=second, second_bias=bias)
    modules = nn.Sequential(nn.Conv2d(4, 6, side, padding="same"), nn.GELU(), nn.Conv2d(6, 4, side, padding="same"))
    modules.load_state_dict(
        {"0.weight": trained.first, "0.bias": trained.first_bias, "2.weight": second, "2.bias": bias}
    )
    torch.testing.assert_close(trained(GRID), GRID + modules(GRID))
    again = Decoder.restored({**trained.tensors(), "prototypes": GRID})
    assert again is not None
    assert torch.equal(again(GRID), trained(GRID))


def test_a_patch_reads_its_window_and_no_other():
    for kind, reach in (("windows", 2), ("patches", 0)):
        decoder = drawn(kind)
        trained = Decoder(**{**decoder._parts(), "second": torch.ones_like(decoder.second)})
        changed = GRID.clone()
        changed[:, :, 0, 0] += 1
        moved = (trained(changed) - trained(GRID)).abs().amax(dim=(0, 1)) > 0
        rows, columns = torch.meshgrid(torch.arange(5), torch.arange(5), indexing="ij")
        assert torch.equal(moved, torch.maximum(rows, columns) <= reach)


def test_draws():
    one, same, other = drawn(), drawn(), drawn(seed=1)
    assert torch.equal(one.first, same.first)
    assert not torch.equal(one.first, other.first)
    # Torch's own layer begins with numbers up to 1 / sqrt(inputs).
    assert one.first.abs().max().item() == pytest.approx(1 / 6, rel=0.05)
    assert Decoder.draw(4, AnoPLeConfig(decoder="none"), category="bottle", seed=0) is None
    assert Decoder.restored({"prototypes": GRID}) is None


def test_copies_to_learn_and_copies_to_keep():
    leaf = drawn().leaf(torch.device("cpu"))
    kept = leaf.frozen()
    leaf(GRID).square().sum().backward()
    assert leaf.second.grad is not None
    assert leaf.second.grad.abs().max() > 0
    assert [part.numel() for part in leaf.parameters()] == [6 * 4 * 9, 6, 4 * 6 * 9, 4]
    with torch.no_grad():
        leaf.first.add_(1)
    assert torch.equal(kept.first, drawn().first)
