"""The authors' released code itself against this project: one category, one shot, image task, in one run.

    python tests/benchmarks/released.py --released PATH [--images 160]

PATH is a checkout of the released code, which is no part of this project. Beside this project's packages it needs
opencv-python-headless, loguru and scikit-image. Both sides run ViT-B/16+ with random weights in fp32 on the CPU, on the
same rendered pictures. Of the released code one epoch is measured and extrapolated to its 100; it trains and evaluates
in each. Ours is a cell with an empty cache, then cells with other values of lambda in one company.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS.parent), str(TESTS), str(TESTS / "benchmarks")]

CATEGORY = "screw"
BACKBONE = "ViT-B-16-plus-240"
EPOCHS = 100
FURTHER = 16
SIDE = 1024
"""Pictures have MVTec's size, to which the released code resizes each anyway."""


def released_once(checkout: Path, work: Path) -> None:
    """In a process and a folder of its own: the released training of one epoch; prints seconds as JSON."""
    began = time.perf_counter()
    sys.path.insert(0, str(checkout))
    os.chdir(work)
    import torch
    import train_cls  # type: ignore[import-not-found]
    from PromptAD import CLIPAD, model  # type: ignore[import-not-found]

    create, fit, found = CLIPAD.create_model_and_transforms, train_cls.fit, {}

    def with_random_weights(model_name: str, **_: object) -> Any:
        torch.manual_seed(0)
        made = create(model_name=model_name, pretrained=None, precision="fp32")
        # Their code in fp32 asks for an attribute of this name.
        made[0].logit_scalef = made[0].logit_scale
        return made

    def timed(*arguments: Any, **options: Any) -> Any:
        start = time.perf_counter()
        result = fit(*arguments, **options)
        found["epoch"] = time.perf_counter() - start
        return result

    CLIPAD.create_model_and_transforms = with_random_weights
    # Their class sets fp16 whatever is asked for.
    model.PromptAD.precision = property(lambda _: "fp32", lambda *_: None)
    train_cls.fit = timed
    sys.argv = ["train_cls.py", "--class_name", CATEGORY, "--use-cpu", "1", "--Epoch", "1"]
    arguments = train_cls.get_args()
    train_cls.main(arguments)
    print(json.dumps({**found, "process": time.perf_counter() - began}))


def lay_out(root: Path, images: int) -> Path:
    """The pictures as both sides read them, below ``root``; the folder in which the released code runs."""
    from helpers.inspection_set import write_inspection_set

    work = root / "released"
    data = work / "anomaly_detection" / "mvtec_anomaly_detection"
    write_inspection_set(data, (CATEGORY,), train=1, good=images // 2, bad=images - images // 2, size=SIDE)
    seeds = work / "datasets" / "seeds_mvtec" / CATEGORY
    seeds.mkdir(parents=True)
    (seeds / "selected_samples_per_run.txt").write_text("#1: 0\n", encoding="utf-8")
    return work


def ours(data: Path, folder: Path, protocol: str) -> dict[str, Any]:
    """Seconds of a first cell and of further ones in company, under the paper's or the released protocol."""
    import torch

    from promptad.backbones.backbone import weights_digest
    from promptad.backbones.backbone_names import activation_of, parse_backbone
    from promptad.configs.promptad_config import PromptADConfig
    from promptad.configs.protocol import protocol_config
    from promptad.datasets import data_digest
    from promptad.features.cache import FeatureCache
    from study.bench.workbench import Workbench
    from study.planning.cell_config import tower_facts
    from study.planning.data_source import DataSource
    from study.records.cell import Cell
    from study.records.outcome import Outcome

    text = f"{BACKBONE}:random"
    name = parse_backbone(text)
    category = DataSource(name="mvtec", layout="mvtec", root=str(data)).open(CATEGORY, skip_bad=False)
    base = PromptADConfig() if protocol == "paper" else protocol_config("reference")
    base = base.with_changes({"precision": "fp32", "selection": "last", "epochs": EPOCHS})
    cells = [
        Cell(
            method="promptad",
            config=base.with_changes({"align_weight": 0.001 * number}).spelled_out("image", tower_facts(text, name)),
            backbone=text,
            architecture=name.architecture,
            weights=weights_digest(name),
            activation=activation_of(name) or "gelu",
            dataset="mvtec",
            category=CATEGORY,
            data=data_digest(category),
            shots=1,
            seed=0,
            task="image",
        )
        for number in range(1, FURTHER + 2)
    ]
    bench = Workbench(cache=FeatureCache(folder), device="cpu", threads=torch.get_num_threads())
    bench.start_group(cells, (category,))
    first = bench.run(cells[0]).row.seconds
    began = time.perf_counter()
    results = [result for _, result in bench.run_together(cells[1:])]
    further = (time.perf_counter() - began) / len(results)
    outcomes = [result for result in results if isinstance(result, Outcome)]
    if len(outcomes) < len(results):
        raise SystemExit(f"cells failed: {[result for result in results if not isinstance(result, Outcome)]}")
    alone = bench.run(cells[-1]).row
    return {
        "first": first["total"],
        "features of the first": first["features"],
        "further": further,
        "further, alone": alone.seconds["total"],
        "company": [outcome.row.provenance.get("company", 1) for outcome in outcomes][-1],
        "equal": alone.test_images == outcomes[-1].row.test_images,
    }


def main() -> None:
    """Run both sides, and print their ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--released", type=Path, required=True, help="a checkout of the released code")
    parser.add_argument("--images", type=int, default=160, help="test images (default: 160)")
    parser.add_argument("--protocol", choices=("paper", "released"), help="ours under this one alone (default: both)")
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    checkout = options.released.resolve()
    if options.work is not None:
        released_once(checkout, options.work)
        return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        work = lay_out(root, options.images)
        command = [sys.executable, __file__, "--released", str(checkout), "--work", str(work)]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        if ran.returncode:
            raise SystemExit(f"the released code failed:\n{ran.stderr[-3000:]}")
        theirs = json.loads(ran.stdout.splitlines()[-1])
        print(json.dumps({"released": theirs, "its 100 epochs": EPOCHS * theirs["epoch"]}), flush=True)
        data = work / "anomaly_detection" / "mvtec_anomaly_detection"
        for protocol in ("paper", "released") if options.protocol is None else (options.protocol,):
            found = ours(data, root / f"cache-{protocol}", protocol)
            ratios = {f"{each} ratio": EPOCHS * theirs["epoch"] / found[each] for each in ("first", "further")}
            print(json.dumps({"protocol": protocol, **found, **ratios}), flush=True)


if __name__ == "__main__":
    main()
