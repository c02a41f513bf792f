"""The config's domain, its JSON form, and that fields declared inert are inert."""

import dataclasses
import functools
import json

import numpy as np
import pytest
import torch
from helpers.small_models import image_files, small_backbone
from PIL import Image

from promptad.configs import method_configs
from promptad.configs.method_config import ConfigError
from promptad.configs.promptad_config import PromptADConfig
from promptad.features.extraction import extract_features, file_inputs
from promptad.features.support_poses import view_inputs
from promptad.images.preparation import Preprocessing
from promptad.methods.promptad import PromptAD
from promptad.scoring.maps import finished_maps

DOMAIN_ERRORS = [
    ({"n_normal_prompts_image": 0}, "n_normal_prompts_image must be between 1 and 1000, but got 0"),
    ({"n_normal_prompts_pixel": -1}, "n_normal_prompts_pixel must be between 1 and 1000, but got -1"),
    ({"n_anomaly_suffixes": 0}, "n_anomaly_suffixes must be between 1 and 1000, but got 0"),
    ({"map_size": 0}, "map_size must be between 16 and 2048 pixels, but got 0"),
    ({"n_normal_tokens": 0}, "n_normal_tokens must be between 1 and 32, but got 0"),
    ({"n_normal_tokens": 33}, "n_normal_tokens must be between 1 and 32, but got 33"),
    ({"n_anomaly_tokens": 0}, "n_anomaly_tokens must be between 1 and 32, but got 0"),
    ({"n_anomaly_tokens": 33}, "n_anomaly_tokens must be between 1 and 32, but got 33"),
    ({"align_weight": -0.1}, "align_weight must be finite and not negative, but got -0.1"),
    ({"align_weight": float("nan")}, "align_weight must be finite and not negative, but got nan"),
    ({"weight_decay": float("inf")}, "weight_decay must be finite and not negative, but got inf"),
    ({"n_anomaly_suffixes": 10**6}, "n_anomaly_suffixes must be between 1 and 1000, but got 1000000"),
    ({"map_smoothing": -1.0}, "map_smoothing must be between 0 and 2048 pixels, but got -1.0"),
    ({"map_smoothing": 1e6}, "map_smoothing must be between 0 and 2048 pixels, but got 1000000.0"),
    ({"map_smoothing": float("nan")}, "map_smoothing must be between 0 and 2048 pixels, but got nan"),
    ({"learning_rate": 1e300}, r"learning_rate must be 0 or between 1.2e-38 and 3.4e\+38, as .* but got 1e\+300"),
    ({"learning_rate": 1e-300}, r"learning_rate must be 0 or between 1.2e-38 and 3.4e\+38, as .* but got 1e-300"),
    ({"learning_rate": 10**400}, "learning_rate must be a number of at most 2147483647, but got one of 1329 bits"),
    ({"weight_decay": 3.5e38}, r"weight_decay must be 0 or between .* but got 3.5e\+38"),
    ({"margin": 1e39}, r"margin must be 0 or between .* but got 1e\+39"),
    ({"tau": 1e-45}, "tau must be 0 or between 1.2e-38 and .* but got 1e-45"),
    ({"epochs": 2**31}, "epochs must be a number of at most 2147483647, but got 2147483648"),
    ({"memory_layers": (2, 10**400)}, "memory_layers must be a number of at most .* but got one of 1329 bits"),
    ({"margin": -0.1}, "margin must be finite and not negative, but got -0.1"),
    ({"margin": float("inf")}, "margin must be finite and not negative, but got inf"),
    ({"margin_weight": float("nan")}, "margin_weight must be finite and not negative, but got nan"),
    ({"tau": 0.0}, "tau must be positive and finite, or none, but got 0.0"),
    ({"tau": float("nan")}, "tau must be positive and finite, or none, but got nan"),
    ({"tau": float("inf")}, "tau must be positive and finite, or none, but got inf"),
    ({"initial_deviation": -1.0}, "initial_deviation must be finite and not negative, but got -1.0"),
    ({"epochs": -1}, "epochs must be finite and not negative, but got -1"),
    ({"learning_rate": 0.0}, "learning_rate must be positive, but got 0.0"),
    ({"learning_rate": float("nan")}, "learning_rate must be positive, but got nan"),
    ({"learning_rate": float("inf")}, "learning_rate must be positive, but got inf"),
    ({"momentum": 1.0}, "momentum must be at least 0 and below 1, but got 1.0"),
    ({"momentum": -0.1}, "momentum must be at least 0 and below 1, but got -0.1"),
    ({"maps": False, "laps": False}, "sc needs anomaly prompts: set maps or laps, or set sc to false"),
    ({"pad": False, "vad": False}, "a score needs a branch: set pad or vad"),
    ({"ensemble_templates": 85}, "ensemble_templates must be between 1 and 84, but got 85"),
    ({"prompts": "ensemble", "transformation": "linear"}, "linear is learned, so prompts cannot be ensemble"),
    ({"memory_layers": ()}, r"memory_layers must be different blocks counted from 1, but got \(\)"),
    ({"memory_layers": (3, 3)}, r"memory_layers must be different blocks counted from 1, but got \(3, 3\)"),
    ({"memory_layers": (0, 3)}, r"memory_layers must be different blocks counted from 1, but got \(0, 3\)"),
    ({"own_suffixes": ("scratched",)}, "own_suffixes must hold {} once for the object's name.*'scratched'"),
    ({"own_suffixes": ("{} and {}",)}, "own_suffixes must hold {} once for the object's name.*'{} and {}'"),
    ({"own_suffixes": ("{} with {x}",)}, "own_suffixes must hold {} once for the object's name.*'{} with {x}'"),
    ({"own_suffixes": ("{} with }",)}, "own_suffixes must hold {} once for the object's name.*'{} with }'"),
]

