"""Methods that learn one model for several categories: what they share, and what stays each category's own."""

import dataclasses

import pytest
import torch
from helpers.small_models import small_backbone, small_features

from promptad.configs.anople_config import AnoPLeConfig
from promptad.configs.method_config import ConfigError
from promptad.configs.method_configs import MaPLeConfig
from promptad.configs.method_table import METHODS
from promptad.configs.promptad_config import PromptADConfig
from promptad.detector import Detector, DetectorError
from promptad.methods import FitsPools, method_named
from promptad.methods.maple import MaPLe, MaPLeTraining, class_tree, draw_prompts, maple_losses
from promptad.methods.promptad import PromptAD
from promptad.prompts.pooled import begin_pooled_training

POOLED = [name for name, entry in METHODS.items() if "multi_class" in entry.settings]
TASKS = pytest.mark.parametrize("task", ["image", "pixel"])
MAPLE = MaPLeConfig(setting="multi_class", epochs=3, learning_rate=0.02, initial_deviation=0.5)
PROMPTAD = PromptADConfig(
    setting="multi_class", epochs=3, learning_rate=0.05, initial_deviation=0.5, memory_layers=(1, 2)
)
ANOPLE = AnoPLeConfig(
    setting="multi_class",
    epochs=2,
    learning_rate=0.02,
    initial_deviation=0.5,
    decoder_width=8,
    memory_layers=(1, 2),
)
CONFIGS = {"promptad": PROMPTAD, "maple": MAPLE, "anople": ANOPLE}
VIEWS = ("global", "local/vv", "block/1", "block/2", "pixels", "pictures/1", "pictures/2")


@pytest.fixture(scope="module")
def supports():
    backbone = small_backbone()
    return {
        "bottle": small_features(backbone, [1, 2, 3], VIEWS),
        "cable": small_features(backbone, [4], VIEWS),
        "tile": small_features(backbone, [5, 6], VIEWS),
    }


@pytest.fixture(scope="module")
def query():
    return small_features(small_backbone(), range(10, 14), VIEWS)


def values(scores):
    return scores.maps if scores.image is None else scores.image


@pytest.mark.parametrize("name", METHODS)
def test_table_config_and_class_agree_on_who_learns_one_model_for_all(name):
    entry = METHODS[name]
    has_field = "setting" in entry.config.field_names()
    assert has_field == ("multi_class" in entry.settings) == isinstance(entry.make(), FitsPools)
    assert entry.settings[0] == "one_class"
    if has_field:
        assert not entry.config().pools_categories
        assert entry.config(setting="multi_class").pools_categories
        assert entry.config(setting="multi_class").company_key("image") is None


@pytest.mark.parametrize("kind", [PromptADConfig, MaPLeConfig, AnoPLeConfig])
def test_no_single_test_set_selects_an_epoch_for_all(kind):
    with pytest.raises(ConfigError, match="selection must be last where one model serves all categories"):
        kind(setting="multi_class", selection="best_on_test")
    assert kind(selection="best_on_test").setting == "one_class"


@pytest.mark.parametrize(
    "config",
    [
        PromptADConfig(setting="multi_class", pad=False),
        PromptADConfig(setting="multi_class", prompts="ensemble"),
        PromptADConfig(setting="multi_class", epochs=0),
        MaPLeConfig(setting="multi_class", epochs=0),
        AnoPLeConfig(setting="multi_class", epochs=0),
    ],
)
@TASKS
def test_where_nothing_is_learned_there_is_nothing_to_share(config, task):
    assert config.canonical(task) == config.with_changes({"setting": "one_class"}).canonical(task)
    assert PROMPTAD.canonical(task).pools_categories
    assert MAPLE.canonical(task).pools_categories
    assert ANOPLE.canonical(task).pools_categories


@TASKS
@pytest.mark.parametrize("name", POOLED)
def test_a_fit_of_the_other_setting_is_refused(name, task, supports):
    method, config = method_named(name), CONFIGS[name]
    alone = config.with_changes({"setting": "one_class"})
    with pytest.raises(ConfigError, match="setting must be that of the fit, but is multi_class, for which there is"):
        method.fit(small_backbone(), supports["cable"], config, task=task, category="cable", seed=0)
    with pytest.raises(ConfigError, match="setting must be that of the fit, but is one_class"):
        method.fit_pool(small_backbone(), supports, alone, task=task, seed=0)


