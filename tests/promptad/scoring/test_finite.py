"""What is no number is never a score: in features, from the cache, in scores and maps, of every method."""

import copy
import dataclasses
import functools

import numpy as np
import pytest
import torch
from helpers.benches import planned, run_all
from helpers.memory_methods import some_features
from helpers.small_models import image_files, pixels, small_backbone, small_features

from promptad.configs.method_table import METHODS
from promptad.configs.promptad_config import PromptADConfig
from promptad.configs.shared_config import MemoryConfig
from promptad.detector import Detector
from promptad.features.cache import FeatureCache
from promptad.features.encoding import _unit
from promptad.features.extraction import Features, ImageInput, extract_features
from promptad.images.preparation import Preprocessing
from promptad.methods import Scores, finite_scores, method_named
from promptad.scoring.anomaly_scores import harmonic_fusion
from promptad.scoring.finite import NotFiniteError, require_finite

NAN = float("nan")
PREPROCESSING = Preprocessing(size=32)


def broken_backbone(precision="fp32"):
    """Like ``small_backbone``, but a weight of the image tower's first block is no number."""
    backbone = small_backbone(precision=precision)
    model = copy.deepcopy(backbone.model)
    model.visual.transformer.resblocks[0].attn.in_proj_weight.data[-1, 0] = NAN
    return dataclasses.replace(backbone, model=model, weights="broken", text_tower=model)


def named_inputs(*seeds):
    return [
        ImageInput(identity=f"pixels {seed}", pixels=functools.partial(pixels, seed), name=f"part/{seed}.png")
        for seed in seeds
    ]


def test_fusion_does_not_take_nan_for_normal():
    fused = harmonic_fusion(torch.tensor([NAN, 0.5, NAN, 0.0]), torch.tensor([0.9, NAN, NAN, 0.9]))
    assert fused[:3].isnan().all()
    assert fused[3] == 0


@pytest.mark.parametrize("value", [NAN, float("inf"), -float("inf")])
def test_the_message_names_the_images_and_the_remedy(value):
    values = torch.zeros(3, 4, 4)
    require_finite(values, "map", ["a", "b", "c"], precision="fp32")
    values[1, 2, 3] = value
    with pytest.raises(NotFiniteError, match=r"map must be finite, but .* that of b: the weights hold values"):
        require_finite(values, "map", ["a", "b", "c"], precision="fp32")
    with pytest.raises(NotFiniteError, match=r"that of image 2: precision fp16 overflows: use fp32"):
        require_finite(values, "map", (), precision="fp16")
    with pytest.raises(NotFiniteError, match=r"that of 0, 1, 2, 3, 4 and 2 more: "):
        require_finite(torch.full((7,), value), "score", [str(number) for number in range(7)], precision="fp32")


def test_a_norm_that_overflows_is_no_feature_of_zeros():
    raw = torch.tensor([[60000.0, 60000.0], [3.0, 4.0], [0.0, 0.0]], dtype=torch.float16)
    unit = _unit(raw)
    assert unit[0].isnan().all()
    torch.testing.assert_close(unit[1], torch.tensor([0.6, 0.8], dtype=torch.float16))
    assert (unit[2] == 0).all()


@pytest.mark.parametrize("view", ["global", "local/vv", "block/3", "attended/2", "stream", "windows/2"])
def test_features_that_are_no_numbers_name_image_and_view(view):
    backbone = broken_backbone()
    wanted = {view}
    with pytest.raises(NotFiniteError, match=rf"feature {view} must be finite.* of part/1\.png: "):
        extract_features(backbone, named_inputs(1), preprocessing=PREPROCESSING, views=wanted)


def test_features_of_the_cache_are_checked_too(tmp_path, monkeypatch):
    cache, backbone = FeatureCache(tmp_path), broken_backbone()
    options = {"preprocessing": PREPROCESSING, "views": {"global"}, "cache": cache}
    with pytest.raises(NotFiniteError, match=r"of part/1\.png"):
        extract_features(backbone, named_inputs(1), **options)
    assert cache.info().files == 0
    monkeypatch.setattr("promptad.features.extraction.require_finite", lambda *_, **__: None)
    extract_features(backbone, named_inputs(1), **options)
    monkeypatch.undo()
    assert cache.info().files == 1
    with pytest.raises(NotFiniteError, match=r"of part/1\.png"):
        extract_features(backbone, named_inputs(1), **options)