TYPE_ERRORS = [
    ({"sc": 1}, "sc must be bool, but got 1"),
    ({"epochs": 1.5}, "epochs must be int, but got 1.5"),
    ({"epochs": True}, "epochs must be int, but got True"),
    ({"learning_rate": "0.1"}, "learning_rate must be float, but got '0.1'"),
    ({"momentum": False}, "momentum must be float, but got False"),
    ({"transformation": "surgery"}, "transformation must be one of clip, maskclip, vv, linear, but got 'surgery'"),
    ({"tau": "0.07"}, r"tau must be float \| None, but got '0.07'"),
    ({"memory_layers": [2, 3]}, r"memory_layers must be .*, but got \[2, 3\]"),
    ({"memory_layers": (2, "3")}, r"memory_layers must be .*, but got \(2, '3'\)"),
    ({"own_suffixes": "{} with scratch"}, "own_suffixes must be .*, but got '{} with scratch'"),
    ({"map_size": None}, "map_size must be int, but got None"),
]


@pytest.mark.parametrize(("changes", "message"), DOMAIN_ERRORS + TYPE_ERRORS)
def test_every_field_is_checked(changes, message):
    with pytest.raises(ConfigError, match=message):
        PromptADConfig(**changes)


def test_limits_of_the_domain_are_inside():
    PromptADConfig(n_normal_tokens=32, n_anomaly_tokens=32, align_weight=0, weight_decay=0, epochs=0, momentum=0)
    PromptADConfig(learning_rate=3.4e38, margin=3.4e38, tau=1.2e-38, map_smoothing=2048, n_anomaly_suffixes=1000)
    PromptADConfig(sc=False, maps=False, laps=False, memory_layers=(1,), own_suffixes=(), initial_deviation=0)


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (method_configs.RWDAConfig, "step_size", 1e300),
        (method_configs.RWDAConfig, "step_size", 1e-50),
        (method_configs.RWDAConfig, "steps", 2**40),
        (method_configs.PaDiMConfig, "regularisation", 1e39),
        (method_configs.PaDiMConfig, "dimensions", 10**400),
        (method_configs.FastReconConfig, "distribution_weight", 1e300),
        (method_configs.SPADEConfig, "images", 2**31),
        (method_configs.WinCLIPConfig, "windows", (2, 2**70)),
        (method_configs.WinCLIPConfig, "tau", 1e-300),
        (method_configs.CoCoOpConfig, "learning_rate", 1e300),
        (method_configs.MaPLeConfig, "map_smoothing", 1e9),
    ],
)
def test_no_method_takes_numbers_that_cannot_be_computed_with(kind, name, value):
    with pytest.raises(ConfigError, match=f"{name} must be "):
        kind(**{name: value})


