"""Checks, before anything runs, that an arm's backbone and method have what its config names."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from promptad.backbones.backbone import load_tokenizer
from promptad.configs.method_table import method_of, needs_of
from promptad.methods import method_named
from promptad.prompts.sequences import PromptError
from study.planning.cell_config import tower_facts, with_suffixes
from study.planning.printed import PlannedAblation
from study.planning.request import StudyRequest


def prompt_problems(categories: Iterable[str], planned: PlannedAblation, request: StudyRequest) -> list[str]:
    """A sentence for each prompt that is longer than a text tower's context."""
    problems: dict[str, None] = {}
    for (arm, config), task, category in itertools.product(planned.configs.items(), planned.ablation.tasks, categories):
        if "text" not in needs_of(config) or category not in (*planned.categories, *planned.pool_of(arm)):
            continue
        tokenizer = load_tokenizer(planned.backbones[arm].name)
        changed = with_suffixes(config, category, request)
        try:
            method_named(method_of(changed)).check_prompts(tokenizer, changed, task, category)
        except PromptError as error:
            problems[str(error)] = None
    return list(problems)


def layer_problems(planned: PlannedAblation) -> list[str]:
    """A sentence for each layer, window, depth or artefact that an arm's backbone or method does not have."""
    problems = set()
    if "compared" in planned.ablation.artefacts and "pixel" not in planned.ablation.tasks:
        problems.add("compared maps are those of pixel cells, but no pixel metric is asked for: use pixel_auroc")
    for arm, config in planned.configs.items():
        backbone = planned.backbones[arm]
        tower = tower_facts(backbone.text, backbone.name)
        used = any(config.uses_memory_layers(task) for task in planned.ablation.tasks)
        layers = (config.named_memory_layers or ()) if used else ()
        if layers and max(layers) > tower.blocks:
            problems.add(f"memory_layers must be between 1 and {tower.blocks} for {tower.text}, but got {layers}")
        problems.update(config.tower_problems(arm, tower))
        if "embedding" in planned.ablation.artefacts and not config.shows_prompts:
            problems.add(
                f"embeddings of prompts need a method with prompts, but arm {arm} runs {method_of(config)}: "
                "use promptad"
            )
        if "attention" in planned.ablation.artefacts and 0 in planned.shots:
            problems.add("attention by block is that of a support image, but 0 shots are asked for: use --shots 1")
        if "attention" in planned.ablation.artefacts and not tower.transformer:
            problems.add(f"attention by block needs a transformer backbone, but {tower.text} is {tower.kind}")
    return sorted(problems)
