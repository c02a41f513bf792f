"""How the command line ends: its exit codes, and which errors are a user's to mend."""

FAILED = 1
"""Some cells failed; they are rows with reasons."""

USAGE = 2
"""The request cannot run as asked."""

INTERRUPTED = 130
"""Stopped by Ctrl-C or a polite kill."""


def tells_what_to_do(error: BaseException) -> bool:
    """Whether an error is one of ours: a ValueError of this project, whose message says what to do."""
    home = type(error).__module__.partition(".")[0]
    return isinstance(error, ValueError) and home in ("study", "promptad", "ablations", "reports")
