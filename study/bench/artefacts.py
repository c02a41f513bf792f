"""Arrays that a cell keeps, beside the example maps, for figures of a model's inside."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from promptad.backbones.backbone import Backbone
from promptad.configs.promptad_config import PromptADConfig
from promptad.features.extraction import Features
from promptad.images.preparation import Preprocessing, normalised, resized_pixels, thumbnail
from promptad.inside import attention_by_block, embedded_features, prompt_parts
from promptad.prompts.company import learned_prompts
from promptad.prompts.prompt_learning import prompts_for
from reports.reading.kept import Arrays
from study.bench.example_maps import THUMBNAIL
from study.bench.queries import Queries
from study.records.cell import Cell


def arrays_of(cell: Cell) -> tuple[str, ...]:
    """The artefacts of a cell that are arrays. Its cost is none: the row holds those numbers."""
    return tuple(name for name in cell.artefacts if name != "cost")


def artefacts(
    cell: Cell,
    backbone: Backbone,
    queries: Queries,
    *,
    support: Features,
    query: Features,
    preprocessing: Preprocessing,
) -> Arrays:
    """The arrays of a model's inside that ``cell.artefacts`` names (``compared`` is among the ``example_maps``).

    ``embedding/normal_prompts``, ``.../manual_prompts``, ``.../learnable_prompts`` and ``.../visual`` (number x embed,
    l2-normalised), with each prompt's prefix and suffix in ``parts/normal_prompts`` and so on (number x 2);
    ``attention/qk`` and ``attention/vv`` (block x token x token, half precision, the class token first) of the first
    support image, with its ``attention/name`` and ``attention/thumbnail``.
    """
    found: dict[str, NDArray[Any]] = {}
    if "embedding" in cell.artefacts:
        # Planning refuses the artefact for every other config (``shows_prompts``).
        config = cast("PromptADConfig", cell.config)
        normal = [number for number, sample in enumerate(queries.samples) if not sample.anomalous]
        training = learned_prompts(backbone, support, config, task=cell.task, category=cell.category, seed=cell.seed)
        features = embedded_features(backbone, training, query, normal, config, cell.task)
        found |= {f"embedding/{name}": values for name, values in features.items()}
        prompts = prompts_for(backbone.tokenizer, config, cell.task, cell.category)
        found |= {f"parts/{name}": values for name, values in prompt_parts(prompts).items()}
    if "attention" in cell.artefacts:
        shown = queries.support[0]
        pixels = normalised(resized_pixels(shown.path, preprocessing, content=shown.content), preprocessing)
        maps = attention_by_block(backbone.model.visual, pixels.to(backbone.device, backbone.dtype))
        found |= {f"attention/{name}": values.numpy().astype(np.float16) for name, values in maps.items()}
        found |= {
            "attention/name": np.array(shown.name),
            "attention/thumbnail": thumbnail(shown, preprocessing, THUMBNAIL),
        }
    return found
