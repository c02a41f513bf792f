"""Functions and classes that a table names by their address, ``module:name``, and that are loaded on first use."""

from __future__ import annotations

import importlib
from typing import Any

from promptad.user_error import UserError


class MissingPartError(UserError):
    """An entry of a table whose function or class is not where the entry says."""


def part_at(address: str, whose: str) -> Any:
    """What lies at ``module:name``; ``whose`` says which entry names it: "the factory of method promptad".

    Raises:
        MissingPartError: the address has another form, or there is no such module or name. A module that exists and
            cannot be imported raises its own error.
    """
    module, _, name = address.partition(":")
    if not module or not name:
        raise MissingPartError(f"{whose} must be an address of the form module:name, but is {address!r}")
    try:
        home = importlib.import_module(module)
    except ModuleNotFoundError as error:
        # A module that is there may itself import one that is not: that is another error.
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise MissingPartError(f"{whose} must be at {address}, but there is no module {error.name}") from error
    if not hasattr(home, name):
        raise MissingPartError(f"{whose} must be at {address}, but {module} has no {name}")
    return getattr(home, name)
