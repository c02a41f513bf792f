"""Cells and rows that tests make up."""

from typing import Any

from promptad.configs.promptad_config import PromptADConfig
from study.records.cell import Cell
from study.records.row import Row


def make_cell(**changes: Any) -> Cell:
    values: dict[str, Any] = {
        "method": "promptad",
        "config": PromptADConfig(memory_layers=(2, 3)),
        "backbone": "tiny",
        "architecture": "tiny",
        "weights": "w0",
        "dataset": "mvtec",
        "category": "plate",
        "data": "d0",
        "shots": 1,
        "seed": 0,
        "task": "image",
    }
    return Cell(**values | changes)


SCORES = {"image_auroc": 0.75, "image_aupr": 0.5}


def make_row(**changes: Any) -> Row:
    values: dict[str, Any] = {
        "cell": make_cell(),
        "status": "ok",
        "scores": SCORES,
        "support_images": ("train/good/001.png",),
        "test_images": {"name": ["test/good/000.png"], "anomalous": [0], "score": [0.25]},
        "seconds": {"total": 1.5},
        "provenance": {"finished": "2026-01-01T00:00:00+00:00"},
    }
    return Row(**values | changes)
