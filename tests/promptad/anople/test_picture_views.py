"""Views of support images: quarters that make up the image, and pseudo-anomalies of their own."""

import dataclasses

import numpy as np
import pytest
import torch
from helpers.small_models import image_files, pixels, small_backbone

from promptad.anople.picture_views import (
    StepDraws,
    latent_mask,
    pictures_of,
    quarters,
    view_count,
    views_in_step,
    wanted_pictures,
)
from promptad.configs.anople_config import AnoPLeConfig
from promptad.features.extraction import extract_features, file_inputs
from promptad.features.support_poses import view_inputs
from promptad.images.preparation import Preprocessing, load_image, normalised, resized_pixels
from promptad.images.pseudo_anomalies import LARGEST_SHARE

SMALL = Preprocessing(size=32)
ALL = AnoPLeConfig(views_per_step=5)


def draws(seed=0):
    return StepDraws(*(np.random.default_rng([seed, purpose]) for purpose in range(3)))


def five(seed=1):
    return [pixels(seed), *quarters(pixels(seed, 64))]


def test_quarters_make_up_the_image():
    picture = pixels(3, 64)
    upper_left, upper_right, lower_left, lower_right = quarters(picture)
    assert np.array_equal(np.block([[[upper_left], [upper_right]], [[lower_left], [lower_right]]]), picture)
    assert upper_left.shape == (32, 32, 3)
    assert np.array_equal(upper_right, picture[:32, 32:])


def test_pictures_are_the_towers_input_before_it_is_normalised(tmp_path):
    paths = image_files(tmp_path, [1, 2])
    views = ["pixels", "pictures/1", "pictures/2"]
    features = extract_features(small_backbone(), file_inputs(paths, SMALL), preprocessing=SMALL, views=views)
    assert len(features) == 2
    for path, picture, entered in zip(paths, features.views["pictures/1"], features.views["pixels"], strict=True):
        assert picture.dtype == torch.uint8
        assert torch.equal(normalised(picture.numpy(), SMALL), entered)
        assert torch.equal(entered, load_image(path, SMALL))
    for path, picture in zip(paths, features.views["pictures/2"], strict=True):
        assert np.array_equal(picture.numpy(), resized_pixels(path, Preprocessing(size=64)))
    found = pictures_of(features, ALL)
    assert [len(each) for each in found] == [5, 5]
    assert np.array_equal(found[1][2], resized_pixels(paths[1], Preprocessing(size=64))[:32, 32:])
    assert [len(each) for each in pictures_of(features, AnoPLeConfig(views="whole"))] == [1, 1]


def test_turned_and_shifted_support_images_have_larger_pictures_too(tmp_path):
    (path,) = image_files(tmp_path, [1])
    inputs = view_inputs([path], SMALL, shift=4)
    features = extract_features(small_backbone(), inputs, preprocessing=SMALL, views=["pictures/1", "pictures/2"])
    small, large = (features.views[view][1].float() for view in ("pictures/1", "pictures/2"))
    assert large.shape == (64, 64, 3)
    halved = large.reshape(32, 2, 32, 2, 3).mean(dim=(1, 3))
    # The same part of the image: resampled by other filters, but shifted by the same half patch.
    assert (halved - small).abs().mean() < 12
    assert (halved - features.views["pictures/1"][0].float()).abs().mean() > 15


def test_what_is_trained_on_is_what_is_asked_for():
    assert (view_count(ALL), wanted_pictures(ALL)) == (5, {"pictures/1", "pictures/2"})
    whole = AnoPLeConfig(views="whole")
    assert (view_count(whole), wanted_pictures(whole)) == (1, {"pictures/1"})


def test_a_step_has_each_view_normal_and_with_an_anomaly_of_its_own():
    pictures = five()
    views = views_in_step(pictures, ALL, SMALL, (16, 4), draws())
    assert views.numbers == (0, 1, 2, 3, 4)
    for picture, normal in zip(pictures, views.normal, strict=True):
        assert torch.equal(normal, normalised(picture, SMALL))
    changed = (views.anomalous != views.normal).any(dim=1)
    assert set(views.masks.unique().tolist()) == {0.0, 1.0}
    # Pixels outside the masks are as they were; every mask has changed pixels.
    assert not (changed & (views.masks == 0)).any()
    assert (changed & (views.masks > 0)).flatten(1).any(dim=1).all()
    again, other = (views_in_step(pictures, ALL, SMALL, (16, 4), draws(seed)) for seed in (0, 1))
    assert torch.equal(again.anomalous, views.anomalous)
    assert not torch.equal(other.anomalous, views.anomalous)