@pytest.mark.parametrize("name", [name for name, hint in PromptADConfig.__annotations__.items() if "Literal" in hint])
def test_choices_are_closed(name):
    with pytest.raises(ConfigError, match=f"{name} must be one of .*, but got 'other'"):
        PromptADConfig(**{name: "other"})


def test_all_problems_are_reported_at_once():
    with pytest.raises(ConfigError) as caught:
        PromptADConfig(epochs=-1, momentum=2.0, learning_rate=-1.0, memory_layers=(0,))
    assert [problem.split()[0] for problem in str(caught.value).split("; ")] == [
        "epochs",
        "learning_rate",
        "momentum",
        "memory_layers",
    ]
    with pytest.raises(ConfigError, match=r"sc must be bool, but got 1; .*; epochs must be int, but got '3'"):
        PromptADConfig(sc=1, prompts="x", epochs="3")


def test_unknown_fields_are_named():
    with pytest.raises(ConfigError, match=r"config has no field depth, epoch; its fields are sc, eam, .*memory_tap"):
        PromptADConfig().with_changes({"epochs": 3, "epoch": 3, "depth": 1})
    with pytest.raises(ConfigError, match="config has no field epoch;"):
        PromptADConfig.from_dict({"epoch": 3})


def test_with_changes_changes_these_fields_only_and_checks_them():
    config = PromptADConfig(vad=False).with_changes({"epochs": 7})
    assert config == PromptADConfig(vad=False, epochs=7)
    with pytest.raises(ConfigError, match="epochs must be finite and not negative, but got -1"):
        config.with_changes({"epochs": -1})


def test_config_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        PromptADConfig().epochs = 3


@pytest.mark.parametrize(
    "changes",
    [{}, {"memory_layers": (2, 3), "own_suffixes": ("{} with rust",), "sc": False}, {"own_suffixes": ()}],
)
def test_json_round_trip(changes):
    config = PromptADConfig(**changes)
    values = json.loads(json.dumps(config.as_dict()))
    assert list(values) == list(PromptADConfig.field_names())
    assert PromptADConfig.from_dict(values) == config


def test_missing_fields_of_a_dict_are_defaults():
    assert PromptADConfig.from_dict({"epochs": 3}) == PromptADConfig(epochs=3)


def test_equal_configs_have_equal_json():
    # A cell's identity is its config's JSON; 4 and 4.0 are one deviation of the Gaussian.
    whole, real = PromptADConfig(map_smoothing=4, weight_decay=0), PromptADConfig(map_smoothing=4.0, weight_decay=0.0)
    assert whole == real
    assert json.dumps(whole.as_dict()) == json.dumps(real.as_dict())
    assert json.dumps(PromptADConfig(tau=1).as_dict()) == json.dumps(PromptADConfig(tau=1.0).as_dict())


def test_number_of_normal_prompts_by_task():
    config = PromptADConfig(n_normal_prompts_image=3, n_normal_prompts_pixel=2)
    assert (config.n_normal_prompts("image"), config.n_normal_prompts("pixel")) == (3, 2)
    joint = config.with_changes({"training": "joint"})
    assert (joint.n_normal_prompts("image"), joint.n_normal_prompts("pixel")) == (3, 3)


# canonical(): what it resets must not matter. A strong setting, so that what matters is seen after two epochs.
SMALL = PromptADConfig(epochs=2, learning_rate=0.05, initial_deviation=0.5, align_weight=0.5, map_size=40)

