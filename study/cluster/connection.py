"""Connects to Ray: to a running cluster, or to one that starts on this machine and ends with the study."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import IO, Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from promptad.user_error import UserError
from study.cluster.ray_parts import cluster_of_this_machine
from study.codebase import code_digest, folders_in_use
from study.running.execution_options import ClusterOptions

ANSWER_SECONDS = 10.0
"""Seconds within which a cluster's port must answer; otherwise its address counts as wrong."""

PREPARE_SECONDS = 300.0
"""Seconds that a node may take to unpack the project, start a process, and render the embedded set."""


class ClusterError(UserError):
    """A cluster that cannot be reached, or a node that cannot run this code."""


def connect(
    options: ClusterOptions,
    *,
    cpus: int = 1,
    gpus: float | None = None,
    say: Callable[[str], None] = print,
) -> None:
    """Connect this process to Ray; nothing happens if it is connected already.

    The address is ``auto`` (``$RAY_ADDRESS``, else the cluster that ``ray start`` began on this machine, else Ray is
    started here), ``local`` (Ray is started here) or ``HOST:PORT``. Every node of a cluster gets this project's
    packages. An autoscaler receives a request for the awaited nodes, each with room for a trial of ``cpus`` and
    ``gpus``. ``say`` receives each notice as a line.

    Raises:
        ClusterError: nothing answers at the address, the token is wrong, or a node cannot run this code.
    """
    if ray.is_initialized():
        return
    cluster = _find(options.address, say)
    with _own_handlers():
        if cluster is None:
            _init("local", include_dashboard=False)
        else:
            packages = [str(folder) for folder in folders_in_use().values()]
            # Ray sends the token only to an address that it detected itself, or if RAY_AUTH_MODE says so.
            _init(None if options.address == "auto" else cluster, runtime_env={"py_modules": packages})
    if cluster is None:
        if options.nodes > 1:
            say(f"--nodes {options.nodes} does not apply: Ray runs on this machine alone")
        return
    say(f"connected to the Ray cluster at {cluster}")
    _wait_for_nodes(options.nodes, options.wait_seconds, {"CPU": float(cpus), "GPU": gpus or 0.0}, say)
    _check_nodes(embedded=options.embedded)


def _find(address: str, say: Callable[[str], None]) -> str | None:
    """The cluster's HOST:PORT, or None where Ray is to be started on this machine."""
    # Ray takes this word there, for a cluster that must run on this machine; here it is what no word means.
    if os.environ.get("RAY_ADDRESS") == "auto":
        del os.environ["RAY_ADDRESS"]
    if address == "local":
        return None
    named = os.environ.get("RAY_ADDRESS") if address == "auto" else address
    if named == "local":
        return None
    found: str | None = named or cluster_of_this_machine()
    if found is None:
        say("no Ray cluster runs here: Ray is started on this machine")
        return None
    host, _, port = found.rpartition(":")
    if not host or not port.isdigit() or "/" in host:
        raise ClusterError(f"a cluster's address must be auto, local or HOST:PORT, but got {found!r}")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_SECONDS).close()
    except OSError as error:
        if named is None:
            say(f"the Ray cluster that ran at {found} is gone ({error}): Ray is started on this machine")
            return None
        raise ClusterError(
            f"no Ray cluster answers at {found}: {error}; 'ray status' on its head shows whether it runs"
        ) from error
    return found


@contextlib.contextmanager
def _own_handlers() -> Iterator[None]:
    """Keep our handler of SIGTERM: Ray's own ends the process without a message."""
    on_termination = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, on_termination)


