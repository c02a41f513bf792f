"""WinCLIP and WinCLIP+ against a slow computation from the features, loop by loop."""

import math

import numpy as np
import pytest
import torch
from helpers.memory_methods import fitted, scores, some_features
from helpers.small_models import small_backbone

from promptad.configs.method_configs import WinCLIPConfig, WinCLIPPlusConfig
from promptad.features.extraction import Features
from promptad.methods.winclip import FittedWinCLIP, WinCLIP, WinCLIPPlus
from promptad.prompts.prompt_ensemble import ensemble_prompts, ensemble_prototypes

FEW = {"ensemble_templates": 2}


def arrays(features, view):
    return torch.stack(list(features.views[view])).double().numpy()


def probability(feature, prototypes, scale=20.0):
    normal, anomaly = (math.exp(scale * float(feature @ prototype)) for prototype in prototypes)
    return anomaly / (normal + anomaly)


def over_patches(values, size, side=4):
    """Harmonic means of the windows around each patch; ``values`` by window."""
    result, windows = np.zeros((side, side)), side - size + 1
    for row in range(side):
        for column in range(side):
            around = [
                values[r * windows + c]
                for r in range(windows)
                for c in range(windows)
                if r <= row < r + size and c <= column < c + size
            ]
            result[row, column] = len(around) / sum(1 / value for value in around)
    return result


def half_cosine_distance(feature, references):
    return min((1 - float(feature @ reference)) / 2 for reference in references.reshape(-1, references.shape[-1]))


def slow(support, query, prototypes):
    """Image scores and maps of WinCLIP, and of WinCLIP+."""
    found = {name: [] for name in ("image", "map", "image_plus", "map_plus")}
    for number in range(len(query)):
        whole = probability(arrays(query, "global")[number], prototypes)
        textual, visual = [np.full((4, 4), whole)], []
        for size in (2, 3):
            windows = arrays(query, f"windows/{size}")[number]
            textual.append(over_patches([probability(window, prototypes) for window in windows], size))
            references = arrays(support, f"windows/{size}")
            visual.append(over_patches([half_cosine_distance(window, references) for window in windows], size))
        patches, references = arrays(query, "block/3")[number], arrays(support, "block/3")
        visual.append(np.array([half_cosine_distance(patch, references) for patch in patches]).reshape(4, 4))
        multiscale = 3 / sum(1 / part for part in textual)
        association = sum(visual) / 3
        found["image"].append(whole)
        found["map"].append(multiscale)
        found["image_plus"].append((whole + association.max()) / 2)
        found["map_plus"].append((multiscale + association) / 2)
    return {name: np.array(values) for name, values in found.items()}


@pytest.fixture(scope="module")
def expected():
    backbone = small_backbone()
    prompts = ensemble_prompts(backbone.tokenizer, "bottle", templates=2, prompt_text="bare")
    return slow(*some_features(), ensemble_prototypes(backbone, prompts).double().numpy())


def test_winclip(expected):
    config = WinCLIPConfig(**FEW)
    np.testing.assert_allclose(scores(config, "image").image, expected["image"], rtol=1e-4)
    np.testing.assert_allclose(scores(config, "pixel").maps, expected["map"], rtol=1e-4)


def test_winclip_plus(expected):
    config = WinCLIPPlusConfig(**FEW)
    np.testing.assert_allclose(scores(config, "image").image, expected["image_plus"], rtol=1e-4)
    result = scores(config, "pixel")
    np.testing.assert_allclose(result.maps, expected["map_plus"], rtol=1e-4)
    assert set(result.branches) == {"textual", "visual"}
    np.testing.assert_allclose(result.branches["textual"], expected["map"], rtol=1e-4)


def test_the_image_score_by_hand():
    # Orthogonal prototypes, a query on the anomaly's: 1 / (1 + exp(-20)); raw temperature ln 20: 20 / 21.
    whole = [torch.tensor([0.0, 1.0])]
    query = Features(views={"global": whole}, device=torch.device("cpu"))
    for temperature, value in (("exponential", 1 / (1 + math.exp(-20))), ("raw_parameter", 20 / 21)):
        method = FittedWinCLIP(
            backbone=small_backbone(),
            config=WinCLIPConfig(temperature=temperature),
            task="image",
            prototypes=torch.eye(2),
            references={},
        )
        assert method.score(query).image.tolist() == pytest.approx([value])


@pytest.mark.parametrize("task", ["image", "pixel"])
def test_winclip_needs_no_support_image(task):
    query = some_features()[1]
    config = WinCLIPConfig(**FEW)
    nothing = Features(
        views={view: [] for view in WinCLIP().views(config, task, small_backbone())}, device=query.device
    )
    alone, beside = scores(config, task, (nothing, query)), scores(config, task)
    assert torch.equal(alone.image if task == "image" else alone.maps, beside.image if task == "image" else beside.maps)


def test_views():
    backbone, config = small_backbone(), WinCLIPConfig(windows=(2,))
    assert WinCLIP().views(config, "image", backbone) == {"global"}
    assert WinCLIP().views(config, "pixel", backbone) == {"global", "windows/2"}
    for task in ("image", "pixel"):
        assert WinCLIPPlus().views(config, task, backbone) == {"global", "windows/2", "block/3"}


def test_references_are_every_window_and_patch_of_every_support_image():
    method = fitted(some_features()[0], WinCLIPPlusConfig(**FEW))
    assert {view: len(value) for view, value in method.references.items()} == {
        "windows/2": 3 * 9,
        "windows/3": 3 * 4,
        "block/3": 3 * 16,
    }
