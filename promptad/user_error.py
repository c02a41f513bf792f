"""The one base of all errors that a user can mend."""

from collections.abc import Sequence


class UserError(ValueError):
    """Something that the user can mend: the message says what is wrong, and the command line prints it alone.

    ``problems`` are the sentences of a message that reports several at once, else the message itself. An error that is
    none of these is a fault of this project, and keeps its traceback.
    """

    def __init__(self, message: str, problems: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems) or (message,)
