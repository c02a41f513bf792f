"""Loads functions and classes that a table names by address, ``module:name``, on first use."""

from __future__ import annotations

import importlib
from typing import Any

from promptad.user_error import UserError


class MissingPartError(UserError):
    """An entry of a table whose function or class does not exist at its address."""


def part_at(address: str, whose: str) -> Any:
    """The object at ``module:name``; ``whose`` describes the entry: "the factory of method promptad".

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
