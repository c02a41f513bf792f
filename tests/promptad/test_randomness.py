"""Generators by purpose."""

import hashlib

import numpy as np
import torch

from promptad.randomness import numpy_generator, seed_of, torch_generator


def test_seed_is_the_digest_of_seed_and_purpose():
    digest = hashlib.blake2b(b"3\0bottle\0support", digest_size=8).digest()
    assert seed_of(3, "bottle", "support") == int.from_bytes(digest, "big") // 2


def test_seeds_differ_by_seed_and_by_every_part_of_the_purpose():
    seeds = {seed_of(0), seed_of(1), seed_of(0, "a"), seed_of(0, "b"), seed_of(0, "a", "b"), seed_of(0, "ab")}
    assert len(seeds | {seed_of(0, "b", "a")}) == 7
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_equal_purposes_draw_equally():
    first, again = numpy_generator(1, "support"), numpy_generator(1, "support")
    assert first.random() == again.random() == np.random.default_rng(seed_of(1, "support")).random()
    assert numpy_generator(1, "other").random() != numpy_generator(1, "support").random()
    drawn = torch.rand(3, generator=torch_generator(1, "tokens"))
    assert torch.equal(drawn, torch.rand(3, generator=torch_generator(1, "tokens")))
    assert not torch.equal(drawn, torch.rand(3, generator=torch_generator(2, "tokens")))


def test_global_random_state_is_left_alone():
    before = torch.get_rng_state()
    torch.rand(3, generator=torch_generator(1, "tokens"))
    assert torch.equal(torch.get_rng_state(), before)
