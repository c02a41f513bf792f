"""One cell, the plain way and ours: seconds, ratio, and whether the outputs are equal."""

from __future__ import annotations

import dataclasses
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import floor
import machine
import numpy as np
import torch
from helpers.inspection_set import write_inspection_set
from plain import PlainProblem, PlainTraining

from promptad.backbones.backbone import Backbone, load_backbone
from promptad.backbones.towers import encode_images
from promptad.configs.method_config import Task
from promptad.configs.promptad_config import PromptADConfig
from promptad.configs.protocol import protocol_config
from promptad.datasets import Category
from promptad.features.cache import FeatureCache
from promptad.features.extraction import ImageInput, extract_features, file_inputs
from promptad.images.preparation import Preprocessing, load_image, load_mask
from promptad.prompts.prompt_learning import LearnableTokens, PromptTraining, prompts_for
from study.bench.workbench import Workbench
from study.planning.cell_config import tower_facts
from study.planning.data_source import DataSource
from study.records.cell import Cell

EPOCHS = 100
EQUALITY_EPOCHS = 2
TOLERANCE = 1e-4
IMAGE_SIDE = 300


@dataclass(frozen=True, kw_only=True)
class Case:
    """A backbone, shots and number of test images; ``plain_epochs`` are measured and extrapolated to ``EPOCHS``.

    ``further`` also measures a further cell on the same images, ``every_epoch`` a cell that scores every epoch.
    """

    backbone: str
    shots: int
    test_images: int
    plain_epochs: int = 1
    further: bool = False
    every_epoch: bool = False


CASES = (
    Case(backbone="tiny", shots=1, test_images=160, plain_epochs=3, further=True, every_epoch=True),
    Case(backbone="tiny", shots=4, test_images=160, plain_epochs=3),
    Case(backbone="RN101:random", shots=1, test_images=20),
    Case(backbone="ViT-L-14:random", shots=1, test_images=20),
    Case(backbone="ViT-B-16-plus-240:random", shots=4, test_images=20),
    Case(backbone="ViT-B-16-plus-240:random", shots=1, test_images=160, further=True),
)


def measure(case: Case) -> dict[str, Any]:
    """All numbers of one case, both tasks."""
    with tempfile.TemporaryDirectory() as folder:
        root = write_inspection_set(
            Path(folder) / "data",
            ("plate",),
            train=case.shots,
            good=case.test_images // 2,
            bad=case.test_images - case.test_images // 2,
            size=IMAGE_SIDE,
        )
        category = DataSource(name="mvtec", layout="mvtec", root=str(root)).open("plate", skip_bad=False)
        backbone = load_backbone(case.backbone)
        # The released protocol, but fp32: on a CPU fp16 would make the plain way slower still.
        base = protocol_config("reference").with_changes({"precision": "fp32", "query_channels": "rgb"})
        result: dict[str, Any] = {**dataclasses.asdict(case), "tasks": {}}
        for task in get_args(Task):
            _say(f"{case.backbone}, {case.shots} shots, {case.test_images} images, {task}: plain")
            plain = _plain(case, backbone, category, base, task)
            _say("ours")
            result["tasks"][task] = {**plain, **_ours(case, category, base, task, Path(folder))}
            entry = result["tasks"][task]
            entry["equal"] = bool(entry.pop("difference") <= TOLERANCE)
            entry["first_cell_ratio"] = entry["plain_seconds"] / entry["first_cell_seconds"]
            if case.further:
                entry["further_cell_ratio"] = entry["plain_seconds"] / entry["further_cell_seconds"]
            if case.every_epoch:
                entry["every_epoch_ratio"] = entry["plain_seconds"] / entry["every_epoch_seconds"]
        if not case.backbone.startswith("RN"):
            result["floor"] = _floor(backbone, category, base)
        return result


def _plain(case: Case, backbone: Backbone, category: Category, base: PromptADConfig, task: Task) -> dict[str, Any]:
    training = PlainTraining(_problem(backbone, category, base, task), EPOCHS)
    start = time.perf_counter()
    for _ in range(case.plain_epochs):
        training.epoch()
    per_epoch = (time.perf_counter() - start) / case.plain_epochs
    return {
        "plain_seconds_per_epoch": per_epoch,
        "plain_seconds": per_epoch * EPOCHS,
        "difference": _difference(backbone, category, base, task),
    }


def _ours(case: Case, category: Category, base: PromptADConfig, task: Task, folder: Path) -> dict[str, Any]:
    last = base.with_changes({"selection": "last", "epochs": EPOCHS})
    cells = [_cell(case, category, last.with_changes({"align_weight": weight}), task) for weight in (0.001, 0.01)]
    every = _cell(case, category, last.with_changes({"selection": "best_on_test"}), task)
    bench = Workbench(cache=FeatureCache(folder / f"cache-{task}"), device="cpu", threads=torch.get_num_threads())
    start = time.perf_counter()
    bench.start_group([*cells, every], (category,))
    loaded = time.perf_counter() - start
    first = bench.run(cells[0]).row.seconds
    measured = {"load_seconds": loaded, "first_cell_seconds": first["total"], "stages": dict(first)}
    if case.further:
        measured["further_cell_seconds"] = bench.run(cells[1]).row.seconds["total"]
    if case.every_epoch:
        measured["every_epoch_seconds"] = bench.run(every).row.seconds["total"] + first["features"]
    return measured


