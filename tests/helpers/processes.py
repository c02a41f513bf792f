"""The machine's processes, as Linux tells of them; only ever those below a given one, or with a given mark."""

import time
from collections.abc import Callable, Collection
from pathlib import Path


def table() -> dict[int, tuple[int, str]]:
    """Number -> (parent, command line) of every live process."""
    found = {}
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                state, parent = (process / "stat").read_text().rpartition(")")[2].split()[:2]
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            except OSError:
                continue
            if state not in "ZX":
                found[int(process.name)] = (int(parent), command)
    return found


def below(ancestor: int) -> dict[int, str]:
    """Number -> command line of every live process below ``ancestor``."""
    processes = table()
    found = {}
    for number, (_, command) in processes.items():
        above = number
        while above in processes and above != ancestor:
            above = processes[above][0]
        if above == ancestor and number != ancestor:
            found[number] = command
    return found


def marked(mark: str) -> dict[int, str]:
    """Number -> command line of every live process that inherited ``mark`` in its environment."""
    found = {}
    for number, (_, command) in table().items():
        try:
            if mark.encode() in Path(f"/proc/{number}/environ").read_bytes():
                found[number] = command
        except OSError:
            continue
    return found


def await_none(find: Callable[[], Collection[object]], seconds: float) -> float:
    """Wait until ``find()`` is empty; returns how many seconds that took."""
    start = time.monotonic()
    while left := find():
        assert time.monotonic() - start < seconds, f"after {seconds} s there are still {left}"
        time.sleep(0.1)
    return time.monotonic() - start
