"""How much less a step costs a cell in company, with the same bits: CPU seconds of one thread, ratios of one run.

python tests/benchmarks/companies.py tiny ViT-B-16-plus-240:random
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS.parent), str(TESTS)]

# ruff: noqa: E402
import torch
from gpu_check import drawn_features

from promptad.backbones.backbone import Backbone, load_backbone
from promptad.configs.promptad_config import PromptADConfig
from promptad.prompts.company import NODES, keeps_bits
from promptad.prompts.prompt_learning import PromptTraining, begin_training, step_together

MODELS = {"tiny": 20, "ViT-B-16-plus-240:random": 3}
"""Backbones, and how many rounds of each are measured."""

SIZES = (2, 4, 8, 16)
TREES: dict[str, dict[str, Any]] = {
    "the paper's": {},
    "the released code's, pixel task": {"n_normal_prompts_image": 1, "generic_suffixes": "reference"},
    "the released code's, image task": {"n_normal_prompts_image": 3, "generic_suffixes": "reference"},
}
"""Trees of hazelnut by whose protocol they are; drawn features of one image."""


def measure_companies(name: str, rounds: int) -> list[dict[str, Any]]:
    """For each tree: nodes, milliseconds of a step alone and for each cell of a company, and whether bits are kept."""
    torch.set_num_threads(1)
    backbone = load_backbone(name)
    found = []
    for label, changes in TREES.items():

        def training(seed: int, changes: dict[str, Any] = changes) -> PromptTraining:
            return drawn_training(backbone, seed, changes)

        runs = {1: [training(0)]} | {size: [training(seed) for seed in range(size)] for size in SIZES}
        best = dict.fromkeys(runs, float("inf"))
        # Rounds alternate, so that a machine that slows down slows all of them.
        for number in range(rounds + 1):
            for size, company in runs.items():
                began = time.process_time()
                step_together(company)
                if number:
                    best[size] = min(best[size], (time.process_time() - began) / size)
        nodes = len(runs[1][0].tree.tokens)
        found.append(
            {
                "backbone": name,
                "tree": label,
                "nodes": nodes,
                "most": max(1, min(16, NODES // nodes)),
                "milliseconds": {size: 1e3 * seconds for size, seconds in best.items()},
                "same_bits": {size: keeps_bits(runs[size]) for size in SIZES},
            }
        )
    return found


def drawn_training(backbone: Backbone, seed: int, changes: dict[str, Any]) -> PromptTraining:
    """A training of the image task on features of nothing."""
    config = PromptADConfig().with_changes(changes)
    support = drawn_features(backbone, ["global"], 1, seed)
    return begin_training(backbone, support, config, task="image", category="hazelnut", seed=seed)


def measure() -> list[dict[str, Any]]:
    """Both models."""
    threads = torch.get_num_threads()
    try:
        return [entry for name, rounds in MODELS.items() for entry in measure_companies(name, rounds)]
    finally:
        torch.set_num_threads(threads)


def rows(found: list[dict[str, Any]]) -> list[list[str]]:
    """The table's rows: milliseconds of a cell's step, and how many times less than alone."""
    table = []
    for entry in found:
        times = entry["milliseconds"]
        cells = [f"{times[1]:.3g}"]
        for size in SIZES:
            bits = "" if entry["same_bits"][size] else ", other bits: not used"
            cells.append(f"{times[size]:.3g} (x{times[1] / times[size]:.2f}{bits})")
        table.append([entry["backbone"], entry["tree"], str(entry["nodes"]), *cells, str(entry["most"])])
    return table


COLUMNS = ["backbone", "tree", "nodes", "alone", *(f"company of {size}" for size in SIZES), "most that is used"]


if __name__ == "__main__":
    print("| " + " | ".join(COLUMNS) + " |\n" + "|---" * len(COLUMNS) + "|")
    for each in sys.argv[1:] or MODELS:
        for row in rows(measure_companies(each, MODELS.get(each, 3))):
            print("| " + " | ".join(row) + " |", flush=True)
