"""The table of methods: every entry fits the protocol, and its config holds what all share."""

import pytest
import torch
from helpers.memory_methods import fitted, some_features
from helpers.small_models import small_backbone, small_features

from promptad.configs.method_config import ConfigError
from promptad.configs.method_configs import (
    CoCoOpConfig,
    FastReconConfig,
    MaPLeConfig,
    PaDiMConfig,
    PatchCoreConfig,
    SPADEConfig,
    WinCLIPConfig,
    WinCLIPPlusConfig,
)
from promptad.configs.method_table import METHODS, method_of, under_protocol
from promptad.configs.network_configs import DifferNetConfig, MKDConfig, SimpleNetConfig
from promptad.configs.promptad_config import PromptADConfig
from promptad.configs.shared_config import MemoryConfig, MethodConfig
from promptad.features.extraction import Features
from promptad.methods import MethodSize, method_named
from promptad.prompts.prompt_ensemble import forget_prototypes

FEW = {"memory_layers": (1, 2)}
OTHERS = [name for name in METHODS if name != "promptad"]


def small_config(name):
    """Few layers, and few steps of a network that is learned on images."""
    kind = METHODS[name].config
    few = {"steps": 3} if {"steps", "rounds"} <= set(kind.field_names()) else {}
    return kind().with_changes(few | (FEW if issubclass(kind, MemoryConfig) else {}))


@pytest.mark.slow
@pytest.mark.parametrize("task", ["image", "pixel"])
@pytest.mark.parametrize("name", OTHERS)
def test_methods_need_their_views_alone_and_are_restored(name, task):
    if task not in METHODS[name].tasks:
        pytest.skip("not its task")
    config, backbone, method = small_config(name), small_backbone(), method_named(name)
    views = method.views(config, task, backbone)
    support, query = (
        Features(views={view: part.views[view] for view in views}, device=part.device) for part in some_features()
    )
    before = fitted(support, config, task)
    assert before.config == config
    result = before.score(query)
    again = method.restore(backbone, before.tensors(), config, task=task).score(query)
    if task == "image":
        assert result.maps is None
        assert result.image.shape == (4,)
        assert torch.equal(again.image, result.image)
    else:
        assert result.image is None
        assert result.maps.shape[0] == 4
        assert torch.equal(again.maps, result.maps)
    # One image alone has the same score.
    single = Features(views={view: part[2:3] for view, part in query.views.items()}, device=query.device)
    alone = before.score(single)
    value, expected = (alone.image, result.image) if task == "image" else (alone.maps, result.maps)
    torch.testing.assert_close(value[0], expected[2])


def sized(name, changes):
    """Each way of a method's that learns or reads prompts, as a config."""
    kind = METHODS[name].config
    steps = {field: 1 for field in ("steps",) if field in kind().as_dict()}
    epochs = {"epochs": 0} if "epochs" in kind().as_dict() else {}
    return small_config(name).with_changes(steps | epochs | changes)


VARIANTS = [
    *((name, {}) for name in METHODS),
    ("promptad", {"n_normal_prompts_image": 2, "n_normal_prompts_pixel": 3, "n_anomaly_suffixes": 5}),
    ("promptad", {"sc": False, "eam": False, "vad": False}),
    ("promptad", {"prompts": "ensemble", "vad": False}),
    ("promptad", {"maps": False}),
    ("promptad", {"pad": False}),
    ("promptad", {"transformation": "linear"}),
    ("promptad", {"transformation": "linear", "training": "joint"}),
    ("winclip_plus", {"ensemble_templates": 3}),
    ("cocoop", {"n_normal_tokens": 6, "reduction": 4}),
    ("maple", {"prompt_depth": 2}),
    ("rwda", {"n_texts": 20, "hidden_width": 8}),
    ("simplenet", {"hidden_width": 8, "activations": "raw"}),
    ("differnet", {"blocks": 3, "width": 5}),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "changes", "task"),
    [(name, changes, task) for name, changes in VARIANTS for task in METHODS[name].tasks],
)
def test_methods_state_the_prompts_that_they_encode_and_the_parameters_that_they_learn(
    name, changes, task, monkeypatch
):
    backbone, method, config = small_backbone(), method_named(name), sized(name, changes)
    views = method.views(config, task, backbone)
    support, query = small_features(backbone, [1], views), small_features(backbone, [5], views)
    forget_prototypes(backbone)
    learned, encoded = [], []
    real = torch.optim.Optimizer.add_param_group

    def watched(self, group):
        real(self, group)
        learned.append(sum(parameter.numel() for parameter in self.param_groups[-1]["params"]))

    monkeypatch.setattr(torch.optim.Optimizer, "add_param_group", watched)
    # The end tokens of all prompts, and nothing else, pass the text tower's last norm.
    hook = backbone.text.ln_final.register_forward_hook(lambda _module, ends, _output: encoded.append(len(ends[0])))
    # Without a step of training each prompt is encoded once, for its prototype or for the one image.
    method.fit(backbone, support, config, task=task, category="bottle", seed=0).score(query)
    hook.remove()
    size = method.size(backbone, config, task=task, category="bottle")
    assert size == MethodSize(prompts=sum(encoded), learned_parameters=sum(learned))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "task"), [(name, task) for name in OTHERS for task in METHODS[name].tasks])
