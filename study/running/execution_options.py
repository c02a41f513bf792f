"""Execution options as frozen values: the command line builds them once, and every executor reads them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from promptad.features.cache_folder import DEFAULT_CAP, default_root
from study.records.pulse import OnPulse

if TYPE_CHECKING:
    from promptad.features.cache import FeatureCache
    from study.running.dispatcher import OnFinished

Executor: TypeAlias = Literal["ray", "serial"]
RequireData: TypeAlias = Literal["all", "any"]
"""How to treat a node without the data or weights: stop the run (``all``), or leave the node out (``any``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheSettings:
    """The root of the feature cache, and how many bytes it may hold."""

    root: Path = field(default_factory=default_root)
    cap: int = DEFAULT_CAP

    def feature_cache(self) -> FeatureCache:
        """The cache itself, in this process."""
        # Loads torch, which a command line must not.
        from promptad.features.cache import FeatureCache

        return FeatureCache(self.root, cap=self.cap)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterOptions:
    """Which Ray cluster runs the cells, and how long to wait for its nodes.

    ``address`` is ``auto``, ``local`` or ``HOST:PORT``. At most ``wait_seconds`` pass until ``nodes`` are there.
    ``embedded``: every node renders the embedded data into its own cache.
    """

    address: str = "auto"
    nodes: int = 1
    wait_seconds: float = 300.0
    embedded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionOptions:
    """The executor, its resources and its limits.

    ``cpus`` and ``gpus`` are those of one worker; torch uses as many threads as there are ``cpus``. ``gpus`` None: a
    quarter of a GPU where there are any, else none. At most ``company`` cells learn together, None: as many as serve
    the device. ``cell_timeout`` is in seconds, None: no limit (Ray only).
    """

    executor: Executor = "ray"
    cpus: int = 1
    gpus: float | None = None
    company: int | None = None
    cache: CacheSettings = field(default_factory=CacheSettings)
    cell_timeout: float | None = None
    require_data: RequireData = "any"
    cluster: ClusterOptions = field(default_factory=ClusterOptions)


def say_nothing(_: str) -> None:
    """Say nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listeners:
    """Receivers of a run's news: each finished cell, a pulse every few seconds, and notices for the user."""

    on_finished: OnFinished
    on_pulse: OnPulse | None = None
    on_notice: Callable[[str], None] = say_nothing
