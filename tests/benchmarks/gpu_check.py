"""What a card computes and how fast, in eight minutes: one JSON line a section, those of most value first.

    make gpu-check                                     on a machine with a card
    python tests/benchmarks/gpu_check.py --device cpu --backbone tiny     a rehearsal of what needs none

Needs no Ray, no data and no network: features and images are drawn, weights are random. A section that its time does
not allow is named as skipped. ``--page FILE`` writes a page from the lines; `docs/gpu.md` is one.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS.parent), str(TESTS)]

# ruff: noqa: E402
import numpy as np
import torch
from torch.nn.functional import normalize

from promptad.backbones.accelerator import card_of, is_out_of_memory, is_poisoned, settle
from promptad.backbones.backbone import Backbone, load_backbone
from promptad.configs.promptad_config import PromptADConfig
from promptad.features.extraction import Features, ImageInput, extract_features
from promptad.images.preparation import Preprocessing
from promptad.prompts.padded import Padded, Recorded, Shape, forget_recorded, learn_padded
from promptad.prompts.prompt_learning import PromptTraining, begin_training

CLOSE = 1e-4
"""How far a card may be from the CPU, relative to the largest value: features, gradients, five steps."""

IMAGES = 160
"""Test images of a category in the timed cells."""

Facts = dict[str, Any]


class Check:
    """One run: a device, a backbone, and the seconds that are left."""

    def __init__(self, device: str, backbone: str, seconds: float) -> None:
        self.device, self.name = torch.device(device), backbone
        self.on_card = self.device.type == "cuda"
        self._end = time.monotonic() + seconds
        self._backbones: dict[str, Backbone] = {}

    def left(self) -> float:
        """Seconds that are left."""
        return self._end - time.monotonic()

    def backbone(self, device: str | None = None) -> Backbone:
        """The backbone on the card, or on another device."""
        place = device or str(self.device)
        if place not in self._backbones:
            self._backbones[place] = load_backbone(self.name, device=place)
        return self._backbones[place]

    def wait(self) -> None:
        """Until the card has done what was asked."""
        if self.on_card:
            torch.cuda.synchronize()

    def seconds(self, work: Callable[[], object], times: int = 5) -> float:
        """The least seconds of some runs, after one that is not counted."""
        work()
        self.wait()
        best = float("inf")
        for _ in range(times):
            began = time.perf_counter()
            work()
            self.wait()
            best = min(best, time.perf_counter() - began)
        return best

    def training(
        self, *, seed: int = 0, task: str = "image", device: str | None = None, **changes: Any
    ) -> PromptTraining:
        """A training on drawn features of one image."""
        backbone = self.backbone(device)
        view = "global" if task == "image" else "local/vv"
        support = drawn_features(backbone, [view], 1, seed)
        kind: Any = task
        config = PromptADConfig().with_changes(changes)
        return begin_training(backbone, support, config, task=kind, category="hazelnut", seed=seed)


def drawn_features(backbone: Backbone, views: Sequence[str], number: int, seed: int) -> Features:
    """Features of nothing: unit vectors of a seed, the same on every device."""
    generator = torch.Generator().manual_seed(seed)
    visual = backbone.model.visual
    patches, embed = (backbone.image_size // backbone.patch_size) ** 2, int(visual.output_dim)
    width = int(visual.ln_post.weight.shape[0])
    shapes = {view: (embed,) if view == "global" else (patches, embed if "local" in view else width) for view in views}
    found = {
        view: [normalize(torch.randn(shape, generator=generator), dim=-1) for _ in range(number)]
        for view, shape in shapes.items()
    }
    return Features(views=found, device=backbone.device)


def apart(found: torch.Tensor, expected: torch.Tensor) -> float:
    """The largest difference, relative to the largest value."""
    one, other = found.detach().double().cpu(), expected.detach().double().cpu()
    return float((one - other).abs().max() / other.abs().max().clamp(min=1e-30))


def facts(check: Check) -> Facts:
    """The card, and how fast it multiplies at the size of a company."""
    found: Facts = {"torch": torch.__version__, "cpus": os.cpu_count(), "card": card_of(check.device)}
    rows, weight = torch.randn(2752, 640, device=check.device), torch.randn(2560, 640, device=check.device)
    operations = 2 * 2752 * 640 * 2560 / 1e12
    for label, tf32 in (("fp32", False), ("tf32", True)) if check.on_card else (("fp32", False),):
        settle(check.device, tf32=tf32)
        found[f"{label} TFLOP/s"] = round(operations / check.seconds(lambda: rows @ weight.T, 20), 2)
    settle(check.device)
    if check.on_card:
        free, total = torch.cuda.mem_get_info()
        found |= {"memory MB": total // 10**6, "taken by the process MB": (total - free) // 10**6}
    return found


def equality(check: Check) -> Facts:
    """Features, gradients and five steps on the device, against the CPU in this process."""
    found: Facts = {}
    images = [np.random.default_rng(seed).integers(0, 256, (64, 64, 3), dtype=np.uint8) for seed in range(2)]
    for task in ("image", "pixel"):
        one, other = (check.training(task=task, device=device) for device in (str(check.device), "cpu"))
        began = other.learnable()
        for training in (one, other):
            training.loss()[0].backward()
        assert one.prefixes.grad is not None
        assert other.prefixes.grad is not None
        found[f"{task} gradient"] = apart(one.prefixes.grad, other.prefixes.grad)
        for training in (one, other):
            for _ in range(5):
                training.step()
        found[f"{task} five steps"] = apart(one.learnable().cpu() - began, other.learnable() - began)
    views = ["global", "local/vv", "block/2"]
    encoded = [encode(check.backbone(device), images, views) for device in (str(check.device), "cpu")]
    found |= {f"feature {view}": apart(encoded[0][view], encoded[1][view]) for view in views}
    return {
        **{name: f"{value:.1e}" for name, value in found.items()},
        "ok": all(value < CLOSE for value in found.values()),
    }


def encode(backbone: Backbone, images: Sequence[Any], views: Sequence[str]) -> dict[str, torch.Tensor]:
    """Views of images through the tower."""
    preprocessing = Preprocessing(size=backbone.image_size, mean=backbone.mean, std=backbone.std)
    size = backbone.image_size

    def resized(image: Any) -> Any:
        return np.resize(image, (size, size, 3))

    inputs = [
        ImageInput(identity=str(number), pixels=lambda image=image: resized(image))  # type: ignore[misc]
        for number, image in enumerate(images)
    ]
    found = extract_features(backbone, inputs, preprocessing=preprocessing, views=views)
    return {view: torch.stack(list(values)) for view, values in found.views.items()}


def reruns(check: Check) -> Facts:
    """Three runs of the same company, and the same cell at other places: bits; and against each cell alone."""

    def learned(seeds: Sequence[int], at: int = 0) -> torch.Tensor:
        trainings = [check.training(seed=seed, epochs=check_epochs(check)) for seed in seeds]
        learn_padded(trainings)
        return trainings[at].learnable().cpu()

    first = learned([0, 1, 2])
    alone = check.training(epochs=5)
    for _ in range(5):
        alone.step()
    padded = check.training(epochs=5)
    began = padded.learnable()
    learn_padded([padded])
    return {
        "three runs equal": all(torch.equal(first, learned([0, 1, 2])) for _ in range(2)),
        "alone in its company equal": torch.equal(first, learned([0])),
        "last of its company equal": torch.equal(first, learned([2, 1, 0], at=2)),
        "five padded steps against alone": f"{apart(padded.learnable() - began, alone.learnable() - began):.1e}",
    }


def check_epochs(check: Check) -> int:
    """Steps of a rerun: all of a cell's on a card."""
    return 100 if check.on_card else 5


