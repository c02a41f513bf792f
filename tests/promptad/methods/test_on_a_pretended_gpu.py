"""Every method on a GPU that is pretended: no operation mixes devices, and scores come back to the CPU."""

import pytest
import torch
from helpers.pretended_gpu import pretended_backbone, pretended_features, pretended_gpu

from promptad.configs.method_table import METHODS
from promptad.methods import method_named

pytestmark = pytest.mark.slow

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
