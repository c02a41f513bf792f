"""The process that runs a study: its lock on the study folder, and its record there for other processes.

``driver.lock`` names the driver that holds the folder. ``driver.json`` reports every few seconds what it does, and at
the end how it ended: the exit code that ``ray submit`` does not pass on.
"""

from __future__ import annotations

import contextlib
import dataclasses
import getpass
import json
import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from promptad.user_error import UserError
from reports.reading.shapes import DocumentError, check, json_object, record, text
from study.command.exits import FAILED, INTERRUPTED, USAGE
from study.records.driver_record import PROCESS, RECORD, DriverRecord, Process, State, last_record
from study.records.folder import LedgerError, StudyFolder
from study.records.pulse import Pulse

LOCK = "driver.lock"
BEAT = 5.0
"""Seconds between records."""

SETTLE = 1.0
"""Seconds after which a lock that was just taken is read again, where another driver may have taken it too."""


PATIENCE = 15.0
"""Seconds to wait for the next record of a driver on another machine: three beats."""


_CLAIM = record({"run": text, "user": text, "process": PROCESS})


class LockedError(UserError):
    """A study folder that another driver holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Content of a lock: the run that holds the folder, and its process."""

    run: str
    process: Process
    user: str

    def to_json(self) -> bytes:
        """One JSON object."""
        return json.dumps(dataclasses.asdict(self)).encode()

    @classmethod
    def from_json(cls, content: bytes) -> Self | None:
        """A claim from its JSON form; None if it is damaged."""
        try:
            values = json_object(content)
            check(values, _CLAIM, "not a claim")
        except DocumentError:
            return None
        process = {name: values["process"][name] for name in Process.__dataclass_fields__}
        return cls(run=values["run"], user=values["user"], process=Process(**process))


