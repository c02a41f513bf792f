"""A progress report of an executor: the cells in flight, and the nodes they run on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningCell:
    """A cell that a worker computes now; ``since`` is an ISO time in UTC."""

    cell: str
    digest: str
    node: str
    process: int
    since: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeUse:
    """A machine of the cluster: its resources, and those in use. ``reason``: why it is left out, if it is."""

    name: str
    alive: bool
    cpus: float
    cpus_used: float
    gpus: float
    gpus_used: float
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """One report of an executor."""

    running: tuple[RunningCell, ...]
    nodes: tuple[NodeUse, ...]


OnPulse: TypeAlias = Callable[[Pulse], None]
