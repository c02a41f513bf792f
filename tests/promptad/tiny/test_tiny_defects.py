from dataclasses import replace

import numpy as np
import pytest

from promptad.tiny.render.benchmark import DEFECTS
from promptad.tiny.render.defects import HELD_OUT_DEFECTS, MINIMUM_AREA, TRAINING_DEFECTS, apply_defect
from promptad.tiny.render.families import TRAINING
from promptad.tiny.training.pool import KINDS, render_pair

BY_NAME = {family.name: family for family in TRAINING}
KNOWN = [*TRAINING_DEFECTS, *HELD_OUT_DEFECTS]


def scene_of(name: str, sample: int = 1):
    return BY_NAME[name].render(11, np.random.default_rng(sample), 64)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KNOWN)
@pytest.mark.parametrize("name", ["woven fabric", "bearing", "socket"])
def test_mask_covers_exactly_what_changed(kind, name):
    scene = scene_of(name)
    damaged = apply_defect(scene, kind, np.random.default_rng(2))
    np.testing.assert_array_equal(damaged.image[~damaged.mask], scene.image[~damaged.mask])
    contrast = np.abs(damaged.image - scene.image).max(axis=2)
    assert damaged.mask.mean() >= MINIMUM_AREA
    assert contrast[damaged.mask].mean() > 0.04
    assert 0.0 <= damaged.image.min() <= damaged.image.max() <= 1.0


@pytest.mark.parametrize("kind", ["crack", "misplaced", "thread"])
def test_defects_are_fixed_by_the_generator(kind):
    first, again, other = (apply_defect(scene_of("bearing"), kind, np.random.default_rng(seed)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.mask, again.mask)
    assert (first.mask != other.mask).any()


def test_missing_part_shows_what_is_beneath():
    scene = scene_of("bearing")
    damaged = apply_defect(scene, "missing", np.random.default_rng(0))
    [gone] = [part for part in scene.parts if (part * damaged.mask).sum() > 0.8 * part.sum()]
    core = gone > 0.99
    np.testing.assert_allclose(damaged.image[core], scene.beneath[core], atol=1e-6)


def test_broken_object_shows_the_backdrop():
    scene = scene_of("bearing")
    damaged = apply_defect(scene, "broken", np.random.default_rng(1))
    lost = damaged.mask & (scene.body > 0.99)
    nearness = np.abs(damaged.image - scene.backdrop).max(axis=2)[lost]
    assert np.median(nearness) < 1e-6


def test_unknown_kind_and_undamageable_scenes_are_refused():
    scene = scene_of("bearing")
    with pytest.raises(ValueError, match=r"must be one of .*crack.* but got rust"):
        apply_defect(scene, "rust", np.random.default_rng(0))
    with pytest.raises(ValueError, match="no pixel is covered"):
        apply_defect(replace(scene, body=np.zeros_like(scene.body)), "hole", np.random.default_rng(0))
    plain = replace(scene, image=np.full_like(scene.image, 0.5), parts=())
    with pytest.raises(ValueError, match="40 tries left no visible defect"):
        apply_defect(plain, "bent", np.random.default_rng(0))


def test_kinds_are_either_trained_or_held_out_and_the_set_shows_both():
    assert not set(TRAINING_DEFECTS) & set(HELD_OUT_DEFECTS)
    assert not {k.make for k in TRAINING_DEFECTS.values()} & {k.make for k in HELD_OUT_DEFECTS.values()}
    assert len(TRAINING_DEFECTS) >= 10
    shown = {kind for kinds in DEFECTS.values() for kind in kinds}
    assert shown <= set(KNOWN)
    assert set(HELD_OUT_DEFECTS) <= shown


def test_training_pairs_are_deterministic_and_never_show_a_held_out_kind():
    first, again = (render_pair(TRAINING, 32, 5, 9) for _ in range(2))
    np.testing.assert_array_equal(first.defective, again.defective)
    np.testing.assert_array_equal(first.mask, again.mask)
    assert (first.family, first.kind) == (again.family, again.kind)
    assert set(KINDS) == set(TRAINING_DEFECTS)
    fixed = [render_pair((TRAINING[0],), 32, 5, index, product=3) for index in (0, 1)]
    drawn = [render_pair((TRAINING[0],), 32, 5, index) for index in (0, 1)]
    colour = [pair.flawless.mean(axis=(0, 1)) for pair in (*fixed, *drawn)]
    assert np.abs(colour[0] - colour[1]).max() < 0.1 < np.abs(colour[2] - colour[3]).max()