def test_a_detector_is_of_one_object():
    with pytest.raises(DetectorError, match="setting must be one_class, but is multi_class"):
        Detector.fit(small_backbone(), [__file__], category="bottle", config=PROMPTAD)


@TASKS
@pytest.mark.parametrize("name", POOLED)
def test_each_category_has_its_scores_and_a_config_that_says_how(name, task, supports, query):
    fitted_to = method_named(name).fit_pool(small_backbone(), supports, CONFIGS[name], task=task, seed=0)
    found = {category: fitted_to(category, support) for category, support in supports.items()}
    assert all(each.config == CONFIGS[name] for each in found.values())
    scores = [values(each.score(query)) for each in found.values()]
    assert not any(torch.equal(scores[i], scores[j]) for i in range(3) for j in range(i))
    # The same again from the start, to the bit; and another model from other images of one category.
    again = method_named(name).fit_pool(small_backbone(), supports, CONFIGS[name], task=task, seed=0)
    assert torch.equal(values(again("tile", supports["tile"]).score(query)), scores[2])
    fewer = {"bottle": supports["bottle"], "tile": supports["tile"]}
    other = method_named(name).fit_pool(small_backbone(), fewer, CONFIGS[name], task=task, seed=0)
    assert not torch.equal(values(other("tile", supports["tile"]).score(query)), scores[2])


@TASKS
def test_promptads_memory_is_the_categorys_own_and_its_prototypes_of_its_words(task, supports):
    fitted_to = PromptAD().fit_pool(small_backbone(), supports, PROMPTAD, task=task, seed=0)
    training = begin_pooled_training(small_backbone(), supports, PROMPTAD, task=task, seed=0)
    for _ in range(PROMPTAD.epochs):
        training.step()
    for (category, support), prototypes in zip(supports.items(), training.prototypes(), strict=True):
        found = fitted_to(category, support)
        assert torch.equal(found.prototypes, prototypes)
        assert set(found.memories) == {"block/1", "block/2"}
        for view, memory in found.memories.items():
            assert torch.equal(memory, support.stack(view).flatten(0, 1))
        assert found.support == support.identities


@TASKS
def test_a_pool_of_one_learns_what_maple_learns_from_the_same_start(task, supports, query):
    backbone, one = small_backbone(), {"bottle": supports["bottle"]}
    (found,) = trained_maple(one, task, None).fitted().values()
    fitted_to = MaPLe().fit_pool(backbone, one, MAPLE, task=task, seed=0)
    assert torch.equal(values(fitted_to("bottle", one["bottle"]).score(query)), values(found.score(query)))
    # And the method of one category is that training from its own draws.
    alone = MAPLE.with_changes({"setting": "one_class"})
    expected = MaPLe().fit(backbone, one["bottle"], alone, task=task, category="bottle", seed=0)
    (trained,) = trained_maple(one, task, "bottle").fitted().values()
    assert all(torch.equal(value, trained.tensors()[name]) for name, value in expected.tensors().items())
    assert not torch.equal(found.prompts, trained.prompts)


def trained_maple(supports, task, category):
    drawn = draw_prompts(small_backbone(), MAPLE, category=category, seed=0)
    training = MaPLeTraining(small_backbone(), supports, MAPLE, task=task, drawn=drawn)
    for _ in range(MAPLE.epochs):
        training.step()
    return training


@TASKS
def test_maples_first_step_is_along_the_mean_of_the_categories_gradients(task, supports):
    backbone, config = small_backbone(), dataclasses.replace(MAPLE, epochs=1, weight_decay=0.0)
    prompts, couplings = draw_prompts(backbone, config, category=None, seed=0)
    leaf = prompts.clone().requires_grad_()
    gradients = []
    for category, support in supports.items():
        tree, images = class_tree(backbone, config, category), support.stack("pixels")
        total = sum(maple_losses(backbone, tree, config, task, leaf, couplings, images))
        gradients += torch.autograd.grad(total, leaf)
    mean = (gradients[0] + gradients[1] + gradients[2]) / 3
    found = MaPLe().fit_pool(backbone, supports, config, task=task, seed=0)("tile", supports["tile"])
    torch.testing.assert_close(found.prompts, prompts - 0.02 * mean, rtol=1e-4, atol=1e-6)
    assert not torch.allclose(found.prompts, prompts - 0.02 * gradients[2], rtol=1e-4, atol=1e-6)
