"""What an arm asks for that its backbone or method has not: found before anything runs."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from promptad.backbone_names import available_blocks, is_transformer, kind_of, patch_grid, prompt_blocks
from promptad.backbones import load_tokenizer
from promptad.class_prompts import ClassPrompts
from promptad.config import PromptADConfig
from promptad.method_configs import CoCoOpConfig, MaPLeConfig, WinCLIPConfig
from promptad.method_table import method_of, needs_of, uses_memory_layers
from promptad.prompt_ensemble import ensemble_prompts
from promptad.prompt_learning import prompts_for
from promptad.prompts import PromptError
from study.cell_config import memory_layers, with_suffixes
from study.printed import PlannedAblation
from study.request import StudyRequest


def prompt_problems(categories: Iterable[str], planned: PlannedAblation, request: StudyRequest) -> list[str]:
    """A sentence for each prompt that is longer than a text tower's context."""
    problems: dict[str, None] = {}
    for (arm, config), task, category in itertools.product(planned.configs.items(), planned.ablation.tasks, categories):
        if "text" not in needs_of(config):
            continue
        tokenizer = load_tokenizer(planned.backbones[arm].name)
        changed = with_suffixes(config, category, request)
        try:
            if isinstance(changed, PromptADConfig):
                prompts_for(tokenizer, changed, task, category)
            elif isinstance(changed, WinCLIPConfig):
                ensemble_prompts(
                    tokenizer, category, templates=changed.ensemble_templates, prompt_text=changed.prompt_text
                )
            elif isinstance(changed, CoCoOpConfig | MaPLeConfig):
                ClassPrompts.of(tokenizer, category, n_tokens=changed.context_length, prompt_text=changed.prompt_text)
        except PromptError as error:
            problems[str(error)] = None
    return list(problems)


def layer_problems(planned: PlannedAblation) -> list[str]:
    """A sentence for each layer, window, depth or artefact that an arm's backbone or method has not."""
    problems = set()
    if "compared" in planned.ablation.artefacts and "pixel" not in planned.ablation.tasks:
        problems.add("compared maps are those of pixel cells, but no pixel metric is asked for: use pixel_auroc")
    for arm, config in planned.configs.items():
        backbone = planned.backbones[arm]
        blocks = available_blocks(backbone.name)
        used = any(uses_memory_layers(config, task) for task in planned.ablation.tasks)
        layers = (memory_layers(config) or ()) if used else ()
        if layers and max(layers) > blocks:
            problems.add(f"memory_layers must be between 1 and {blocks} for {backbone.text}, but got {layers}")
        if "embedding" in planned.ablation.artefacts and not isinstance(config, PromptADConfig):
            problems.add(
                f"embeddings of prompts need a method with prompts, but arm {arm} runs {method_of(config)}: "
                "use promptad"
            )
        if isinstance(config, WinCLIPConfig) and max(config.windows) > (grid := patch_grid(backbone.name)):
            sizes = ", ".join(map(str, config.windows))
            problems.add(
                f"windows must be between 1 and {grid} patches wide for {backbone.text}, but arm {arm} has {sizes}"
            )
        if isinstance(config, MaPLeConfig) and (config.prompt_depth or 1) > (deepest := prompt_blocks(backbone.name)):
            problems.add(
                f"prompt_depth must be between 1 and {deepest} for {backbone.text}, but arm {arm} has "
                f"{config.prompt_depth}"
            )
        if "attention" in planned.ablation.artefacts and 0 in planned.shots:
            problems.add("attention by block is that of a support image, but 0 shots are asked for: use --shots 1")
        if "attention" in planned.ablation.artefacts and not is_transformer(backbone.name):
            problems.add(
                f"attention by block needs a transformer backbone, but {backbone.text} is {kind_of(backbone.name)}"
            )
        linear = isinstance(config, PromptADConfig) and config.pad and config.transformation == "linear"
        if linear and not is_transformer(backbone.name):
            problems.add(
                f"transformation linear needs a transformer backbone, but {backbone.text} is {kind_of(backbone.name)}"
            )
    return sorted(problems)
