"""Measured cost of a cell: prompts, learned parameters, seconds, and floating-point operations by step."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import TypeVar

import torch

from promptad.backbones.backbone import Backbone
from promptad.features.extraction import Features, ImageInput, extract_features, images_at_once
from promptad.flops import counted
from promptad.images.preparation import Preprocessing
from promptad.methods import Fitted, method_named
from promptad.prompts.prompt_ensemble import forget_prototypes
from study.records.cell import Cell

TIMED = 16
"""Upper bound on the query images that are scored together to measure the time of one."""

_Result = TypeVar("_Result")


def measured_cost(
    cell: Cell,
    backbone: Backbone,
    *,
    support: Features,
    query: Features,
    image: ImageInput,
    preprocessing: Preprocessing,
) -> dict[str, float]:
    """The cost of ``cell``, by name. Features of ``support`` and ``query`` are ready and not part of it.

    ``prompts`` and ``learned_parameters`` as the method states them; ``fit_seconds``; ``score_seconds`` per image, of
    up to ``TIMED`` scored together; and floating-point operations (``promptad.flops``): ``fit_flop``, ``score_flop`` of
    one query image alone, ``encode_flop`` of ``image`` through the tower for the views that the method needs.
    """
    method = method_named(cell.method)
    size = method.size(backbone, cell.config, task=cell.task, category=cell.category)
    fit = functools.partial(
        method.fit, backbone, support, cell.config, task=cell.task, category=cell.category, seed=cell.seed
    )
    # Each fit is complete: it reuses no text that an earlier one encoded.
    forget_prototypes(backbone)
    fitted: Fitted
    fitted, fit_seconds = _timed(fit, backbone.device)
    few, one = (_first(query, number) for number in (TIMED, 1))
    _, score_seconds = _timed(lambda: fitted.score(few), backbone.device)
    # Counting slows a computation down, so it runs once for the time and once for the count.
    forget_prototypes(backbone)
    views = method.views(cell.config, cell.task, backbone)
    _, encoding = counted(lambda: extract_features(backbone, [image], preprocessing=preprocessing, views=views))
    return {
        "prompts": size.prompts,
        "learned_parameters": size.learned_parameters,
        "fit_seconds": fit_seconds,
        "score_seconds": score_seconds / len(few),
        "fit_flop": counted(fit)[1],
        "score_flop": counted(lambda: fitted.score(one))[1],
        # On an accelerator the tower encodes several images at once.
        "encode_flop": encoding // images_at_once(backbone.device),
    }


def _timed(computation: Callable[[], _Result], device: torch.device) -> tuple[_Result, float]:
    """The result of a computation, and its seconds until the device has finished."""
    _settle(device)
    start = time.perf_counter()
    result = computation()
    _settle(device)
    return result, time.perf_counter() - start


def _settle(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _first(features: Features, number: int) -> Features:
    """The first ``number`` images, or all if there are fewer."""
    return Features(views={name: view[:number] for name, view in features.views.items()}, device=features.device)