ARMS = {
    "full": {},
    "several prefixes": {"n_normal_prompts_image": 2, "n_normal_prompts_pixel": 3},
    "no sc": {"sc": False},
    "no sc, several prefixes": {"sc": False, "n_normal_prompts_image": 2, "n_normal_prompts_pixel": 2},
    "no sc, no parts": {"sc": False, "eam": False, "vad": False},
    "no eam": {"eam": False},
    "margin without weight": {"margin_weight": 0.0},
    "tau as a number": {"tau": 0.2},
    "no vad": {"vad": False},
    "no vad, maximum on the map": {"vad": False, "visual_maximum": "map_size"},
    "no maps": {"maps": False, "n_normal_prompts_image": 2, "n_normal_prompts_pixel": 2},
    "no laps": {"laps": False},
    "joint": {"training": "joint", "n_normal_prompts_image": 2},
    "joint, one prefix": {"training": "joint", "n_normal_prompts_pixel": 2},
    "joint, linear": {"training": "joint", "transformation": "linear"},
    "linear": {"transformation": "linear"},
    "maximum on the map": {"visual_maximum": "map_size"},
    "untrained": {"epochs": 0},
    "no pad": {"pad": False},
    "ensemble": {"prompts": "ensemble"},
    "ensemble, no vad": {"prompts": "ensemble", "vad": False, "ensemble_templates": 2},
    "untrained, joint, no laps": {"epochs": 0, "training": "joint", "laps": False},
    "released code": {"margin_distance": "squared_over_second_axis", "pairing": "modulo", "n_normal_prompts_image": 2},
}

OTHER_VALUES = {
    "sc": (True, False),
    "eam": (True, False),
    "vad": (True, False),
    "pad": (True, False),
    "prompts": ("learned", "ensemble"),
    "ensemble_templates": (22, 1, 30),
    "margin": (0.0, 0.5),
    "margin_weight": (1.0, 0.0, 3.0),
    "tau": (None, 0.2, 1),
    "maps": (True, False),
    "laps": (True, False),
    "transformation": ("vv", "clip", "maskclip", "linear"),
    "memory_layers": (None, (3,), (1, 3)),
    "n_normal_prompts_image": (1, 2, 4),
    "n_normal_prompts_pixel": (1, 2, 4),
    "n_normal_tokens": (4, 2),
    "n_anomaly_suffixes": (4, 1, 3),
    "n_anomaly_tokens": (1, 2),
    "align_weight": (0.5, 0.0, 3.0),
    "learning_rate": (0.05, 0.2),
    "momentum": (0.9, 0.0),
    "weight_decay": (0.0005, 0.3),
    "epochs": (2, 1, 0),
    "initial_deviation": (0.5, 0.1),
    "own_suffixes": (None, (), ("{} with rust",)),
    "support_views": ("plain", "augmented"),
    "temperature": ("exponential", "raw_parameter"),
    "selection": ("last", "best_on_test"),
    "query_channels": ("rgb", "bgr"),
    "learnable_suffix_position": ("after_object", "before_object"),
    "generic_suffixes": ("paper", "reference"),
    "margin_distance": ("euclidean", "squared_over_second_axis"),
    "alignment": ("normalised_means", "means_of_normalised"),
    "pairing": ("all", "modulo"),
    "precision": ("fp32", "fp16", "tf32"),
    "support_draw": ("per_seed", "fixed"),
    "resize": ("shorter_edge", "squash_via_1024", "squash"),
    "bit_depth": ("by_maximum", "full_range"),
    "map_size": (40, 24),
    "map_smoothing": (0.0, 1.5),
    "visual_maximum": ("patch_grid", "map_size"),
    "learning_rate_schedule": ("constant", "cosine"),
    "training": ("per_task", "joint"),
    "prompt_text": ("bare", "mapped_with_full_stop"),
    "memory_tap": ("block_output", "after_next_attention"),
    "setting": ("one_class", "multi_class"),
}


