"""The methods that anomalib has too, against its own code on the same features: ``make test-oracles``.

What differs by choice is made equal here: PaDiM's regularisation, WinCLIP's temperature and texts, and which tokens are
WinCLIP+'s patches. See docs/methods.md for the choices.
"""

import warnings

import numpy as np
import pytest
import torch
from helpers.memory_methods import fitted, joined, scores, some_features
from helpers.small_models import pixels, small_backbone, small_features, small_model
from torch.nn.functional import normalize

from promptad.backbones.windows import encode_windows
from promptad.configs.method_configs import PaDiMConfig, PatchCoreConfig, WinCLIPConfig, WinCLIPPlusConfig
from promptad.features.extraction import Features
from promptad.methods.patches import joined_patches
from promptad.prompts.prompt_ensemble import ensemble_prompts, ensemble_prototypes
from promptad.scoring.neighbours import greedy_coreset
from promptad.texts.templates import ANOMALY_STATES, NORMAL_STATES, WINCLIP_TEMPLATES

pytest.importorskip("anomalib", reason="anomalib has an environment of its own: make test-oracles")

with warnings.catch_warnings():
    # It imports what timm has moved.
    warnings.simplefilter("ignore")
    from anomalib.models.components import KCenterGreedy, MultiVariateGaussian
    from anomalib.models.image.padim.anomaly_map import AnomalyMapGenerator
    from anomalib.models.image.patchcore.torch_model import PatchcoreModel
    from anomalib.models.image.winclip import prompting, torch_model

QUERIES = range(10, 14)
TEXTS = {"ensemble_templates": 2}


@pytest.fixture(scope="module")
def their_patchcore():
    return PatchcoreModel(
        layers=["layer1", "layer2", "layer3"], backbone="resnet18", pre_trained=False, num_neighbors=5
    )


def test_patchcores_distances_and_image_scores(their_patchcore):
    support, _ = some_features()
    config = PatchCoreConfig(memory_layers=(1, 2), coreset=0.5, neighbours=5)
    their_patchcore.memory_bank = fitted(support, config).memory
    patches = torch.tensor(joined(some_features()[1], (1, 2), 3), dtype=torch.float32).reshape(4 * 16, -1)
    gaps, places = (found.view(4, 16) for found in their_patchcore.nearest_neighbors(patches, n_neighbors=1))
    torch.testing.assert_close(scores(config).maps.flatten(1), gaps, rtol=1e-4, atol=1e-5)
    expected = their_patchcore.compute_anomaly_score(gaps, places, patches)
    torch.testing.assert_close(scores(config, "image").image, expected, rtol=1e-4, atol=1e-5)


