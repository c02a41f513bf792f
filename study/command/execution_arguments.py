"""The execution options of the command line as frozen values."""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass

from promptad.features.cache_folder import default_root
from study.command.arguments import UsageError
from study.planning.data_source import SYNTHETIC
from study.running.execution_options import CacheSettings, ClusterOptions, ExecutionOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchOptions:
    """How the trials of a search run, and what happens to the best of them.

    ``trials`` is their total number; no new one begins after ``timeout`` seconds (None: no limit). The winners run
    again on ``fresh`` seeds. ``promote`` is the name under which the best config is stored (None: it is not).
    """

    execution: ExecutionOptions
    trials: int
    timeout: float | None
    fresh: int
    promote: str | None


def search_options(options: argparse.Namespace) -> SearchOptions:
    """The search options of the command line of ``search``.

    Raises:
        UsageError: an option that is out of its domain.
    """
    return SearchOptions(
        execution=execution_options(options),
        trials=options.trials,
        timeout=options.timeout,
        fresh=options.fresh,
        promote=options.promote,
    )


def execution_options(options: argparse.Namespace) -> ExecutionOptions:
    """The execution options of the command line of ``run`` and ``search``.

    Raises:
        UsageError: names every option that is out of its domain.
    """
    _check_execution(options)
    return ExecutionOptions(
        executor=options.executor,
        cpus=options.cpus_per_trial,
        gpus=options.gpus_per_trial,
        company=options.company,
        # Workers have another current folder.
        cache=CacheSettings(root=default_root().absolute(), cap=int(options.cache_gb * 2**30)),
        cell_timeout=options.cell_timeout * 60 or None,
        require_data=options.require_data,
        cluster=ClusterOptions(
            address=options.address,
            nodes=options.nodes,
            wait_seconds=options.nodes_timeout,
            embedded=options.data == SYNTHETIC,
        ),
    )


def _check_execution(options: argparse.Namespace) -> None:
    problems = []
    if options.cpus_per_trial < 1:
        problems.append(f"--cpus-per-trial must be at least 1, but got {options.cpus_per_trial}")
    if options.gpus_per_trial is not None and not 0 <= options.gpus_per_trial < math.inf:
        problems.append(f"--gpus-per-trial must be at least 0, but got {options.gpus_per_trial}")
    if options.company is not None and options.company < 1:
        problems.append(f"--company must be at least 1, but got {options.company}")
    if not 0 <= options.cell_timeout < math.inf:
        problems.append(f"--cell-timeout must be at least 0 minutes, but got {options.cell_timeout}")
    if not 0 < options.cache_gb < math.inf:
        problems.append(f"--cache-gb must be above 0, but got {options.cache_gb}")
    if options.nodes < 1:
        problems.append(f"--nodes must be at least 1, but got {options.nodes}")
    if not 0 <= options.nodes_timeout < math.inf:
        problems.append(f"--nodes-timeout must be at least 0, but got {options.nodes_timeout}")
    if options.study.startswith("memory:"):
        problems.append(f"--study must outlive this process, but {options.study} is in its memory: name a folder")
    if problems:
        raise UsageError("; ".join(problems))