def companies(check: Check) -> Facts:
    """Milliseconds of a step, alone and in companies of growing size, recorded and not; seconds to record."""
    found: Facts = {}
    for label, changes in (
        ("43 nodes", {}),
        ("139 nodes", {"n_normal_prompts_image": 3, "generic_suffixes": "reference"}),
    ):
        alone = check.training(**changes)
        times = 10 if check.on_card else 2
        found[f"{label}, alone"] = {"nodes": len(alone.tree.tokens), "ms a step": ms(check.seconds(alone.step, times))}
        for places in (1, 4, 16, 32, 64) if check.on_card else (1, 4):
            if check.left() < 30:
                break
            shape = dataclasses.replace(Shape.of(alone), places=places)
            for tf32 in (False, True) if check.on_card else (False,):
                settle(check.device, tf32=tf32)
                found[f"{label}, {places} places{', tf32' if tf32 else ''}"] = timed_company(check, alone, shape, times)
        settle(check.device)
    return found


def timed_company(check: Check, like: PromptTraining, shape: Shape, times: int) -> Facts:
    """One company: its step by itself, and as a graph where there are graphs."""
    if check.on_card:
        torch.cuda.reset_peak_memory_stats()
    company = Padded(like, dataclasses.replace(shape, epochs=500))
    company.take([like])
    found: Facts = {"ms a step, unrecorded": ms(check.seconds(company.step, times))}
    if check.on_card:
        began = time.perf_counter()
        recorded = Recorded(company)
        check.wait()
        found["seconds to record"] = round(time.perf_counter() - began, 3)
        found["ms a step"] = ms(check.seconds(recorded.step, times))
        found["peak MB"] = torch.cuda.max_memory_allocated() // 10**6
    step = found.get("ms a step", found["ms a step, unrecorded"])
    return {**found, "ms a cell of 100 steps": round(100 * step / shape.places, 1)}