def test_half_precision_is_the_backbones_and_not_the_scores(name, task):
    values = {}
    for precision in ("fp32", "fp16"):
        backbone, method = small_backbone(precision=precision), method_named(name)
        steps = {field: 2 for field in ("epochs", "steps") if field in METHODS[name].config().as_dict()}
        config = small_config(name).with_changes({"precision": precision, **steps})
        views = method.views(config, task, backbone)
        support, query = (small_features(backbone, seeds, views) for seeds in ([1, 2], [10, 11, 12]))
        found = method.fit(backbone, support, config, task=task, category="bottle", seed=0).score(query)
        values[precision] = found.image if task == "image" else found.maps
    assert values["fp16"].dtype == torch.float32
    torch.testing.assert_close(values["fp16"], values["fp32"], rtol=0.05, atol=0.02)
    assert not torch.equal(values["fp16"], values["fp32"])


@pytest.mark.parametrize("name", METHODS)
def test_every_method_runs_under_the_protocol_of_the_base(name):
    base = PromptADConfig(
        map_size=400,
        map_smoothing=4,
        resize="squash_via_1024",
        precision="fp16",
        query_channels="bgr",
        support_draw="fixed",
        support_views="augmented",
        memory_layers=(2, 5),
        memory_tap="after_next_attention",
        selection="best_on_test",
        tau=0.07,
    )
    config = under_protocol(name, base)
    assert method_of(config) == name
    shared = set(config.as_dict()) & set(base.as_dict())
    assert shared >= set(MethodConfig().as_dict())
    other = {field for field in shared if getattr(config, field) != getattr(base, field)}
    # There is an epoch, or round, to select where a method learns in them, and nowhere else.
    assert other == (set() if METHODS[name].config.learns else {"selection"})
    assert METHODS[name].config.from_dict(config.as_dict()) == config
    with pytest.raises(ConfigError, match="config has no field coresets"):
        config.with_changes({"coresets": 1})


def test_what_cannot_matter_is_reset():
    changed = PatchCoreConfig(map_size=400, map_smoothing=2.0, neighbours=2, coreset=0.5)
    assert changed.canonical("image") == PatchCoreConfig(neighbours=2, coreset=0.5)
    assert changed.canonical("pixel") == PatchCoreConfig(map_size=400, map_smoothing=2.0, coreset=0.5)
    largest = PatchCoreConfig(neighbours=2, image_score="maximum", pooled_width=8)
    assert largest.canonical("image") == PatchCoreConfig(image_score="maximum")
    assert largest.canonical("pixel") == PatchCoreConfig()
    pooled = PatchCoreConfig(patch_pooling="reference", pooled_width=8, activations="raw")
    assert pooled.canonical("image") == pooled.canonical("pixel") == pooled
    number = SimpleNetConfig(noise=0.015, noise_in_rms=3.0, rounds=2)
    assert number.canonical("image") == SimpleNetConfig(noise=0.015)
    selected = SimpleNetConfig(noise_in_rms=3.0, rounds=2, selection="best_on_test")
    assert selected.canonical("image") == selected
    guided = MKDConfig(gradient="guided", rounds=2)
    assert guided.canonical("image") == MKDConfig()
    assert guided.canonical("pixel") == MKDConfig(gradient="guided")
    assert DifferNetConfig(rounds=2, map_size=64).canonical("image") == DifferNetConfig()
    cocoop = CoCoOpConfig(transformation="clip", momentum=0.5, epochs=2, selection="best_on_test")
    assert cocoop.canonical("pixel") == cocoop
    assert cocoop.canonical("image") == CoCoOpConfig(momentum=0.5, epochs=2, selection="best_on_test")
    assert cocoop.with_changes({"epochs": 0}).canonical("image") == CoCoOpConfig(epochs=0)
    for kind in (CoCoOpConfig, MaPLeConfig, WinCLIPConfig, WinCLIPPlusConfig):
        with_tau = kind(tau=0.07, temperature="raw_parameter")
        assert with_tau.canonical("image") == kind(tau=0.07)
        assert kind(temperature="raw_parameter").canonical("image") == kind(temperature="raw_parameter")
    spade = SPADEConfig(memory_layers=(1,), images=3)
    assert spade.canonical("image") == SPADEConfig(images=3)
    assert spade.canonical("pixel") == spade


