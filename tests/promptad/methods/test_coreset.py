"""Which patches PatchCore and FastRecon keep."""

import pytest
import torch

from promptad.configs.method_config import ConfigError
from promptad.configs.method_configs import FastReconConfig, PatchCoreConfig
from promptad.methods.coreset import coreset

WIDE = torch.randn((200, 400), generator=torch.Generator().manual_seed(1))


def kept(config, patches=WIDE, seed=0):
    return coreset(patches, config, category="bolt", seed=seed)


def test_a_coreset_is_a_fraction_of_the_patches_and_never_more_than_a_number():
    config = PatchCoreConfig(coreset=0.1, most_entries=30)
    assert [config.entries(patches, 8) for patches in (1, 100, 299, 400, 10**6)] == [1, 10, 30, 30, 30]
    assert len(kept(config)) == 20
    assert len(kept(FastReconConfig(coreset=1.0, most_entries=30))) == 30


def test_what_is_kept_are_patches_whatever_they_were_chosen_in():
    entries = kept(PatchCoreConfig(projection=8))
    assert all(any(torch.equal(entry, patch) for patch in WIDE) for entry in entries)


def test_patches_that_are_no_wider_than_the_projection_are_looked_at_as_they_are():
    # On a line 0, 1, 4, 10: first the first, then the farthest, then the farthest from both.
    line = torch.tensor([[0.0], [1.0], [4.0], [10.0]])
    assert kept(PatchCoreConfig(coreset=0.75), line).flatten().tolist() == [0.0, 10.0, 4.0]


def test_a_projection_sees_groups_that_lie_apart_and_hangs_on_the_seed():
    centres = 50 * torch.eye(400)[:5]
    groups = (centres[:, None] + WIDE.view(5, 40, 400)).flatten(0, 1)
    entries = kept(PatchCoreConfig(coreset=5 / 200), groups)
    assert sorted((entry @ centres.T).argmax().item() for entry in entries) == [0, 1, 2, 3, 4]
    config = PatchCoreConfig(projection=4)
    assert torch.equal(kept(config), kept(config))
    assert not torch.equal(kept(config), kept(config, seed=1))


def test_numbers_out_of_their_domain():
    with pytest.raises(ConfigError, match=r"most_entries must be at least 1, but got 0; projection must be at least 1"):
        PatchCoreConfig(most_entries=0, projection=0)