def ms(seconds: float) -> float:
    """Milliseconds with two digits behind the point."""
    return round(1e3 * seconds, 2)


def encoding(check: Check) -> Facts:
    """Images a second through the tower, and whether an image's bits depend on its place in a batch."""
    number = 64 if check.on_card else 3
    images = [np.random.default_rng(seed).integers(0, 256, (64, 64, 3), dtype=np.uint8) for seed in range(number)]
    views = ["global", "local/vv", "block/2", "block/3"]
    backbone = check.backbone()
    whole, backwards = encode(backbone, images, views), encode(backbone, images[::-1], views)
    one = encode(backbone, images[:1], views)
    took = check.seconds(lambda: encode(backbone, images, views), 3)
    return {
        "images a second": round(number / took, 1),
        "same bits at another place": all(torch.equal(whole[view], backwards[view].flip(0)) for view in views),
        "same bits alone": all(torch.equal(whole[view][:1], one[view]) for view in views),
    }


def cells(check: Check) -> Facts:
    """Whole cells on drawn pictures through the workbench, seconds by stage: the first, and a company of others."""
    from helpers.inspection_set import write_inspection_set

    from promptad.backbones.backbone import weights_digest
    from promptad.backbones.backbone_names import activation_of, parse_backbone
    from promptad.configs.method_config import Task
    from promptad.datasets import data_digest
    from promptad.features.cache import FeatureCache
    from study.bench.workbench import Workbench
    from study.planning.cell_config import tower_facts
    from study.planning.data_source import DataSource
    from study.records.cell import Cell
    from study.records.outcome import Outcome

    name, half = parse_backbone(check.name), IMAGES // 2 if check.on_card else 3
    found: Facts = {}
    with tempfile.TemporaryDirectory() as folder:
        root = write_inspection_set(Path(folder) / "data", ("plate",), train=4, good=half, bad=half, size=512)
        category = DataSource(name="mvtec", layout="mvtec", root=str(root)).open("plate", skip_bad=False)

        def cell(task: Task, number: int) -> Cell:
            config = PromptADConfig(align_weight=0.001 * (number + 1), epochs=check_epochs(check))
            return Cell(
                method="promptad",
                config=config.spelled_out(task, tower_facts(check.name, name)),
                backbone=check.name,
                architecture=name.architecture,
                weights=weights_digest(name),
                activation=activation_of(name) or check.backbone().activation,
                dataset="mvtec",
                category="plate",
                data=data_digest(category),
                shots=1,
                seed=0,
                task=task,
            )

        tasks: tuple[Task, ...] = ("image", "pixel")
        bench = Workbench(cache=FeatureCache(Path(folder)), device=str(check.device), threads=1)
        for task in tasks:
            asked = [cell(task, number) for number in range(33 if check.on_card else 3)]
            bench.start_group(asked, (category,))
            began = time.perf_counter()
            first = bench.run(asked[0])
            found[f"{task}, first cell"] = {"seconds": round(time.perf_counter() - began, 3), **first.row.seconds}
            began = time.perf_counter()
            rows = [result for _, result in bench.run_together(asked[1:])]
            if errors := [result for result in rows if isinstance(result, Exception)]:
                raise errors[0]
            took = (time.perf_counter() - began) / len(rows)
            stages = [row.row.seconds for row in rows if isinstance(row, Outcome)][-1]
            found[f"{task}, {len(rows)} further cells"] = {"seconds a cell": round(took, 4), **stages}
            again = bench.run(asked[0]).row.scores
            found[f"{task}, run again"] = {"equal": again == first.row.scores}
    return found


