"""The driver's record in ``driver.json``: for ``status``, and for the next driver."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self, get_args

from reports.reading.shapes import (
    Document,
    DocumentError,
    check,
    each,
    flag,
    json_object,
    maybe,
    moment,
    number,
    one_of,
    record,
    text,
    whole,
)
from study.records.folder import StudyFolder
from study.records.pulse import NodeUse, RunningCell

RECORD = "driver.json"

STALE = 60.0
"""Seconds without a record after which a driver on another machine counts as dead: twelve missed beats."""

State = Literal["running", "finished", "failed", "stopped", "crashed"]

PROCESS = record({"host": text, "number": whole, "boot": text, "start": text})
_RUNNING = record({"cell": text, "digest": text, "node": text, "process": whole, "since": text})
_NODE = record(
    {"name": text, "alive": flag, "cpus": number, "cpus_used": number, "gpus": number, "gpus_used": number},
    {"reason": text},
)
_FORM = record(
    {
        "schema": one_of(1),
        "run": text,
        "process": PROCESS,
        "user": text,
        "command": each(text),
        "started": moment,
        "heartbeat": moment,
        "state": one_of(*get_args(State)),
        "exit_code": maybe(whole),
        "message": maybe(text),
        **dict.fromkeys(("planned", "to_run", "done", "failed"), whole),
        "running": each(_RUNNING),
        "nodes": each(_NODE),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process, distinguished from others of the same number by machine, boot and start."""

    host: str
    number: int
    boot: str
    start: str

    @classmethod
    def own(cls) -> Self:
        """This process."""
        return cls(host=socket.gethostname(), number=os.getpid(), boot=_boot(), start=_start(os.getpid()))

    def gone(self) -> bool | None:
        """Whether it has ended; None if that cannot be known from this machine."""
        if self.host != socket.gethostname() or not self.start:
            return None
        return self.boot != _boot() or self.start != _start(self.number)


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverRecord:
    """The state of a driver, as it reports it.

    Times are ISO in UTC; ``planned`` to ``failed`` count cells of this run: all; without a row at its start; of these,
    with a row now; with a failed row. ``exit_code`` is None while it runs.
    """

    run: str
    process: Process
    user: str
    command: tuple[str, ...]
    started: str
    heartbeat: str
    state: State = "running"
    exit_code: int | None = None
    message: str | None = None
    planned: int = 0
    to_run: int = 0
    done: int = 0
    failed: int = 0
    running: tuple[RunningCell, ...] = ()
    nodes: tuple[NodeUse, ...] = ()

    @property
    def age(self) -> float:
        """Seconds since the last record, by this machine's clock."""
        return (datetime.now(UTC) - datetime.fromisoformat(self.heartbeat)).total_seconds()

    @property
    def alive(self) -> bool:
        """Whether the driver is alive: by its process on its own machine, by its heartbeat from another."""
        if self.state != "running":
            return False
        gone = self.process.gone()
        return self.age < STALE if gone is None else not gone

    def who(self) -> str:
        """The driver's name in messages."""
        return f"{self.user} on {self.process.host}, process {self.process.number}, since {self.started}"

    def to_json(self) -> bytes:
        """One JSON object."""
        return (json.dumps({"schema": 1, **dataclasses.asdict(self)}, indent=1) + "\n").encode()

    @classmethod
    def from_json(cls, content: bytes) -> Self | None:
        """A record from its JSON form; None if it is damaged or of another version."""
        try:
            return cls.read(content)
        except DocumentError:
            return None

    @classmethod
    def read(cls, content: bytes) -> Self:
        """A record from its JSON form.

        Raises:
            DocumentError: it is damaged or of another version.
        """
        values = json_object(content)
        check(values, _FORM, "not the record of a driver")
        known: dict[str, Any] = {name: values[name] for name in cls.__dataclass_fields__}
        known["process"] = Process(**_fields(Process, values["process"]))
        known["command"] = tuple(values["command"])
        known["running"] = tuple(RunningCell(**_fields(RunningCell, cell)) for cell in values["running"])
        known["nodes"] = tuple(NodeUse(**_fields(NodeUse, node)) for node in values["nodes"])
        return cls(**known)


def _fields(kind: type[Process | RunningCell | NodeUse], values: Document) -> dict[str, Any]:
    """Those keys of a document that a value has; another version may write more."""
    return {field.name: values[field.name] for field in dataclasses.fields(kind) if field.name in values}


def last_record(folder: StudyFolder) -> DriverRecord | None:
    """The record of the folder's present or last driver; None if there is none or it is damaged."""
    return driver_record(folder)[0]


def driver_record(folder: StudyFolder) -> tuple[DriverRecord | None, str | None]:
    """The record of the folder's present or last driver, or what is wrong with it; None twice if there is none."""
    content = folder.read(RECORD)
    try:
        return (None, None) if content is None else (DriverRecord.read(content), None)
    except DocumentError as error:
        return None, str(error)


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _start(process: int) -> str:
    """When a process began, in the kernel's ticks; empty if it does not exist or the system does not report it."""
    try:
        return (
            Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
        )
    except OSError:
        return ""