class Driver:
    """This process as the one driver of a study folder, for the length of a ``with`` block.

    Raises:
        LockedError: when entered, if another driver that is alive holds the folder.
    """

    def __init__(self, folder: StudyFolder, say: Callable[[str], None]) -> None:
        self._folder, self._say = folder, say
        now = _now()
        self._record = DriverRecord(
            run=secrets.token_hex(8),
            process=Process.own(),
            user=_user(),
            command=tuple(sys.argv),
            started=now,
            heartbeat=now,
        )
        self._ended, self._changes = threading.Event(), threading.Lock()
        self._beating = threading.Thread(target=self._beat, name="driver-heartbeat", daemon=True)
        self.lost = False

    def __enter__(self) -> Self:
        """Take the folder and begin to write records."""
        self._take()
        try:
            self._tell()
        except BaseException:
            self._let_go()
            raise
        self._beating.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Record how it ended, unless that is recorded already, and release the folder."""
        self._ended.set()
        self._beating.join()
        if self._record.state == "running":
            self.end(*_ending(error))
        self._let_go()

    def plan(self, *, planned: int, to_run: int) -> None:
        """Record how many cells this run has, and how many of them have no row yet."""
        self._change(planned=planned, to_run=to_run)
        with contextlib.suppress(LedgerError):
            self._tell()

    def finished(self, status: str) -> None:
        """Count a row."""
        failed = status == "failed"
        with self._changes:
            self._record = dataclasses.replace(
                self._record, done=self._record.done + (not failed), failed=self._record.failed + failed
            )

    def pulse(self, pulse: Pulse) -> None:
        """Record a progress report of the executor."""
        self._change(running=pulse.running, nodes=pulse.nodes)

    def end(self, state: State, exit_code: int, message: str | None = None) -> None:
        """Record how the run ended."""
        self._change(state=state, exit_code=exit_code, message=message, running=())
        # A full disk must not hide how it ended from the terminal.
        with contextlib.suppress(LedgerError):
            if self._holds():
                self._tell()

    def _change(self, **changes: Any) -> None:
        with self._changes:
            self._record = dataclasses.replace(self._record, **changes)

    def _tell(self) -> None:
        self._change(heartbeat=_now())
        self._folder.write(RECORD, self._record.to_json())

    def _beat(self) -> None:
        while not self._ended.wait(BEAT):
            # A folder that is briefly unreachable does not stop the run; writing a row reports a lasting failure.
            with contextlib.suppress(LedgerError):
                if not self._holds():
                    # A real signal, because it also ends what the main thread waits for.
                    main = threading.main_thread().ident
                    assert main is not None
                    signal.pthread_kill(main, signal.SIGTERM)
                    return
                self._tell()

    def _holds(self) -> bool:
        """Whether this run still holds the folder; once lost, it stays lost."""
        holder = _holder(self._folder)
        self.lost = self.lost or holder is None or holder.run != self._record.run
        return not self.lost

    def _let_go(self) -> None:
        try:
            # A run that was suspended may end before its heartbeat finds that another one took the folder.
            if self._holds():
                self._folder.remove(LOCK)
        except LedgerError as error:
            self._say(str(error))

    def _take(self) -> None:
        claim = Claim(run=self._record.run, process=self._record.process, user=self._record.user)
        sure = self._folder.local_root is not None
        for _ in range(5):
            if not self._folder.create(LOCK, claim.to_json()):
                self._refuse_or_break()
                # Another driver may be breaking the same lock at this moment, and break ours.
                sure = False
                continue
            if not sure:
                time.sleep(SETTLE)
            if _holder(self._folder) == claim:
                return
        raise LockedError(
            f"study folder {self._folder.location} must have one driver at a time, but others keep taking it: try again"
        )

    def _refuse_or_break(self) -> None:
        """Break the lock of a driver that is dead; refuse if it is alive."""
        where = f"study folder {self._folder.location}"
        holder = _holder(self._folder)
        if holder is None:
            self._say(f"{where}: a {LOCK} that names no driver is removed")
        else:
            who = f"{holder.user} on {holder.process.host}, process {holder.process.number}"
            if self._works(holder):
                record = last_record(self._folder)
                since = ""
                if record is not None and record.run == holder.run:
                    since = f" since {record.started} (heard of {max(0.0, record.age):.0f} s ago)"
                raise LockedError(
                    f"{where} must have one driver at a time, but {who}, holds it{since}: wait for it (run.py status "
                    f"shows how far it is), use another --study, or end it with 'kill {holder.process.number}' on "
                    f"{holder.process.host} and run this again, which takes the folder over"
                )
            self._say(f"{where} is taken over from a driver that is dead ({who})")
        if _holder(self._folder) == holder:
            self._folder.remove(LOCK)

    def _works(self, holder: Claim) -> bool:
        """Whether the folder's driver is alive: by its process on this machine, by its heartbeat on another."""
        gone = holder.process.gone()
        if gone is not None:
            return not gone
        deadline = time.monotonic() + PATIENCE
        first: str | None = None
        while True:
            record = last_record(self._folder)
            if record is not None and record.run == holder.run:
                if record.alive:
                    return True
                if record.state != "running":
                    return False
                # Stale by our clock, but clocks differ: a driver that writes a record while we wait is alive.
                first = first or record.heartbeat
                if record.heartbeat != first:
                    return True
            if time.monotonic() >= deadline:
                return False
            # A driver writes its first record right after the lock.
            time.sleep(SETTLE)


def _ending(error: BaseException | None) -> tuple[State, int, str | None]:
    """State, exit code and message of a run that ends with ``error``."""
    if isinstance(error, BrokenPipeError):
        return "stopped", INTERRUPTED, "nobody reads its output any more: the same command continues from there"
    if error is None or isinstance(error, KeyboardInterrupt):
        return "stopped", INTERRUPTED, None
    if isinstance(error, UserError):
        return "failed", USAGE, str(error)
    return "crashed", FAILED, repr(error)


def _holder(folder: StudyFolder) -> Claim | None:
    content = folder.read(LOCK)
    return None if content is None else Claim.from_json(content)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return f"user {os.getuid()}"
