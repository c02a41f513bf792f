"""Equality with what the authors' released code computes, stage by stage, on deterministic weights and inputs.

``tests/fixtures/README.md`` says how the reference arrays were made. ``PROMPTAD_PARITY`` names another file with the
same keys to test against.
"""

import os
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from helpers.parity_weights import fill_weights
from helpers.places import FIXTURES

from promptad.backbones.backbone import Backbone
from promptad.backbones.backbone_names import BackboneName
from promptad.backbones.towers import encode_images
from promptad.configs.promptad_config import PromptADConfig
from promptad.configs.protocol import protocol_config
from promptad.features.extraction import Features
from promptad.methods.promptad import FittedPromptAD, memory_views
from promptad.prompts.prompt_learning import LearnableTokens, PromptTraining
from promptad.prompts.sequences import PromptForm, build_prompts
from promptad.scoring.anomaly_scores import prompt_score, resize_maps, visual_map
from promptad.scoring.maps import finished_maps

pytestmark = pytest.mark.slow

FILES = [Path(os.environ["PROMPTAD_PARITY"])] if "PROMPTAD_PARITY" in os.environ else sorted(FIXTURES.glob("ref_*.npz"))
TOLERANCE = 1e-4
"""Relative to the largest magnitude of the array."""
CANCELLATION = 4e-6
"""Absolute tolerance of the losses: the margin is a difference of two float32 numbers near 2."""


def assert_equal(ours, reference, floor=0.0):
    ours = ours.detach().numpy() if isinstance(ours, torch.Tensor) else np.asarray(ours)
    assert ours.shape == reference.shape
    assert np.abs(ours - reference).max() <= TOLERANCE * np.abs(reference).max() + floor


class Case:
    """The inputs of one reference file, and our side of the computation."""

    def __init__(self, path):
        self.reference = np.load(path)
        seed = int(self.reference["meta_seed"])
        model = open_clip.create_model("ViT-S-16").eval()
        fill_weights(model, seed)
        self.backbone = Backbone(
            name=BackboneName(architecture="ViT-S-16", source="random"),
            weights="parity",
            activation="gelu",
            model=model.requires_grad_(requires_grad=False),
            text_tower=model,
            text_tokenizer=open_clip.get_tokenizer("ViT-S-16"),
            image_size=224,
            mean=(0.0, 0.0, 0.0),
            std=(1.0, 1.0, 1.0),
            precision="fp32",
        )
        self.n = int(self.reference["meta_n_normal"])
        self.l = int(self.reference["meta_n_learnable_suffixes"])
        self.transformation = str(self.reference["meta_transformation"])
        self.config: PromptADConfig = protocol_config("reference").with_changes(
            {
                "precision": "fp32",
                "transformation": self.transformation,
                "n_normal_prompts_image": self.n,
                "n_normal_prompts_pixel": self.n,
                "n_anomaly_suffixes": self.l,
                "memory_layers": (3, 8),
            }
        )
        images = np.random.RandomState(1000 + seed).standard_normal((3, 3, 224, 224)).astype(np.float32)
        with torch.no_grad():
            output = encode_images(
                model.visual, torch.from_numpy(images), local=(self.transformation,), attended=(3, 8)
            )
        views = {
            "global": output.global_feature,
            f"local/{self.transformation}": output.local[self.transformation],
            "attended/3": output.attended[3],
            "attended/8": output.attended[8],
        }
        self.query = Features(
            views={name: list(torch.nn.functional.normalize(view, dim=-1)) for name, view in views.items()},
            device=torch.device("cpu"),
        )
        self.support = Features(
            views={name: view[:1] for name, view in self.query.views.items()}, device=torch.device("cpu")
        )
        draws = np.random.RandomState(2000 + seed)
        self.tokens = LearnableTokens(
            prefixes=torch.from_numpy((0.02 * draws.standard_normal((self.n, 4, 384))).astype(np.float32)),
            suffixes=torch.from_numpy((0.02 * draws.standard_normal((self.l, 1, 384))).astype(np.float32)),
        )
        self._trained = {}

    def training(self, task):
        form = PromptForm(
            manual_suffixes=tuple(str(suffix) for suffix in self.reference["meta_manual_suffixes"]),
            n_normal_prompts=self.n,
            n_normal_tokens=4,
            n_anomaly_suffixes=self.l,
            n_anomaly_tokens=1,
            suffix_position=self.config.learnable_suffix_position,
            pairing=self.config.pairing,
            full_stop=True,
        )
        prompts = build_prompts(self.backbone.tokenizer, str(self.reference["meta_object_name"]), form)
        return PromptTraining(self.backbone, self.support, self.config, task=task, prompts=prompts, tokens=self.tokens)

    def trained(self, task):
        """The training after five steps, and the losses before each."""
        if task not in self._trained:
            training = self.training(task)
            losses = [training.step() for _ in range(5)]
            self._trained[task] = training, [(each.contrastive, each.margin, each.alignment) for each in losses]
        return self._trained[task]

    def fitted(self, task):
        memories = {view: self.support.stack(view).flatten(0, 1) for view in memory_views(self.config, self.backbone)}
        return FittedPromptAD(
            backbone=self.backbone,
            config=self.config,
            task=task,
            prototypes=self.trained(task)[0].prototypes(),
            memories=memories,
            layers=None,
        )


