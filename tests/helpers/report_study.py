"""A fabricated study for the tests of `reports`: a plan like table 3, rows of known values, and example arrays."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

Document = dict[str, Any]

CATEGORIES = ("bolt", "gear", "mesh", "plate", "ring", "weave")
SEEDS = (0, 1, 2)
ARMS = (
    ("none", "baseline (CoOp form)", {"SC": False, "EAM": False, "VAD": False}),
    ("sc", "SC", {"SC": True, "EAM": False, "VAD": False}),
    ("sc+eam", "SC + EAM", {"SC": True, "EAM": True, "VAD": False}),
    ("vad", "VAD alone", {"SC": False, "EAM": False, "VAD": True}),
    ("all", "SC + EAM + VAD", {"SC": True, "EAM": True, "VAD": True}),
)
METRICS = {"image": ("image_auroc", "image_aupr"), "pixel": ("pixel_auroc", "pro")}

BASE = {"image_auroc": 0.62, "image_aupr": 0.66, "pixel_auroc": 0.70, "pro": 0.50}
GAIN = {"none": 0.0, "sc": 0.06, "sc+eam": 0.08, "vad": 0.01, "all": 0.12}
# Neither list has its mean at its median, so a report that took medians would be caught.
SEED_SHIFT = {0: 0.0, 1: 0.01, 2: 0.05}
WOBBLE = {
    "none": (0.0, 0.0, 0.0),
    "sc": (0.0, 0.002, 0.016),
    "sc+eam": (0.004, -0.002, -0.014),
    "vad": (-0.01, -0.008, 0.03),
    "all": (0.0, 0.004, -0.001),
}
CATEGORY_SHIFT = {"bolt": -0.06, "gear": 0.0, "mesh": 0.01, "plate": 0.02, "ring": 0.03, "weave": 0.09}
CATEGORY_WEIGHT = {"bolt": -0.2, "gear": 0.6, "mesh": 0.9, "plate": 1.0, "ring": 1.2, "weave": 1.3}

PUBLISHED = {"none": (81.5, 92.0), "sc": (90.4, 92.1), "sc+eam": (91.3, 92.5), "vad": (85.1, 94.1), "all": (94.6, 95.9)}


def score(arm: str, category: str, seed: int, metric: str) -> float:
    """The fabricated score of a cell."""
    gain = GAIN[arm] * CATEGORY_WEIGHT[category]
    return BASE[metric] + CATEGORY_SHIFT[category] + SEED_SHIFT[seed] + WOBBLE[arm][seed % 3] + gain


def digest_of(*parts: object) -> str:
    return hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()


OTHER_WEIGHTS = ({"reason": "other_weights", "text": "weights (embedded tiny CLIP; the paper's are others)"},)


def printed_number(
    arm: str, metric: str, value: float, *, obstacles: Sequence[Document] = OTHER_WEIGHTS, **changes: object
) -> Document:
    """A number of the paper as a plan JSON has it; by default it gets no verdict."""
    number = {
        "arm": arm,
        "shots": 1,
        "metric": metric,
        "dataset": "mvtec",
        "category": None,
        "printed_shots": 1,
        "value": value,
        "std": None,
        "note": "",
        "draws": True,
        "obstacles": list(obstacles),
    }
    return number | changes


def comparable(plan: Document) -> Document:
    """The plan with nothing that keeps its printed numbers from being compared."""
    return plan | {"printed": [number | {"obstacles": []} for number in plan["printed"]]}


def make_plan(
    name: str = "table3",
    *,
    seeds: Sequence[int] = SEEDS,
    shots: Sequence[int | str] = (1,),
    categories: Sequence[str] = CATEGORIES,
    arms: Sequence[tuple[str, str, Mapping[str, object]]] = ARMS,
    **changes: object,
) -> Document:
    """A valid plan JSON; `changes` overwrite its keys."""
    plan = {
        "schema": 1,
        "name": name,
        "ablation": name,
        "title": "Table 3: which component brings what",
        "question": "What do semantic concatenation, the explicit anomaly margin and the visual branch each add?",
        "method_note": "One-shot; every arm draws the same support images at a seed.",
        "baseline": "none",
        "backbone": "tiny",
        "weights_label": "embedded tiny CLIP",
        "protocol": "paper",
        "selection": "last",
        "dataset": "synthetic",
        "dataset_title": "Synthetic inspection set",
        "categories": list(categories),
        "shots": list(shots),
        "seeds": list(seeds),
        "tasks": ["image", "pixel"],
        "arms": [{"name": arm, "label": label, "marks": marks, "changes": dict(marks)} for arm, label, marks in arms],
        "printed": [
            printed_number(arm, metric, value, shots=shot)
            for arm, values in PUBLISHED.items()
            if arm in [name for name, _, _ in arms]
            for metric, value in zip(("image_auroc", "pixel_auroc"), values, strict=True)
            for shot in shots
            if shot == 1
        ],
        "cells": [
            {
                "digest": digest_of(name, arm, category, shot, seed, task),
                "arm": arm,
                "category": category,
                "shots": shot,
                "seed": seed,
                "task": task,
            }
            for arm, _, _ in arms
            for category in categories
            for shot in shots
            for seed in seeds
            for task in METRICS
        ],
        "left_out": [{"image": "gear/test/crack/003.png", "reason": "truncated"}],
    }
    return plan | changes


def make_rows(plan: Document, value: Callable[[str, str, int, str], float] = score) -> dict[str, Document]:
    """An ok row for every planned cell."""
    rows = {}
    for cell in plan["cells"]:
        scores = {
            metric: value(cell["arm"], cell["category"], cell["seed"], metric) for metric in METRICS[cell["task"]]
        }
        curve = None
        if plan["selection"] == "best_on_test":
            curve = {"epochs": [1, 2, 3], **{metric: [0.5, best, best - 0.02] for metric, best in scores.items()}}
        rows[cell["digest"]] = {
            "schema": 1,
            "digest": cell["digest"],
            "cell": {
                "method": "promptad",
                "config": {"selection": plan["selection"]},
                "backbone": plan["backbone"],
                "weights": "w" * 12,
                "dataset": plan["dataset"],
                "category": cell["category"],
                "data": "d" * 12,
                "shots": cell["shots"],
                "seed": cell["seed"],
                "task": cell["task"],
                "support": None,
                "numerics": 1,
            },
            "status": "ok",
            "reason": None,
            "scores": scores,
            "curve": curve,
            "departures": [],
            "support_images": [f"train/good/{(7 * cell['seed']) % 10:03d}.png"],
            "test_images": None,
            "seconds": {"features": 0.5, "fit": 1.0, "score": 0.25, "metrics": 0.25, "total": 2.0},
            "provenance": {
                "started": "2026-01-02T03:04:05+00:00",
                "host": "node-a",
                "device": "cpu",
                "threads": 1,
                "versions": {"torch": "2.9.0", "numpy": "2.4.6"},
                "commit": "0123abc",
                "dirty": False,
                "attempts": 1,
            },
        }
    return rows


def spoil(
    plan: Document, rows: dict[str, Document], status: str | None, reason: str | None = None, **where: object
) -> int:
    """Give the cells that match `where` another status, or remove their rows if `status` is None; return how many."""
    hit = [cell["digest"] for cell in plan["cells"] if all(cell[axis] == value for axis, value in where.items())]
    for digest in hit:
        if status is None:
            del rows[digest]
        else:
            rows[digest] |= {"status": status, "reason": reason, "scores": None}
    return len(hit)


def make_examples(plan: Document, images: int = 4) -> dict[str, dict[str, np.ndarray]]:
    """Arrays of example images for every pixel cell, best located first; the visual branch is off without VAD."""
    visual_on = {arm["name"]: arm["marks"].get("VAD", True) for arm in plan["arms"]}
    made = {}
    for index, cell in enumerate(plan["cells"]):
        if cell["task"] != "pixel" or cell["seed"] != plan["seeds"][0]:
            continue
        rng = np.random.default_rng(index)
        rows, columns = np.mgrid[0:160, 0:160]
        thumbnails = np.zeros((images, 160, 160, 3), np.uint8)
        masks = np.zeros((images, 160, 160), bool)
        maps = {name: np.full((images, 15, 15), np.nan, np.float32) for name in ("fused", "textual", "visual")}
        for image in range(images):
            y, x = rng.integers(35, 125, 2)
            masks[image] = (rows - y) ** 2 + (columns - x) ** 2 < rng.integers(8, 22) ** 2
            ground = 120 + 40 * np.sin(columns / rng.integers(4, 12)) * np.cos(rows / rng.integers(4, 12))
            ground = ground - 70 * masks[image] + rng.normal(0, 4, (160, 160))
            tint = rng.uniform(0.7, 1.2, 3)
            thumbnails[image] = np.clip(ground[..., None] * tint, 0, 255).astype(np.uint8)
            miss = 0 if image < images // 2 else 6
            grid_y, grid_x = np.mgrid[0:15, 0:15]
            for name in maps:
                if name == "visual" and not visual_on[cell["arm"]]:
                    continue
                far = (grid_y - y / 160 * 15 + miss) ** 2 + (grid_x - x / 160 * 15) ** 2
                maps[name][image] = 0.3 + 0.5 * np.exp(-far / 6) + rng.uniform(0, 0.08, (15, 15))
        made[cell["digest"]] = {
            "names": np.array([f"test/crack/{image:03d}.png" for image in range(images)]),
            "anomalous": np.ones(images, bool),
            "pixel_auroc": np.linspace(0.98, 0.55, images) - 0.002 * (index % 7),
            "score": np.linspace(0.9, 0.4, images),
            "thumbnails": thumbnails,
            "masks": masks,
            **maps,
        }
    return made


def damaged_rows(plan: Document) -> dict[str, Document]:
    """Rows with every kind of trouble: failed, unavailable, pruned and missing cells."""
    rows = make_rows(plan)
    spoil(plan, rows, "failed", "CUDA out of memory\n  at fit", arm="sc", category="gear", seed=1)
    spoil(plan, rows, None, arm="sc+eam", task="image")
    spoil(plan, rows, "unavailable", "no masks", arm="vad", task="pixel")
    spoil(plan, rows, "pruned", "stopped after epoch 3", arm="all", category="ring", task="image")
    return rows
