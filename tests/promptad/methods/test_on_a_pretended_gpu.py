"""Every method on a GPU that is pretended: no operation mixes devices, and scores come back to the CPU."""

import dataclasses

import pytest
import torch
from helpers.pretended_gpu import Counts, pretended_backbone, pretended_features, pretended_gpu

from promptad.configs.method_table import METHODS
from promptad.configs.promptad_config import PromptADConfig
from promptad.features.residence import Residence
from promptad.methods import Fitting, method_named
from promptad.methods import cocoop as cocoop_module
from promptad.methods import promptad as promptad_module
from promptad.methods.promptad import PromptAD
from promptad.prompts.padded import Padded, Shape, forget_recorded
from promptad.scoring.neighbours import greedy_coreset

pytestmark = pytest.mark.slow

FLAWED = "squared_over_second_axis"

SMALL = {
    "memory_layers": (1, 2),
    "prompt_depth": 2,
    "n_texts": 8,
    "steps": 3,
    "epochs": 3,
}
"""Fields that make a method small, where it has them."""

CASES = [
    (name, task, changes)
    for name, entry in METHODS.items()
    for task in entry.tasks
    for changes in ({}, *([{"transformation": "linear"}, {"prompts": "ensemble"}] if name == "promptad" else []))
]


def test_an_operation_on_two_devices_is_an_error():
    with pretended_gpu(), pytest.raises(RuntimeError, match="Expected all tensors to be on the same device"):
        torch.empty(3, device="cuda") + torch.empty(3)


@pytest.mark.parametrize(("name", "task", "changes"), CASES)
def test_a_method_keeps_to_the_device_of_its_features(name, task, changes):
    config = METHODS[name].config()
    fields = set(config.field_names())
    config = config.with_changes({field: value for field, value in SMALL.items() if field in fields} | changes)
    if name == "promptad" and changes.get("prompts") == "ensemble":
        config = config.with_changes({"sc": True})
    with pretended_gpu():
        backbone, method = pretended_backbone(), method_named(name)
        views = method.views(config, task, backbone)
        support, query = (pretended_features(views, images) for images in (1, 20))
        fitted = method.fit(backbone, support, config, task=task, category="cable", seed=0)
        scores = fitted.score(query)
        found = [value for value in (scores.image, scores.maps, *scores.branches.values()) if value is not None]
        assert found
        assert {value.device.type for value in found} == {"cpu"}
        assert {len(value) for value in found} == {20}


def fittings(backbone, task, changes):
    views = method_named("promptad").views(PromptADConfig(memory_layers=(1, 2)), task, backbone)
    return [
        Fitting(
            support=pretended_features(views, 1 + number % 2),
            config=PromptADConfig(memory_layers=(1, 2), epochs=3).with_changes(change),
            task=task,
            category="cable",
            seed=number,
        )
        for number, change in enumerate(changes)
    ]


@pytest.mark.parametrize("task", ["image", "pixel"])
def test_a_company_of_any_forms_learns_on_the_gpu(task):
    changes = [
        {},
        {"eam": False},
        {"sc": False},
        {"n_normal_prompts_image": 2},
        {"margin_distance": FLAWED},
        {"pad": False},
    ]
    with pretended_gpu():
        backbone = pretended_backbone()
        together = PromptAD().fit_together(backbone, fittings(backbone, task, changes), 32)
        found = [each.result for each in together]
        assert [type(each).__name__ for each in found] == ["FittedPromptAD"] * len(changes)
        for fitted in found:
            assert {tensor.device.type for tensor in fitted.tensors().values()} == {"cuda"}
        forget_recorded()


@pytest.mark.parametrize("task", ["image", "pixel"])
def test_a_step_of_a_company_waits_for_nothing_and_is_the_same_each_time(task):
    """Which is what CUDA records as a graph: no answer of the device, no copy, no operation that comes and goes."""
    with pretended_gpu():
        backbone = pretended_backbone()
        trainings = [
            promptad_module._training(backbone, each)
            for each in fittings(backbone, task, [{}, {}, {"eam": False}])[::2]
        ]
        company = Padded(trainings[0], Shape.of(trainings[0]))
        company.take(trainings)
        seen = []
        for _ in range(3):
            with Counts() as counts:
                company.step()
            assert counts.waits == []
            assert counts.bytes == {"to": 0, "from": 0}
            seen.append(counts.operations)
        assert len(seen[0]) > 100
        assert seen[0] == seen[1] == seen[2]
        # What is counted can be seen: a step that looks at each loss waits for them.
        with Counts() as counts:
            trainings[0].step()
        assert len(counts.waits) >= 4


@pytest.mark.parametrize("task", ["image", "pixel"])
def test_the_second_cell_of_a_category_moves_next_to_nothing(task):
    """Features of the test images stay on the device; of the first cell they are moved once."""
    with pretended_gpu():
        backbone = pretended_backbone()
        (fitting,) = fittings(backbone, task, [{}])
        views = PromptAD().views(fitting.config, task, backbone)
        query = dataclasses.replace(pretended_features(views, 600), residence=Residence(10**9))
        moved = []
        for _ in range(2):
            with Counts() as counts:
                (fit,) = PromptAD().fit_together(backbone, [fitting], 32)
                fit.result.score(query)
            moved.append(counts.bytes["to"])
        whole = sum(len(images) * images[0].nbytes for view, images in query.views.items())
        assert moved[0] >= whole > 10**6
        assert moved[1] < 10**6
        forget_recorded()


def test_a_coreset_is_taken_without_waiting_for_its_entries():
    with pretended_gpu():
        features = torch.empty(50, 8, device="cuda")
        with Counts() as counts:
            assert greedy_coreset(features, 20).shape == (20,)
        assert counts.waits == []
        assert counts.bytes == {"to": 0, "from": 0}


@pytest.mark.parametrize("name", ["patchcore", "spade", "padim", "fastrecon"])
def test_patches_of_many_images_are_joined_at_once(name):
    # On a CPU two images at a time are faster; a card would spend its time starting operations.
    config = METHODS[name].config().with_changes({"memory_layers": (1, 2)})
    with pretended_gpu():
        backbone, method = pretended_backbone(), method_named(name)
        views = method.views(config, "pixel", backbone)
        support = pretended_features(views, 2)
        fitted = method.fit(backbone, support, config, task="pixel", category="cable", seed=0)
        copies = []
        for images in (32, 64):
            query = pretended_features(views, images)
            with Counts() as counts:
                fitted.score(query)
            copies.append(sum(name in ("_to_copy", "copy_") for name, _ in counts.operations))
        assert copies[1] <= 2 * copies[0] <= 8


def test_cocoop_builds_a_tree_for_each_number_of_images_and_not_for_each_step(monkeypatch):
    built = []
    real = cocoop_module.context_tree
    monkeypatch.setattr(cocoop_module, "context_tree", lambda *each: built.append(each[-1]) or real(*each))
    config = METHODS["cocoop"].config().with_changes({"epochs": 3})
    with pretended_gpu():
        backbone, method = pretended_backbone(), method_named("cocoop")
        support, query = (pretended_features(frozenset({"global"}), images) for images in (3, 40))
        fitted = method.fit(backbone, support, config, task="image", category="cable", seed=0)
        assert built == [3]
        fitted.score(query)
        assert built == [3, 16, 8]