@pytest.fixture(scope="module", params=FILES, ids=lambda path: path.stem)
def case(request):
    return Case(request.param)


@pytest.mark.slow
def test_image_features(case):
    local = case.query.stack(f"local/{case.transformation}")
    assert_equal(case.query.stack("global"), case.reference["global_feature"])
    assert_equal(local[:, ::7], case.reference["local_features"])
    for layer in (3, 8):
        assert_equal(case.query.stack(f"attended/{layer}")[:, ::7, ::4], case.reference[f"layer{layer}"])


def test_text_features(case):
    normal, manual, learnable = case.training("image").text_features()
    assert_equal(normal, case.reference["text_normal"])
    assert_equal(manual, case.reference["text_manual"])
    assert_equal(learnable, case.reference["text_learnable"])


@pytest.mark.slow
@pytest.mark.parametrize("task", ["image", "pixel"])
def test_gradients_of_the_first_step(case, task):
    training = case.training(task)
    training.loss()[0].backward()
    assert_equal(training.prefixes.grad, case.reference[f"{task}_grad_normal_ctx"])
    assert_equal(training.suffixes.grad, case.reference[f"{task}_grad_abnormal_ctx"])


@pytest.mark.slow
@pytest.mark.parametrize("task", ["image", "pixel"])
def test_five_steps(case, task):
    training, losses = case.trained(task)
    for column in range(3):
        assert_equal(np.array(losses)[:, column], case.reference[f"{task}_losses"][:, column], floor=CANCELLATION)
    assert_equal(training.prefixes, case.reference[f"{task}_normal_ctx_after5"])
    assert_equal(training.suffixes, case.reference[f"{task}_abnormal_ctx_after5"])
    assert_equal(training.prototypes(), case.reference[f"{task}_text_prototypes"])


def test_image_scores(case):
    fitted = case.fitted("image")
    normal, anomaly = fitted.prototypes
    text = prompt_score(case.query.stack("global"), normal, anomaly, case.backbone.logit_scale)
    assert_equal(text, case.reference["image_text_score"])
    visual = visual_map([case.query.stack(view) for view in fitted.memories], list(fitted.memories.values()))
    assert_equal(visual[:, None], case.reference["visual_map"])
    assert_equal(resize_maps(visual, 400).amax(dim=(1, 2)), case.reference["image_visual_max"])
    assert_equal(fitted.score(case.query).image, case.reference["image_fused_score"])


def test_pixel_maps(case):
    scores = case.fitted("pixel").score(case.query)
    assert_equal(scores.branches["textual"][:, None], case.reference["pixel_text_map"])
    maps = finished_maps(scores.maps, size=case.config.map_size, smoothing=case.config.map_smoothing)
    assert_equal(maps[:, ::8, ::8], case.reference["pixel_fused_map_400"])
