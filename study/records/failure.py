"""Why a cell did not finish, and for which reasons it is tried again alone on a whole device.

``study.running.worker.failure_of`` tells an error from a lack of memory, ``study.running.dispatcher`` finds workers
that died or took too long, and ``study.running.rounds`` what was lost with many nodes or could not begin.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["error", "memory", "device", "death", "timeout"]

REMEDIES: dict[Kind, str] = {
    "error": "run again to retry",
    "memory": "use a larger device, a smaller backbone, or a smaller map_size",
    "device": "look for the card's errors in the machine's log (dmesg, nvidia-smi -q)",
    "death": (
        "if the kernel's or Ray's memory killer ended it, use a machine with more memory or a smaller backbone; "
        "else see the worker's log in Ray's session folder for a crash"
    ),
    "timeout": "if it was still working, raise --cell-timeout or give it more with --cpus-per-trial",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What stopped a cell. ``error`` is tried again at once; the other kinds once more, alone, after all others."""

    kind: Kind
    reason: str

    @property
    def poisons(self) -> bool:
        """Whether the process in which it happened can compute no more."""
        return self.kind == "device"

    @property
    def needs_room(self) -> bool:
        """Whether it is tried again alone, with a whole device to itself."""
        return self.kind != "error"


def last_words(failure: Failure, earlier: str | None) -> str:
    """The reason in a failed row: what happened both times, and what to do."""
    if earlier is None:
        return failure.reason
    return f"{failure.reason} (alone, with a whole device to itself); before, among others: {earlier}. " + (
        f"What to do: {REMEDIES[failure.kind]}"
    )