def test_an_unknown_method_names_the_known_ones():
    with pytest.raises(ConfigError, match=r"an arm's method must be one of promptad, patchcore, .* but got 'patchcor'"):
        under_protocol("patchcor", PromptADConfig())


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        (PatchCoreConfig, {"coreset": 0.0, "neighbours": 0}, "coreset must be above 0 .* neighbours must be at least"),
        (PatchCoreConfig, {"selection": "best_on_test"}, "selection must be last where nothing is learned in epochs"),
        (PatchCoreConfig, {"neighbourhood": 2}, "neighbourhood must be odd and positive, but got 2"),
        (PatchCoreConfig, {"map_size": 1.5}, "map_size must be int, but got 1.5"),
        (WinCLIPConfig, {"tau": 0.0}, "tau must be positive and finite, or none, but got 0.0"),
        (CoCoOpConfig, {"tau": float("inf")}, "tau must be positive and finite, or none, but got inf"),
        (FastReconConfig, {"coreset": 2.0}, "coreset must be above 0 and at most 1, but got 2.0"),
        (FastReconConfig, {"distribution_weight": -1.0}, "distribution_weight must be finite and not negative"),
        (FastReconConfig, {"ridge": 0.0}, "ridge must be at least 1e-12 and finite, but got 0.0"),
        (SPADEConfig, {"images": 0}, "images must be at least 1, but got 0"),
        (PaDiMConfig, {"regularisation": 0.0}, "regularisation must be at least 1e-6 and finite, but got 0.0"),
        (PaDiMConfig, {"dimensions": 0}, "dimensions must be at least 1, but got 0"),
        (PaDiMConfig, {"memory_layers": (0,)}, "memory_layers must be different blocks"),
        (PaDiMConfig, {"map_size": 1}, "map_size must be between 16 and 2048"),
        (PaDiMConfig, {"map_smoothing": -1.0}, "map_smoothing must be between 0 and 2048 pixels, but got -1.0"),
        (PatchCoreConfig, {"pooled_width": 0}, "pooled_width must be at least 1, but got 0"),
        (
            PatchCoreConfig,
            {"patch_pooling": "median"},
            "patch_pooling must be one of mean, reference, but got 'median'",
        ),
        (SimpleNetConfig, {"neighbourhood": 2}, "neighbourhood must be odd and positive, but got 2"),
        (
            SimpleNetConfig,
            {"noise_in_rms": 0.0, "noise": float("inf"), "threshold": -1.0, "steps": 0, "adaptor_decay": -1.0},
            "steps must be at least 1, but got 0; noise_in_rms must be positive and finite, but got 0.0; threshold "
            "must be positive and finite, but got -1.0; adaptor_decay must be finite and not negative, but got -1.0; "
            "noise must be positive and finite, but got inf",
        ),
        (DifferNetConfig, {"copies": 0, "clamp": 0.0}, "copies must be at least 1, but got 0; clamp must be positive"),
        (DifferNetConfig, {"decay": float("inf")}, "decay must be finite and not negative, but got inf"),
        (
            MKDConfig,
            {"rounds": 0, "step_size": 0.0},
            "rounds must be at least 1, but got 0; step_size must be positive",
        ),
        (MKDConfig, {"distance_weight": -0.5}, "distance_weight must be finite and not negative, but got -0.5"),
    ],
)
def test_values_out_of_their_domain(kind, changes, message):
    with pytest.raises(ConfigError, match=message):
        kind(**changes)