def test_layers_of_different_grids_are_joined_alike(their_patchcore):
    draws = torch.Generator().manual_seed(0)
    views = {
        f"layer{n}": [torch.randn(side**2, n, generator=draws) for _ in range(3)] for n, side in enumerate((8, 4, 2), 1)
    }
    ours = joined_patches(Features(views=views, device=torch.device("cpu")), tuple(views), slice(0, 3))
    grids = {
        name: torch.stack(layer).mT.unflatten(-1, (round(len(layer[0]) ** 0.5), -1)) for name, layer in views.items()
    }
    torch.testing.assert_close(
        ours.permute(0, 3, 1, 2), their_patchcore.generate_embedding(grids), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("size", [2, 30, 120])
def test_the_coreset(size, monkeypatch):
    points = torch.randn(120, 6, generator=torch.Generator().manual_seed(1))
    # Three axes: it then projects nothing. It begins anywhere, ours with the first entry.
    theirs = KCenterGreedy(points[..., None], sampling_ratio=size / 120)
    monkeypatch.setattr(torch, "randint", lambda **_: torch.zeros(1, dtype=torch.long))
    assert greedy_coreset(points, size).tolist() == theirs.select_coreset_idxs()


def test_padims_distances():
    support, query = some_features()
    # It adds 0.01 and another 1e-5.
    config = PaDiMConfig(memory_layers=(1, 2), dimensions=10_000, regularisation=0.01001)
    before, after = (
        torch.tensor(joined(part, (1, 2)), dtype=torch.float32).permute(0, 3, 1, 2) for part in (support, query)
    )
    expected = AnomalyMapGenerator.compute_distance(after, MultiVariateGaussian().fit(before.contiguous()))
    torch.testing.assert_close(scores(config).maps, expected[:, 0], rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def their_winclip():
    """Its WinCLIP around our small CLIP, with our texts' prototypes and CLIP's temperature."""
    backbone = small_backbone()
    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(torch_model, "BACKBONE", "small-vit")
        changed.setattr(torch_model, "PRETRAINED", None)
        changed.setattr(torch_model, "TEMPERATURE", 1 / 20)
        model = torch_model.WinClipModel()
    model.clip.load_state_dict(small_model().state_dict())
    prompts = ensemble_prompts(backbone.tokenizer, "bottle", templates=2, prompt_text="bare")
    model._text_embeddings = ensemble_prototypes(backbone, prompts)
    real, visual = model._get_window_embeddings, model.clip.visual

    def windows(feature_map, masks):
        # It puts tokens before images for the transformer, as open_clip up to 2.26 wanted it.
        with pytest.MonkeyPatch.context() as swapped:
            swapped.setattr(visual.transformer, "forward", tokens_first(visual.transformer.forward))
            return real(feature_map, masks)

    model._get_window_embeddings = windows
    return model.eval()


def tokens_first(forward):
    return lambda tokens: forward(tokens.transpose(0, 1)).transpose(0, 1)


def images(seeds):
    backbone = small_backbone()
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (backbone.mean, backbone.std))
    return torch.stack([(torch.tensor(pixels(seed)).permute(2, 0, 1) / 255 - mean) / std for seed in seeds])


def test_windows_are_encoded_alike(their_winclip):
    with torch.no_grad():
        _, windows, _ = their_winclip.encode_image(images(QUERIES))
    ours = encode_windows(small_backbone().model.visual, images(QUERIES), (2, 3))
    for size, expected in zip((2, 3), windows, strict=True):
        torch.testing.assert_close(ours[size], expected, rtol=1e-4, atol=1e-5)


def test_winclip(their_winclip):
    query = small_features(small_backbone(), QUERIES, ("global", "windows/2", "windows/3"))
    with torch.no_grad():
        image, windows, _ = their_winclip.encode_image(images(QUERIES))
        whole = torch_model.class_scores(image, their_winclip.text_embeddings, 1 / 20, target_class=1)
        maps = their_winclip._compute_zero_shot_scores(whole, windows)
    config = WinCLIPConfig(**TEXTS)
    torch.testing.assert_close(scores(config, "image", (query, query)).image, whole, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(scores(config, "pixel", (query, query)).maps, maps, rtol=1e-4, atol=1e-5)


def test_winclip_plus(their_winclip):
    backbone = small_backbone()
    views = ("global", "windows/2", "windows/3")
    support, query = (small_features(backbone, seeds, views) for seeds in ((1, 2, 3), QUERIES))
    with torch.no_grad():
        their_winclip.setup(reference_images=images((1, 2, 3)))
        _, windows, patches = their_winclip.encode_image(images(QUERIES))
        association = their_winclip._compute_few_shot_scores(patches, windows)
        expected = their_winclip(images(QUERIES))
    # Its patches have passed the last layer norm, ours not.
    tokens = [[normalize(image, dim=-1) for image in part] for part in (their_winclip.patch_embeddings, patches)]
    support, query = (
        Features(views={**part.views, "block/3": own}, device=part.device)
        for part, own in zip((support, query), tokens, strict=True)
    )
    config = WinCLIPPlusConfig(**TEXTS)
    result = scores(config, "pixel", (support, query))
    torch.testing.assert_close(result.branches["visual"], association, rtol=1e-4, atol=1e-5)
    grown = torch.nn.functional.interpolate(result.maps[:, None], size=(32, 32), mode="bilinear")[:, 0]
    torch.testing.assert_close(grown, expected.anomaly_map, rtol=1e-4, atol=1e-5)
    image = scores(config, "image", (support, query)).image
    torch.testing.assert_close(image, expected.pred_score, rtol=1e-4, atol=1e-5)


def test_texts():
    assert set(prompting.NORMAL_STATES) == set(NORMAL_STATES)
    assert set(prompting.ANOMALOUS_STATES) == set(ANOMALY_STATES)
    # It has one template twice, and so two of the paper's not at all.
    missing = {"a cropped photo of a {}.", "a jpeg corrupted photo of a {}."}
    assert set(prompting.TEMPLATES) == set(WINCLIP_TEMPLATES) - missing
    assert np.unique(prompting.TEMPLATES).size == len(prompting.TEMPLATES) - 1
