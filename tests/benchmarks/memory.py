"""A worker's peak memory, the cache's size per image, and a second cell on a warm cache, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

CASES = (("tiny", 40), ("tiny", 640), ("ViT-B-16-plus-240:random", 20))


def measure() -> list[dict[str, Any]]:
    """One entry per backbone and number of test images."""
    entries = []
    for backbone, images in CASES:
        command = [sys.executable, __file__, backbone, str(images)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        entries.append(json.loads(done.stdout.splitlines()[-1]))
    return entries


def _measure(name: str, images: int) -> dict[str, Any]:
    from cells import Case, _cell
    from inspection_set import write_inspection_set

    from promptad.cache import FeatureCache
    from promptad.config import PromptADConfig
    from study.sources import DataSource
    from study.workbench import Workbench

    with tempfile.TemporaryDirectory() as folder:
        root = write_inspection_set(
            Path(folder) / "data", ("plate",), train=1, good=images // 2, bad=images // 2, size=300
        )
        category = DataSource(name="mvtec", layout="mvtec", root=str(root)).open("plate", skip_bad=False)
        case = Case(backbone=name, shots=1, test_images=images)
        cells = [_cell(case, category, PromptADConfig(align_weight=weight), "pixel") for weight in (0.001, 0.01)]
        cache = FeatureCache(Path(folder) / "cache")
        seconds = []
        for cell in cells:
            bench = Workbench(cache=cache, device="cpu", threads=2)
            bench.start_group([cell], category)
            seconds.append(bench.run(cell).row.seconds["total"])
        weights = sum(p.numel() * p.element_size() for p in bench._bench.model.parameters())
        return {
            "backbone": name,
            "test_images": images,
            "weights_bytes": weights,
            "peak_bytes": _peak(),
            "cache_bytes_per_image": cache.info().size / (images + 1),
            "first_cell_seconds": seconds[0],
            "second_cell_seconds": seconds[1],
        }


def _peak() -> int:
    """This process's largest resident size in bytes (getrusage would report the parent's from before exec)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("/proc/self/status has no VmHWM: this benchmark needs Linux")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    print(json.dumps(_measure(sys.argv[1], int(sys.argv[2]))))