def _difference(backbone: Backbone, category: Category, base: PromptADConfig, task: Task) -> float:
    """Largest relative difference of scores and metric after a few epochs, on some of the test images."""
    few = 4
    half = len(category.test) // 2
    small = dataclasses.replace(category, test=category.test[half - few // 2 : half + few // 2])
    config = base.with_changes({"selection": "last", "epochs": EQUALITY_EPOCHS})
    training = PlainTraining(_problem(backbone, small, config, task), EQUALITY_EPOCHS)
    for _ in range(EQUALITY_EPOCHS):
        training.step()
    scores, auroc = training.evaluate()
    case = Case(backbone=str(backbone.name), shots=len(small.train), test_images=few)
    cell = _cell(case, small, config, task)
    bench = Workbench(cache=None, device="cpu", threads=torch.get_num_threads())
    bench.start_group([cell], (small,))
    row = bench.run(cell).row
    assert row.test_images is not None
    assert row.scores is not None
    ours = np.array(row.test_images["score"])
    return float(max(np.abs(ours - scores).max() / np.abs(scores).max(), abs(row.scores[f"{task}_auroc"] - auroc)))


def _problem(backbone: Backbone, category: Category, config: PromptADConfig, task: Task) -> PlainProblem:
    config = config.spelled_out(task, tower_facts(str(backbone.name), backbone.name))
    preprocessing = _preprocessing(backbone, config)
    masks = [load_mask(sample, preprocessing=preprocessing, size=config.map_size) for sample in category.test]
    return PlainProblem(
        backbone=backbone,
        config=config,
        task=task,
        category=category.name,
        seed=0,
        # A named support keeps the order of its names, as the cells below do.
        support=[sample.path for sample in category.train],
        query=[sample.path for sample in category.test],
        anomalous=np.array([sample.anomalous for sample in category.test]),
        masks=np.stack(masks),
        preprocessing=preprocessing,
    )


def _cell(case: Case, category: Category, config: PromptADConfig, task: Task) -> Cell:
    from promptad.backbones.backbone import weights_digest
    from promptad.backbones.backbone_names import activation_of, parse_backbone

    name = parse_backbone(case.backbone)
    return Cell(
        method="promptad",
        config=config.spelled_out(task, tower_facts(str(case.backbone), case.backbone)),
        backbone=case.backbone,
        architecture=name.architecture,
        weights=weights_digest(name),
        activation=activation_of(name),
        dataset="mvtec",
        category=category.name,
        data="benchmark",
        shots=case.shots,
        seed=0,
        task=task,
        support=tuple(sample.name for sample in category.train),
    )


def _floor(backbone: Backbone, category: Category, base: PromptADConfig) -> dict[str, float]:
    """Ours against the floor for the two parts that are matrix products: encoding, and prompt steps."""
    config = base.spelled_out("image", tower_facts(str(backbone.name), backbone.name))
    preprocessing = _preprocessing(backbone, config)
    views = {"global", "local/vv", *(f"attended/{layer}" for layer in config.memory_layers or ())}
    inputs: list[ImageInput] = file_inputs([category.train[0].path], preprocessing)
    support = extract_features(backbone, inputs, preprocessing=preprocessing, views=views)
    memory = list(config.memory_layers or ())
    images = torch.stack([load_image(sample.path, preprocessing) for sample in category.test[:10]])

    def encode_all() -> None:
        with torch.inference_mode():
            for image in images:
                encode_images(backbone.model.visual, image[None], local=("vv",), attended=memory)

    encode = machine.seconds(encode_all, repeats=1) / len(images)
    prompts = prompts_for(backbone.tokenizer, config, "image", category.name)
    width = backbone.text.token_embedding.weight.shape[1]
    tokens = LearnableTokens.draw(config, "image", width=width, category=category.name, seed=0)
    training = PromptTraining(backbone, support, config, task="image", prompts=prompts, tokens=tokens)
    step = machine.seconds(training.step, repeats=10)
    patches = support.stack("local/vv").shape[1]
    encode_least = floor.encode_floor(backbone.model.visual, patches + 1)
    step_least = floor.step_floor(backbone.text, training.tree)
    return {
        "encode_seconds": encode,
        "encode_floor_seconds": encode_least,
        "encode_ratio": encode / encode_least,
        "step_seconds": step,
        "step_floor_seconds": step_least,
        "step_ratio": step / step_least,
        "tree_nodes": len(training.tree.tokens),
    }


def _preprocessing(backbone: Backbone, config: PromptADConfig) -> Preprocessing:
    return Preprocessing(size=backbone.image_size, resize=config.resize, mean=backbone.mean, std=backbone.std)


def _say(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)
