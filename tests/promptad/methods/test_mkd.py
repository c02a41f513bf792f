"""MKD's discrepancy by hand, its learning and its maps against plain torch, and its teachers."""

import pytest
import torch
from helpers.memory_methods import fitted, scores, some_features
from helpers.small_models import small_backbone, small_features
from torch.nn.functional import cosine_similarity

from promptad.configs.network_configs import MKDConfig
from promptad.features.extraction import Features
from promptad.methods.mkd import MKD, discrepancy, draw_student
from promptad.networks.student import TeacherMap

SMALL = MKDConfig(memory_layers=(1, 2), steps=3)


def test_the_discrepancy_by_hand():
    teacher = [torch.tensor([[[1.0, 0.0], [0.0, 1.0]]]), torch.tensor([[[2.0]]])]
    student = [torch.tensor([[[1.0, 1.0], [0.0, 0.0]]]), torch.tensor([[[-3.0]]])]
    # Flattened: cos 1 / 2, squares (0 + 1 + 0 + 1) / 4; then cos -1, square 25.
    expected = (1 - 0.5) + 0.1 * 0.5 + (1 + 1) + 0.1 * 25
    assert discrepancy(teacher, student, 0.1).tolist() == pytest.approx([expected])
    assert discrepancy(teacher, teacher, 0.1).tolist() == pytest.approx([0.0], abs=1e-6)


def test_the_discrepancy_is_each_images_own():
    draws = torch.Generator().manual_seed(0)
    one, other = ([torch.randn(3, 4, 5, generator=draws)] for _ in range(2))
    whole = discrepancy(one, other, 0.5)
    for place in range(3):
        part = slice(place, place + 1)
        assert discrepancy([one[0][part]], [other[0][part]], 0.5).item() == pytest.approx(whole[place].item())


def learned(config, support):
    """The student after plain steps of Adam."""
    teacher = [support.stack(f"raw/block/{layer}") for layer in (1, 2)]
    images = support.stack("pixels")
    student = draw_student(32, [TeacherMap(side=4, width=32)] * 2, seed=0, category="bottle").leaf(images.device)
    optimiser = torch.optim.Adam(student.parameters(), lr=1e-3)
    for _ in range(config.steps):
        optimiser.zero_grad()
        losses = []
        for real, found in zip(teacher, student(images, learning=True), strict=True):
            for a, b in zip(real.flatten(1), found.flatten(1), strict=True):
                losses.append(1 - a @ b / (a.norm() * b.norm()) + 0.5 * ((a - b) ** 2).mean())
        (torch.stack(losses).sum() / len(images)).backward()
        optimiser.step()
    return student.frozen()


def test_learning_and_maps_against_plain_torch():
    support, query = some_features()
    student = learned(SMALL, support)
    images = query.stack("pixels").clone().requires_grad_()
    total = 0
    for layer, found in zip((1, 2), student(images), strict=True):
        real = query.stack(f"raw/block/{layer}").flatten(1)
        total = total + 1 - cosine_similarity(real, found.flatten(1)) + 0.5 * (real - found.flatten(1)).square().mean(1)
    torch.testing.assert_close(scores(SMALL, "image").image, total.detach(), rtol=1e-4, atol=1e-5)
    (gradient,) = torch.autograd.grad(total.sum(), images)
    # A patch is 8 x 8 pixels.
    expected = torch.zeros(4, 4, 4)
    for row in range(4):
        for column in range(4):
            block = gradient[:, :, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
            expected[:, row, column] = block.abs().sum(dim=(1, 2, 3)) / 64
    found = scores(SMALL).maps
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-6)
    assert not found.requires_grad
    assert found.min() > 0


def test_a_map_says_how_fast_the_image_score_grows_with_a_patchs_pixels():
    support, query = some_features()
    image, pixel = fitted(support, SMALL, "image"), fitted(support, SMALL)
    one = Features(views={view: images[:1] for view, images in query.views.items()}, device=query.device)
    seen = one.stack("pixels").clone().requires_grad_()
    teacher = [one.stack(f"raw/block/{layer}") for layer in (1, 2)]
    (gradient,) = torch.autograd.grad(discrepancy(teacher, image.student(seen), 0.5).sum(), seen)
    # Each pixel of the patch in row 1, column 2 moves a little upwards.
    moved = one.stack("pixels").clone()
    moved[:, :, 8:16, 16:24] += 1e-3 * gradient.sign()[:, :, 8:16, 16:24]
    higher = image.score(Features(views={**one.views, "pixels": [moved[0]]}, device=query.device)).image
    slope = pixel.score(one).maps[0, 1, 2].item() * 64
    assert (higher - image.score(one).image).item() == pytest.approx(1e-3 * slope, rel=0.1)


def test_guided_maps_are_other_maps_and_the_image_score_is_the_same():
    guided = SMALL.with_changes({"gradient": "guided"})
    assert torch.equal(scores(guided, "image").image, scores(SMALL, "image").image)
    plain, other = scores(SMALL).maps, scores(guided).maps
    assert not torch.allclose(plain, other, rtol=0.05)
    assert other.min() >= 0


def test_the_student_learns_its_teacher():
    support, _ = some_features()
    values = []
    for steps in (1, 40):
        method = fitted(support, SMALL.with_changes({"steps": steps}), "image")
        values.append(method.score(support).image.mean().item())
    assert values[1] < 0.8 * values[0]


def test_a_teacher_with_stages_of_several_grids():
    backbone = small_backbone("small-resnet")
    config = MKDConfig(memory_layers=(3, 1), steps=2)
    views = MKD().views(config, "pixel", backbone)
    assert views == {"pixels", "raw/block/1", "raw/block/3"}
    support, query = (small_features(backbone, seeds, tuple(views)) for seeds in ([1, 2], [3]))
    method = MKD().fit(backbone, support, config, task="pixel", category="bottle", seed=0)
    # The finer map is imitated first, whatever order the config has.
    sides = [each.side for each in method.student.maps]
    assert sides == sorted(sides, reverse=True)
    assert sides[0] > sides[1]
    assert method.score(query).maps.shape == (1, sides[0], sides[0])
    size = MKD().size(backbone, config, task="pixel", category="bottle")
    assert size.learned_parameters == sum(part.numel() for part in method.student.parameters())


def test_seeds_categories_rounds_and_batches():
    support, query = some_features()
    one, same = (fitted(support, SMALL, "image").score(query).image for _ in range(2))
    assert torch.equal(one, same)
    assert not torch.equal(one, fitted(support, SMALL, "image", seed=1).score(query).image)
    assert not torch.equal(one, fitted(support, SMALL.with_changes({"batch": 2}), "image").score(query).image)
    seen = []
    config = SMALL.with_changes({"steps": 4, "rounds": 2, "selection": "best_on_test"})
    MKD().fit(
        small_backbone(),
        support,
        config,
        task="image",
        category="bottle",
        seed=0,
        on_epoch=lambda number, found: seen.append((number, found.score(query).image)),
    )
    assert [number for number, _ in seen] == [1, 2]
    assert torch.equal(seen[0][1], fitted(support, config.with_changes({"steps": 2}), "image").score(query).image)


def test_more_images_than_are_scored_at_once(monkeypatch):
    expected = scores(SMALL).maps
    monkeypatch.setattr("promptad.methods.mkd.CHUNK", 3)
    torch.testing.assert_close(scores(SMALL).maps, expected)
