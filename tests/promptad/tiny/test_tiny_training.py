import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from sklearn.metrics import roc_auc_score

from promptad.backbones.towers import encode_images
from promptad.tiny.model import build_model, load_tiny, tiny_tokenizer
from promptad.tiny.render.benchmark import CATEGORIES
from promptad.tiny.training import evaluate, objectives
from promptad.tiny.training.batches import Batch, batches, truth_matrix
from promptad.tiny.training.pool import render_pool
from promptad.tiny.training.train import learning_rate_at, logit_scale_at, train


def unit(*shape, seed=0):
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def test_contrastive_is_cross_entropy_when_each_row_has_one_truth():
    logits = torch.randn(3, 3, generator=torch.Generator().manual_seed(1))
    diagonal = torch.arange(3)
    expected = 0.5 * (F.cross_entropy(logits, diagonal) + F.cross_entropy(logits.T, diagonal))
    torch.testing.assert_close(objectives.multi_positive_contrastive(logits, torch.eye(3, dtype=torch.bool)), expected)


def test_contrastive_by_hand_with_two_truths_and_an_untrue_text():
    truth = torch.tensor([[True, True, False]])
    logits = torch.log(torch.tensor([[1.0, 2.0, 1.0]]))
    rows = -0.5 * (np.log(1 / 4) + np.log(2 / 4))  # columns have one image each: their cross-entropy is 0
    found = objectives.multi_positive_contrastive(logits, truth)
    torch.testing.assert_close(found.item(), 0.5 * rows)


def test_anomaly_logits_broadcast_over_patches():
    normal, anomalous, features = unit(2, 4, seed=1), unit(2, 4, seed=2), unit(2, 5, 4, seed=3)
    found = objectives.anomaly_logits(features, normal, anomalous, 10.0)
    assert found.shape == (2, 5)
    expected = 10.0 * (features[1, 3] @ anomalous[1] - features[1, 3] @ normal[1])
    torch.testing.assert_close(found[1, 3], expected)


def test_dice_cover_and_pooling_by_hand():
    target = torch.tensor([[1.0, 0.0, 1.0, 0.0]])
    torch.testing.assert_close(objectives.dice_loss(target, target).item(), 0.0)
    torch.testing.assert_close(objectives.dice_loss(1 - target, target).item(), 1 - 1 / 5)
    mask = torch.zeros(1, 4, 4, dtype=torch.bool)
    mask[0, 0, 2] = mask[0, 1, 2] = mask[0, 3, 0] = True
    torch.testing.assert_close(objectives.patch_cover(mask, 2), torch.tensor([[0.0, 0.5, 0.25, 0.0]]))
    features = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [0.0, -9.0]]])
    pooled = objectives.pooled(features, torch.tensor([[3.0, 4.0, 0.0]]))
    torch.testing.assert_close(pooled, torch.tensor([[0.6, 0.8]]))


def test_nearest_distance_against_a_loop():
    query, memory = unit(2, 3, 4, seed=1), unit(2, 5, 4, seed=2)
    found = objectives.nearest_distance(query, memory)
    for image in range(2):
        for patch in range(3):
            expected = min(0.5 * (1 - float(query[image, patch] @ memory[image, m])) for m in range(5))
            assert float(found[image, patch]) == pytest.approx(expected, abs=1e-6)


def test_few_shot_loss_prefers_distances_that_follow_the_mask():
    target = torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    right = objectives.few_shot_loss(torch.tensor([[0.5, 0.0, 0.0, 0.0]]), target)
    wrong = objectives.few_shot_loss(torch.tensor([[0.0, 0.5, 0.0, 0.0]]), target)
    assert right < 0.2 * wrong


def test_schedules():
    assert logit_scale_at(0.0) == pytest.approx(14.0)
    assert logit_scale_at(1 / 3) == pytest.approx((14.0 * 100.0) ** 0.5)
    assert logit_scale_at(1.0) == pytest.approx(100.0)
    assert learning_rate_at(0.015, 2.0) == pytest.approx(1.0)
    assert learning_rate_at(0.03, 2.0) == pytest.approx(2.0)
    assert learning_rate_at(1.0, 2.0) == pytest.approx(0.04)


def test_truth_matrix_by_hand():
    batch = Batch(
        images=torch.empty(0), masks=torch.empty(0), normal=[], anomalous=[], own_kind=[], other_kind=[],
        family=torch.tensor([0, 0, 1]), kind=torch.tensor([5, 6, 5]), generic=torch.tensor([False, False, True]),
    )  # fmt: skip
    product = [[1, 1, 1], [1, 1, 1], [0, 0, 1]]  # the third pair's captions name any product
    kind = [[1, 0, 1], [0, 1, 0], [0, 0, 1]]
    expected = torch.tensor([[*row, *[0] * 6] for row in product])
    expected = torch.cat([expected, torch.tensor([[0, 0, 0, *a, *b] for a, b in zip(product, kind, strict=True)])])
    torch.testing.assert_close(truth_matrix(batch).long(), expected)