@pytest.fixture(scope="module")
def scores(tmp_path_factory):
    """``scores(config, task)``: what a run from image files to final scores gives; remembered."""
    backbone = small_backbone()
    folder = tmp_path_factory.mktemp("images")
    support, query = image_files(folder / "support", [1, 2]), image_files(folder / "query", range(10, 14))
    deep = np.asarray(Image.open(query[0]).convert("L")).astype(np.uint16) * 16
    Image.fromarray(deep).save(query[0])

    @functools.cache
    def features(views, resize, channels, bit_depth, augmented, is_support):
        preprocessing = Preprocessing(size=32, resize=resize, channels=channels, bit_depth=bit_depth)
        paths = support if is_support else query
        inputs = view_inputs(paths, preprocessing, shift=4) if augmented else file_inputs(paths, preprocessing)
        return extract_features(backbone, inputs, preprocessing=preprocessing, views=views)

    @functools.cache
    def run(config, task):
        views = PromptAD().views(config, task, backbone)
        shared = (views, config.resize)
        augmented = config.support_views == "augmented"
        seen = features(*shared, "rgb", config.bit_depth, augmented, is_support=True)
        if config.canonical(task).pools_categories:
            pool = {"bottle": seen, "metal_nut": seen}
            fitted = PromptAD().fit_pool(backbone, pool, config, task=task, seed=3)("metal_nut", seen)
        else:
            fitted = PromptAD().fit(backbone, seen, config, task=task, category="metal_nut", seed=3)
        queries = features(*shared, config.query_channels, config.bit_depth, augmented=False, is_support=False)
        found = fitted.score(queries)
        if task == "image":
            return found.image.numpy()
        return finished_maps(found.maps, size=config.map_size, smoothing=config.map_smoothing)

    return run


def neighbours(config):
    """``config`` with one field at a time at each of its other values, as far as that is a valid config."""
    for name, values in OTHER_VALUES.items():
        for value in values:
            try:
                changed = config.with_changes({name: value})
            except ConfigError:
                continue
            if changed != config:
                yield name, value, changed


def test_every_field_has_another_value():
    assert set(OTHER_VALUES) == set(PromptADConfig.field_names())
    assert {name for name, _, _ in neighbours(SMALL)} == set(PromptADConfig.field_names())


@pytest.mark.slow
@pytest.mark.parametrize("task", ["image", "pixel"])
@pytest.mark.parametrize("arm", ARMS)
def test_inert_fields_change_no_bit_of_the_scores(scores, arm, task):
    config = SMALL.with_changes(ARMS[arm])
    expected = scores(config, task)
    assert np.isfinite(expected).all()
    assert expected.std() > 0
    np.testing.assert_array_equal(scores(config.canonical(task), task), expected)
    inert = [each for each in neighbours(config) if each[2].canonical(task) == config.canonical(task)]
    assert inert
    for name, value, changed in inert:
        np.testing.assert_array_equal(scores(changed, task), expected, err_msg=f"{name} = {value}")


BRANCH = {"memory_layers", "memory_tap"}
LAPS = {"n_anomaly_suffixes", "n_anomaly_tokens", "learnable_suffix_position", "pairing"}
ALIGNMENT = {"align_weight", "alignment"}
SUFFIXES = {"generic_suffixes", "own_suffixes"}
OPTIMISER = {"learning_rate", "momentum", "weight_decay", "learning_rate_schedule", "selection"}
IMAGE = {"n_normal_prompts_pixel", "transformation", "map_size", "map_smoothing", "ensemble_templates"}
PIXEL = {"n_normal_prompts_image", "visual_maximum", "ensemble_templates"}
LEARNED = {"sc", "eam", "maps", "laps", "n_normal_prompts_image", "n_normal_prompts_pixel", "n_normal_tokens"}
LEARNED |= LAPS | ALIGNMENT | SUFFIXES | OPTIMISER | {"epochs", "initial_deviation", "training", "setting"}
MARGIN = {"margin", "margin_weight", "margin_distance"}
LEARNED |= MARGIN


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arm", "task", "expected"),
    [
        ("full", "image", IMAGE | {"pairing"}),
        ("full", "pixel", PIXEL | {"pairing"}),
        ("several prefixes", "image", IMAGE),
        ("no sc", "image", IMAGE | LAPS | ALIGNMENT | SUFFIXES | {"maps", "laps"}),
        ("no sc", "pixel", PIXEL | LAPS | ALIGNMENT | SUFFIXES | {"maps", "laps"}),
        ("no eam", "pixel", PIXEL | MARGIN | {"pairing"}),
        ("margin without weight", "image", IMAGE | {"pairing", "margin", "margin_distance"}),
        ("tau as a number", "pixel", PIXEL | {"pairing", "temperature"}),
        ("no vad", "image", IMAGE | BRANCH | {"pairing", "visual_maximum"}),
        ("no vad", "pixel", PIXEL | BRANCH | {"pairing"}),
        ("no maps", "pixel", PIXEL | ALIGNMENT | SUFFIXES),
        ("no laps", "image", IMAGE | LAPS | ALIGNMENT),
        ("joint", "image", IMAGE - {"transformation"}),
        ("joint", "pixel", {"n_normal_prompts_pixel", "visual_maximum", "ensemble_templates"}),
        ("maximum on the map", "image", (IMAGE - {"map_size"}) | {"pairing"}),
        ("no pad", "image", LEARNED | IMAGE | {"temperature", "tau", "prompt_text", "prompts"}),
        ("no pad", "pixel", LEARNED | PIXEL | {"transformation", "temperature", "tau", "prompt_text", "prompts"}),
        ("ensemble", "image", LEARNED | IMAGE - {"ensemble_templates"}),
        ("ensemble", "pixel", LEARNED | PIXEL - {"ensemble_templates"}),
        (
            "ensemble, no vad",
            "pixel",
            LEARNED | BRANCH | {"support_draw", "support_views", "visual_maximum"},
        ),
        ("untrained", "pixel", PIXEL | OPTIMISER | ALIGNMENT | MARGIN | {"pairing", "eam", "setting"}),
    ],
)
def test_fields_that_are_declared_inert(arm, task, expected):
    # Only these cells are shared between arms: an undeclared one costs a run, so the declaration is pinned too.
    config = SMALL.with_changes(ARMS[arm])
    inert = set()
    for name, _, changed in neighbours(config):
        if changed.canonical(task) == config.canonical(task):
            inert.add(name)
    assert inert == expected