def _init(address: str | None, **options: Any) -> None:
    with tempfile.TemporaryFile() as said, _standard_error_to(said if address != "local" else None):
        try:
            ray.init(address, log_to_driver=False, logging_level="ERROR", configure_logging=True, **options)
        # Ray's start uses folders, sockets, ports and processes, and can raise whatever one of them raises.
        except Exception as error:
            if address == "local":
                raise ClusterError(
                    f"Ray cannot be started on this machine: {_one_line(error)}. It needs a folder with a short path "
                    f"that can be written, which is now {_scratch()} (set RAY_TMPDIR=/tmp/ray, and another HOME where "
                    "that is read-only), room in /dev/shm and free ports; --executor serial runs without Ray"
                ) from error
            said.seek(0)
            last = said.read().decode(errors="replace").strip().rpartition("\n")[2].rpartition(": ")[2]
            raise ClusterError(
                f"Ray cannot be used: {_one_line(error)}{last and f' ({last})'}. If the cluster asks for a token, it "
                "must be in ~/.ray/auth_token here, and RAY_AUTH_MODE=token be set where --address names the cluster "
                "(docs/cluster.md); --address local starts Ray on this machine, --executor serial runs without it"
            ) from error


def _scratch() -> str:
    return os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"


@contextlib.contextmanager
def _standard_error_to(file: IO[bytes] | None) -> Iterator[None]:
    """Redirect the output of Ray's core, which bypasses Python, to ``file``."""
    if file is None:
        yield
        return
    sys.stderr.flush()
    kept = os.dup(2)
    os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)


def _wait_for_nodes(nodes: int, seconds: float, trial: dict[str, float], say: Callable[[str], None]) -> None:
    """Return when enough nodes are there, or when the time is up."""
    deadline = time.monotonic() + seconds
    alive = _alive()
    request = None
    if len(alive) < nodes:
        say(f"{len(alive)} of {nodes} nodes are there: waiting for the others, at most {seconds:g} s")
        # An autoscaler starts nodes for work that waits. This request is withdrawn below, and when this process dies.
        fitting = nodes - sum(any(node["Resources"].get(kind, 0) < trial[kind] for kind in trial) for node in alive)
        if fitting > 0:
            request = ray.util.placement_group([{k: v for k, v in trial.items() if v}] * fitting, "STRICT_SPREAD")
    while len(alive) < nodes and time.monotonic() < deadline:
        time.sleep(1.0)
        alive = _alive()
    if request is not None:
        ray.util.remove_placement_group(request)
    if len(alive) < nodes:
        say(f"going on with {len(alive)} of {nodes} nodes; others may still join")


def _alive() -> list[dict[str, Any]]:
    return [node for node in ray.nodes() if node["Alive"]]


def _check_nodes(*, embedded: bool) -> None:
    """Check once which code each node's processes import; a node that dies meanwhile is skipped.

    Raises:
        ClusterError: a node has other code, or starts no process.
    """
    own = code_digest()
    ask = ray.remote(_prepare_node)
    asked = {}
    for node in _alive():
        there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        asked[ask.options(num_cpus=0, max_retries=0, scheduling_strategy=there).remote(embedded)] = node
    answered, silent = ray.wait(list(asked), num_returns=len(asked), timeout=PREPARE_SECONDS)
    problems = {asked[answer]["NodeID"]: f"did not answer in {PREPARE_SECONDS:g} s" for answer in silent}
    for answer in answered:
        try:
            found = ray.get(answer)
        except ray.exceptions.RayError as error:
            problems[asked[answer]["NodeID"]] = f"cannot be used: {_one_line(error)}"
        else:
            if found != own:
                problems[asked[answer]["NodeID"]] = f"imports other code, {found} instead of {own}"
    told = [
        f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']}) {problems[node['NodeID']]}"
        for node in _alive()
        if node["NodeID"] in problems
    ]
    if told:
        raise ClusterError(
            f"every node must run this code, but {'; '.join(told)}. See 'Updating code' in docs/cluster.md"
        )


def _prepare_node(embedded: bool) -> str:
    """On a node: render the embedded data if needed; return the digest of its code."""
    if embedded:
        # Loads torch, which takes a node some time.
        from study.planning.data_source import SYNTHETIC, parse_source

        parse_source(SYNTHETIC)
    return code_digest()


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[-500:]
