"""Seconds of the stages around a cell that its own stopwatch does not split: decoding, encoding, writing."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import machine
import torch
from cells import IMAGE_SIDE, Case, _cell
from helpers.inspection_set import write_inspection_set

from promptad.backbones.backbone import load_backbone
from promptad.backbones.towers import encode_images
from promptad.configs.promptad_config import PromptADConfig
from promptad.images.preparation import Preprocessing, load_image
from study.bench.workbench import Workbench
from study.planning.data_source import DataSource
from study.records.ledger import Ledger

BACKBONES = ("tiny", "ViT-B-16-plus-240:random")


def measure() -> list[dict[str, Any]]:
    """One entry per backbone: decode and resize, encode (per image), and writing a pixel cell's row and examples."""
    with tempfile.TemporaryDirectory() as folder:
        root = write_inspection_set(Path(folder) / "data", ("plate",), train=1, good=20, bad=20, size=IMAGE_SIDE)
        category = DataSource(name="mvtec", layout="mvtec", root=str(root)).open("plate", skip_bad=False)
        return [_entry(name, category, Path(folder)) for name in BACKBONES]


def _entry(name: str, category: Any, folder: Path) -> dict[str, Any]:
    backbone = load_backbone(name)
    preprocessing = Preprocessing(size=backbone.image_size, mean=backbone.mean, std=backbone.std)
    path = category.test[0].path
    image = load_image(path, preprocessing)[None]

    def encode() -> None:
        with torch.inference_mode():
            encode_images(backbone.model.visual, image, local=("vv",), blocks=(2, 3))

    case = Case(backbone=name, shots=1, test_images=40)
    cell = _cell(case, category, PromptADConfig(epochs=1), "pixel")
    bench = Workbench(cache=None, device="cpu", threads=torch.get_num_threads())
    bench.start_group([cell], (category,))
    outcome = bench.run(cell)
    ledger = Ledger(str(folder / "study"))

    def write() -> None:
        assert outcome.examples is not None
        ledger.append([], {cell.digest: outcome.examples})
        ledger.append([outcome.row])

    return {
        "backbone": name,
        "decode_seconds": machine.seconds(lambda: load_image(path, preprocessing), repeats=20),
        "encode_seconds": machine.seconds(encode, repeats=5),
        "write_seconds": machine.seconds(write, repeats=5),
    }
