"""A worker's peak memory, the cache's size per image, and a second cell on a warm cache, in a process of its own.

Private memory is what the worker alone has to have; the rest of its resident pages are files (libraries, the feature
cache), shared with the node's other workers and dropped by the kernel when memory is short.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

CASES = (("tiny", 40), ("tiny", 640), ("tiny", 2560), ("ViT-B-16-plus-240:random", 20))


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
    from helpers.inspection_set import write_inspection_set

    from promptad.configs.promptad_config import PromptADConfig
    from promptad.features.cache import FeatureCache
    from study.bench.workbench import Workbench
    from study.planning.data_source import DataSource

    libraries, peak = _status("RssAnon"), _PrivatePeak()
    with tempfile.TemporaryDirectory() as folder, peak:
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
            bench.start_group([cell], (category,))
            seconds.append(bench.run(cell).row.seconds["total"])
        weights = sum(p.numel() * p.element_size() for p in bench._bench.model.parameters())
        return {
            "backbone": name,
            "test_images": images,
            "weights_bytes": weights,
            "libraries_bytes": libraries,
            "private_bytes": peak.bytes,
            "resident_bytes": _status("VmHWM"),
            "cache_bytes_per_image": cache.info().size / (images + 1),
            "first_cell_seconds": seconds[0],
            "second_cell_seconds": seconds[1],
        }


class _PrivatePeak:
    """The largest private memory of this process in a ``with`` block, looked at every few milliseconds."""

    def __enter__(self) -> None:
        self.bytes, self._stop = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.is_set():
            self.bytes = max(self.bytes, _status("RssAnon"))
            time.sleep(0.005)


def _status(key: str) -> int:
    """A size of this process in bytes (getrusage would report the parent's from before exec)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {key}: this benchmark needs Linux")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    print(json.dumps(_measure(sys.argv[1], int(sys.argv[2]))))
