"""Makes the streams and the environment that the process inherited fit for a command."""

from __future__ import annotations

import io
import os
import sys


def prepare() -> None:
    """Make the process independent of the terminal, the locale and the notebook that started it.

    Closed streams lead nowhere, as a file that is opened would take their numbers, and with them what other code prints
    to them. What a stream's encoding does not have is printed as a question mark. Figures are files: the backend that a
    notebook names for its own is often not even installed here, and matplotlib would refuse to begin.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, os.fdopen(number, "w" if number else "r", encoding="utf-8", closefd=False))
        elif name != "stdin" and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    os.environ["MPLBACKEND"] = "agg"


def drop_output() -> None:
    """Discard all further output, once nobody reads it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