def test_overflow_in_half_precision_names_the_one_image():
    backbone = small_backbone(precision="fp16")
    model = copy.deepcopy(backbone.model)
    # The bright image's first convolution overflows, the grey one's does not.
    model.visual.conv1.weight.data.fill_(300.0)
    backbone = dataclasses.replace(backbone, model=model, weights="large", text_tower=model)
    grey, bright = (
        ImageInput(identity=name, pixels=lambda value=value: np.full((32, 32, 3), value, np.uint8), name=f"{name}.png")
        for name, value in (("grey", 120), ("bright", 255))
    )
    extract_features(backbone, [grey], preprocessing=PREPROCESSING, views={"global"})
    with pytest.raises(NotFiniteError, match=r"that of bright\.png: precision fp16 overflows: use fp32"):
        extract_features(backbone, [grey, bright], preprocessing=PREPROCESSING, views={"global"})


def spoilt(features):
    """The features with NaN in the third image."""
    views = {}
    for name, images in features.views.items():
        views[name] = [image.clone() for image in images]
        # Pictures are whole numbers, and have no NaN.
        if images[0].is_floating_point():
            views[name][2].view(-1)[:1] = NAN
    return Features(views=views, device=features.device, names=tuple(f"part/{n}.png" for n in range(len(features))))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "task"), [(name, task) for name, entry in METHODS.items() for task in entry.tasks])
def test_no_method_turns_nan_into_a_score(name, task):
    entry, backbone, method = METHODS[name], small_backbone(), method_named(name)
    changes = {"memory_layers": (1, 2)} if issubclass(entry.config, (MemoryConfig, PromptADConfig)) else {}
    changes |= {"epochs": 1} if hasattr(entry.config(), "epochs") else {}
    config = entry.config().with_changes(changes)
    views = method.views(config, task, backbone)
    support, query = small_features(backbone, (1, 2), views), small_features(backbone, range(10, 14), views)
    fitted = method.fit(backbone, support, config, task=task, category="bottle", seed=0)
    finite_scores(fitted, query)
    with pytest.raises(NotFiniteError, match=r"must be finite.*part/2\.png"):
        finite_scores(fitted, spoilt(query))


def test_branches_are_checked_as_well():
    class Fitted:
        config = PromptADConfig()

        def score(self, _):
            return Scores(image=None, maps=torch.zeros(4, 2, 2), branches={"visual": torch.full((4, 2, 2), NAN)})

    with pytest.raises(NotFiniteError, match="visual map must be finite"):
        finite_scores(Fitted(), some_features()[1])


def test_the_library_refuses_and_names_the_file(tmp_path):
    support, query = image_files(tmp_path / "s", [1]), image_files(tmp_path / "q", [10, 11])
    config = PromptADConfig(prompts="ensemble", memory_layers=(1, 2))
    with pytest.raises(NotFiniteError, match=r"of .*s/001\.png"):
        Detector.fit(broken_backbone(), support, category="bottle", config=config)
    detector = Detector.fit(small_backbone(), support, category="bottle", config=config)
    detector.score(query)
    prototypes = detector.image.prototypes * NAN
    damaged = dataclasses.replace(detector, image=dataclasses.replace(detector.image, prototypes=prototypes))
    with pytest.raises(NotFiniteError, match=r"score must be finite.* of .*q/010\.png, .*q/011\.png: "):
        damaged.score(query)


def test_a_cell_of_the_study_fails(inspection_root, monkeypatch):
    group = planned(inspection_root)
    monkeypatch.setattr("promptad.features.encoding._unit", lambda raw: raw * NAN)
    with pytest.raises(NotFiniteError, match=r"plate/train/good/.*\.png|plate/test/.*\.png"):
        run_all(group)