def memory(check: Check) -> Facts:
    """That a lack of memory is recognised and survived, and an error that is not is recognised too."""
    total = torch.cuda.mem_get_info()[1]
    forget_recorded()
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 64e6) / total)
    try:
        torch.empty(10**9, device="cuda")
        caught = "nothing was raised"
    except RuntimeError as error:
        caught = f"{type(error).__name__}, recognised: {is_out_of_memory(error)}"
    torch.cuda.set_per_process_memory_fraction(1.0)
    check.training().step()
    ran = subprocess.run([sys.executable, __file__, "--poison"], capture_output=True, text=True, check=False)
    return {"lack of memory": caught, "goes on": True, "poison": (ran.stdout or ran.stderr).strip().splitlines()[-1]}


def poison() -> None:
    """In a process of its own: what an index that is out of range does to it."""
    said = []
    for _ in range(2):
        try:
            torch.zeros(4, device="cuda")[torch.tensor([9], device="cuda")].cpu()
            said.append("nothing was raised")
        except RuntimeError as error:
            said.append(f"{type(error).__name__}, recognised: {is_poisoned(error)}")
    print("; then ".join(said))


def processes(check: Check) -> Facts:
    """Steps a second of one process and of four that share the card."""
    found: Facts = {}
    for number in (1, 4):
        command = [sys.executable, __file__, "--steps", "10", "--device", str(check.device), "--backbone", check.name]
        running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(number)]
        rates = [float((process.communicate()[0] or "nan").split()[-1]) for process in running]
        found[f"{number} processes"] = {"steps a second": round(sum(rates), 1)}
    return found


def step_for(check: Check, seconds: float) -> None:
    """Print the steps a second of one training."""
    training, steps = check.training(), 0
    for _ in range(5):
        training.step()
    check.wait()
    began = time.monotonic()
    while time.monotonic() < began + seconds:
        training.step()
        steps += 1
    check.wait()
    print(steps / (time.monotonic() - began))


SECTIONS: Sequence[tuple[Callable[[Check], Facts], float, bool]] = (
    (facts, 0, False),
    (equality, 30, False),
    (reruns, 30, False),
    (companies, 60, False),
    (cells, 90, False),
    (encoding, 30, False),
    (memory, 30, True),
    (processes, 60, True),
)
"""Each section, the seconds that it must have, and whether it needs a card; those of most value first."""


def lines(check: Check) -> Iterator[Facts]:
    """What each section found, as it comes."""
    began = time.monotonic()
    for section, needs, card in SECTIONS:
        name = section.__name__
        if card and not check.on_card:
            yield {"section": name, "skipped": "needs a card"}
            continue
        if check.left() < needs:
            yield {"section": name, "skipped": f"needs {needs:g} s, and {max(check.left(), 0):.0f} are left"}
            continue
        try:
            found = section(check)
        except Exception as error:
            found = {"failed": f"{type(error).__name__}: {error}"[:500]}
        yield {"section": name, "at": round(time.monotonic() - began, 1), **found}


def page(found: Sequence[Facts]) -> str:
    """The lines as a page."""
    blocks = [
        "# What a card computed",
        "Written by `make gpu-check`. Every number of this page was measured in one run.",
    ]
    for line in found:
        blocks.append(f"## {str(line['section']).capitalize()}")
        rest = {name: value for name, value in line.items() if name not in ("section", "at")}
        blocks.append("\n".join(f"- {name}: {spelled(value)}" for name, value in rest.items()))
    return "\n\n".join(blocks) + "\n"


def spelled(value: Any) -> str:
    """A value as text."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {each}" for name, each in value.items())
    return str(value)


def main() -> int:
    """The command line; 1 if a section failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--backbone", default="ViT-B-16-plus-240:random")
    parser.add_argument("--seconds", type=float, default=470, help="seconds for all sections (default: 470)")
    parser.add_argument("--out", type=Path, help="write the JSON lines to this file, too")
    parser.add_argument("--page", type=Path, help="write a page to this file")
    parser.add_argument("--steps", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--poison", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.poison:
        poison()
        return 0
    if torch.device(options.device).type == "cuda" and not torch.cuda.is_available():
        print("error: torch sees no GPU here: rehearse with --device cpu --backbone tiny", file=sys.stderr)
        return 2
    if options.device == "cpu":
        torch.set_num_threads(1)
    check = Check(options.device, options.backbone, options.seconds)
    if options.steps is not None:
        step_for(check, options.steps)
        return 0
    found = []
    for line in lines(check):
        found.append(line)
        print(json.dumps(line), flush=True)
        if options.out is not None:
            with options.out.open("a", encoding="utf-8") as out:
                out.write(json.dumps(line) + "\n")
    if options.page is not None:
        options.page.write_text(page(found), encoding="utf-8")
    return int(any("failed" in line for line in found))


if __name__ == "__main__":
    sys.exit(main())
