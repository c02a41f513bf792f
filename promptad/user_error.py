"""The base of all errors that a user can correct."""

from collections.abc import Sequence


class UserError(ValueError):
    """An error that the user can correct; the command line prints its message alone.

    ``problems`` are the sentences of a message that reports several at once, else the message itself. Any other
    error is a fault of this project, and keeps its traceback.
    """

    def __init__(self, message: str, problems: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems) or (message,)