def test_both_kinds_are_drawn_and_one_alone_where_it_is_asked_for():
    # A rectangle has no other rows and columns than its own.
    def rectangles(config):
        generator = draws(5)
        masks = torch.cat([views_in_step(five(), config, SMALL, (16, 4), generator).masks for _ in range(20)])
        return [bool(torch.equal(mask, mask.amax(0)[None] * mask.amax(1)[:, None])) for mask in masks]

    both = rectangles(ALL)
    assert 25 < sum(both) < 75
    assert all(rectangles(ALL.with_changes({"pixel_kinds": ("cut_paste",)})))
    assert sum(rectangles(ALL.with_changes({"pixel_kinds": ("perlin_texture",)}))) < 20


def test_fewer_views_in_a_step_are_drawn_anew():
    config, generator = AnoPLeConfig(views_per_step=2), draws(1)
    steps = [views_in_step(five(), config, SMALL, (16, 4), generator) for _ in range(40)]
    assert {len(step.numbers) for step in steps} == {2}
    assert all(step.numbers[0] < step.numbers[1] for step in steps)
    assert {number for step in steps for number in step.numbers} == {0, 1, 2, 3, 4}
    for number, normal in zip(steps[0].numbers, steps[0].normal, strict=True):
        assert torch.equal(normal, normalised(five()[number], SMALL))


def test_without_pseudo_anomalies_there_are_none():
    views = views_in_step(five(), AnoPLeConfig(pixel_anomalies=False, local_alignment=False), SMALL, (16, 4), draws())
    assert views.anomalous is None
    assert views.masks is None
    assert views.part(1, 3).anomalous is None
    assert views.noise is not None
    assert views_in_step(five(), AnoPLeConfig(latent_anomalies=False), SMALL, (16, 4), draws()).noise is None


def test_arms_that_leave_one_draw_out_have_the_others_in_common():
    whole = views_in_step(five(), AnoPLeConfig(views_per_step=2), SMALL, (24, 4), draws(7))
    for changes in ({"latent_anomalies": False}, {"pixel_anomalies": False, "local_alignment": False}):
        part = views_in_step(five(), AnoPLeConfig(views_per_step=2, **changes), SMALL, (24, 4), draws(7))
        assert part.numbers == whole.numbers
        kept = ("anomalous", "masks") if "latent_anomalies" in changes else ("noise", "disturbed")
        assert all(torch.equal(getattr(part, name), getattr(whole, name)) for name in kept)
    more = views_in_step(five(), AnoPLeConfig(views_per_step=5), SMALL, (24, 4), draws(7))
    assert torch.equal(more.masks[:1], whole.masks[:1]) or more.numbers[0] != whole.numbers[0]


def test_noise_is_where_features_are_disturbed_and_nowhere_else():
    views = views_in_step(five(), ALL, SMALL, (64, 7), draws(2))
    assert views.noise.shape == (5, 64, 7, 7)
    assert torch.equal((views.noise != 0).any(dim=1).float(), views.disturbed)
    values = views.noise.movedim(1, -1)[views.disturbed > 0]
    assert values.std().item() == pytest.approx(1, rel=0.1)
    assert values.mean().item() == pytest.approx(0, abs=0.1)


def test_parts_are_views_in_their_order():
    views = views_in_step(five(), ALL, SMALL, (16, 4), draws())
    part = views.part(2, 4)
    assert part.numbers == (2, 3)
    for field in dataclasses.fields(part):
        if field.name != "numbers":
            assert torch.equal(getattr(part, field.name), getattr(views, field.name)[2:4])


@pytest.mark.parametrize("side", [1, 2, 3, 4, 7, 15, 16])
def test_latent_masks_are_neither_empty_nor_large(side):
    generator = np.random.default_rng(side)
    masks = [latent_mask(side, generator) for _ in range(50)]
    assert {mask.shape for mask in masks} == {(side, side)}
    shares = [mask.mean() for mask in masks]
    assert min(shares) > 0
    assert max(shares) <= max(LARGEST_SHARE, 1 / side**2)
    if side > 2:
        assert len({mask.tobytes() for mask in masks}) > 10