def test_canonical_is_idempotent_and_keeps_the_protocol_apart():
    for arm in ARMS.values():
        for task in ("image", "pixel"):
            once = SMALL.with_changes(arm).canonical(task)
            assert once.canonical(task) == once


IMAGE_MATTERS = [
    ("full", name)
    for name in sorted(
        set(PromptADConfig.field_names())
        - IMAGE
        - {"pairing", "selection", "support_draw", "precision", "training", "momentum"}
    )
]
PIXEL_MATTERS = [
    ("full", "transformation"),
    ("full", "n_normal_prompts_pixel"),
    ("full", "map_size"),
    ("full", "map_smoothing"),
    ("full", "training"),
    ("full", "memory_layers"),
    ("full", "memory_tap"),
    ("full", "margin_distance"),
    ("full", "margin"),
    ("full", "margin_weight"),
    ("full", "tau"),
    ("full", "eam"),
    ("full", "query_channels"),
    ("full", "epochs"),
    ("linear", "learning_rate"),
]
MORE = [
    ("no pad", "memory_layers", "image"),
    ("no pad", "pad", "pixel"),
    ("ensemble", "ensemble_templates", "image"),
    ("ensemble", "transformation", "pixel"),
    ("ensemble, no vad", "prompts", "pixel"),
    ("several prefixes", "pairing", "image"),
    ("maximum on the map", "map_size", "image"),
    ("joint", "transformation", "image"),
    ("joint", "n_normal_prompts_image", "pixel"),
    ("full", "momentum", "image"),
    ("full", "training", "image"),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arm", "name", "task"),
    [(*each, "image") for each in IMAGE_MATTERS] + [(*each, "pixel") for each in PIXEL_MATTERS] + MORE,
)
def test_other_fields_change_the_scores(scores, arm, name, task):
    config = SMALL.with_changes(ARMS[arm])
    expected = scores(config, task)
    changed = [scores(other, task) for field, _, other in neighbours(config) if field == name]
    assert changed
    for found in changed:
        assert found.shape != expected.shape or np.abs(found - expected).max() > 1e-6


def test_scores_depend_on_nothing_but_config_and_images(scores):
    # The oracle of the tests above would be empty if two runs of one config differed, or if it returned stored values.
    torch.manual_seed(9)
    np.testing.assert_array_equal(scores.__wrapped__(SMALL, "image"), scores(SMALL, "image"))