@pytest.mark.slow
def test_a_short_training_moves_the_weights_and_ends_in_a_file_that_loads(tmp_path):
    pool = render_pool(tmp_path / "pool", 4, 96, seed=1, processes=1)
    again = render_pool(tmp_path / "pool", 4, 96, seed=1, processes=1)
    np.testing.assert_array_equal(pool.defective, again.defective)
    differs = (pool.flawless != pool.defective).any(axis=(1, 2, 3))
    assert differs.all()
    assert pool.masks.any(axis=(1, 2)).all()
    batch = next(batches(pool, 2, np.random.default_rng(0)))
    assert batch.images.shape == (4, 3, 96, 96)
    assert len(batch.normal) == len(batch.other_kind) == len(batch.masks) == 2
    out = tmp_path / "weights.safetensors"
    masks = np.stack([np.zeros_like(pool.masks[0]), pool.masks[0]])
    test = np.stack([pool.flawless[0], pool.defective[0]])
    probe = evaluate.Probe(name="gear", support=pool.flawless[:1], test=test, masks=masks)
    seen = train(pool, minutes=0.005, pairs=2, peak=1e-3, seed=0, out=out, probes=[probe])
    assert seen >= 4
    model, _ = load_tiny(out)
    change = (model.visual.proj - build_model(seed=0).visual.proj).abs().max()
    assert change > 1e-4


def test_support_views_keep_the_image_and_fill_what_a_rotation_leaves_empty():
    images = torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(0)) + 1.0
    views = evaluate.support_views(images)
    assert views.shape == (40, 3, 96, 96)
    torch.testing.assert_close(views[:2], images)
    torch.testing.assert_close(views[2:4, :, 4:], images[:, :, :-4])
    assert views.min() >= 0.9


def test_harmonic_and_upsampled():
    torch.testing.assert_close(evaluate.harmonic(torch.tensor(0.5), torch.tensor(0.25)).item(), 1 / 6)
    maps = torch.zeros(1, 144)
    maps[0, 13] = 1.0
    large = evaluate.upsampled(maps, 96)
    assert large.shape == (1, 96, 96)
    assert np.unravel_index(large.argmax(), (96, 96)) in {(11, 11), (11, 12), (12, 11), (12, 12)}


@pytest.mark.slow
def test_vision_scores_against_a_plain_computation():
    model, tokenizer = build_model().eval(), tiny_tokenizer()
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (5, 96, 96, 3), dtype=np.uint8)
    masks = np.zeros((4, 96, 96), dtype=np.bool_)
    masks[2:, :40, :40] = True
    probe = evaluate.Probe(name="gear", support=images[:1], test=images[1:], masks=masks)
    found = evaluate.probe_scores(model, tokenizer, probe, augment=False)
    with torch.no_grad():
        blocks = encode_images(model.visual, evaluate.preprocess(images), local=("vv",), blocks=(2, 3)).blocks
    maps = []
    for block in (2, 3):
        patches = F.normalize(blocks[block], dim=-1)
        maps.append(0.5 * (1 - (patches[1:] @ patches[0].T)).amin(dim=-1))
    scores = ((maps[0] + maps[1]) / 2).amax(dim=1).numpy()
    assert found["vision"][0] == pytest.approx(roc_auc_score([0, 0, 1, 1], scores))


def test_benchmark_probe_reads_the_layout(tmp_path):
    category = CATEGORIES[0]
    for name, value in (("train/good/000", 10), ("train/good/001", 20), ("test/good/000", 30), ("test/cut/000", 40)):
        path = tmp_path / category / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((192, 192, 3), value, dtype=np.uint8)).save(path)
    truth = tmp_path / category / "ground_truth" / "cut" / "000_mask.png"
    truth.parent.mkdir(parents=True)
    mask = np.zeros((192, 192), dtype=np.uint8)
    mask[:5] = 255
    Image.fromarray(mask).save(truth)
    probe = evaluate.benchmark_probe(tmp_path, category, seed=0)
    assert probe.support[0, 0, 0, 0] in (10, 20)
    assert [int(image[0, 0, 0]) for image in probe.test] == [40, 30]
    assert [int(found.sum()) for found in probe.masks] == [5 * 192, 0]
