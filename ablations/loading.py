"""Ablations and search spaces by name: of the project, or a user's own from a Python file."""

from __future__ import annotations

import contextlib
import runpy
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from ablations.catalogue import CATALOGUE, DEFAULT, GROUPS
from ablations.ours.ready_spaces import SPACES
from ablations.spaces import Space, SpaceError
from ablations.spec import Ablation, AblationError

T = TypeVar("T")


class UnknownAblationError(AblationError):
    """A name that no ablation has."""


def named_ablations(names: Sequence[str]) -> tuple[Ablation, ...]:
    """The ablations that a user names: of the catalogue, a group of it, or all that a ``.py`` file defines.

    Raises:
        UnknownAblationError: a name that no ablation has.
        AblationError: a file that cannot be run or defines none, or two ablations with one name.
    """
    found: dict[str, Ablation] = {}
    unknown = []
    for name in names or DEFAULT:
        if name in GROUPS:
            found |= {member: CATALOGUE[member] for member in GROUPS[name]}
        elif name.endswith(".py"):
            for ablation in _defined_in(name):
                if found.get(ablation.name, ablation) != ablation or ablation.name in CATALOGUE:
                    raise AblationError(f"{name} defines {ablation.name}, but there is one of that name: rename it")
                found[ablation.name] = ablation
        elif name in CATALOGUE:
            found[name] = CATALOGUE[name]
        else:
            unknown.append(name)
    if unknown:
        raise UnknownAblationError(
            f"no ablation is called {', '.join(unknown)}; there are {', '.join((*CATALOGUE, *GROUPS))}, or a file of "
            "your own (my_ablation.py); plan --list tells what they are"
        )
    return tuple(found.values())


def listing() -> str:
    """Every name of the catalogue with its title, one a line."""
    width = max(len(name) for name in CATALOGUE)
    lines = [f"{ablation.name:<{width}}  {ablation.title}" for ablation in CATALOGUE.values()]
    groups = [f"{name:<{width}}  {', '.join(members)}" for name, members in GROUPS.items() if name != "all"]
    return "\n".join([*lines, *groups, f"{'all':<{width}}  all of these"])


def named_space(name: str) -> Space:
    """The search space that a user names: a ready one, or the one that a ``.py`` file defines.

    Raises:
        SpaceError: a name that no space has, or a file that cannot be run or does not define exactly one.
    """
    if name.endswith(".py"):
        spaces = _values(name, Space, "search spaces", SpaceError)
        if len(spaces) != 1 or spaces[0].name in SPACES:
            names = ", ".join(space.name for space in spaces) or "none"
            raise SpaceError(
                f"{name} must define one search space (a variable that is a Space, docs/search.md) with a name other "
                f"than {', '.join(SPACES)}, but defines {names}"
            )
        return spaces[0]
    if name not in SPACES:
        raise SpaceError(
            f"no search space is called {name}; there are {', '.join(SPACES)}, or a file of your own (my_space.py)"
        )
    return SPACES[name]


def _defined_in(name: str) -> list[Ablation]:
    found = _values(name, Ablation, "ablations", AblationError)
    if not found:
        raise AblationError(f"{name} must define ablations: a variable that is an Ablation (docs/ablations.md)")
    names = [ablation.name for ablation in found]
    if repeated := sorted({each for each in names if names.count(each) > 1}):
        raise AblationError(f"{name} must give every ablation its own name, but repeats {', '.join(repeated)}")
    return found


def _values(name: str, kind: type[T], what: str, problem: type[ValueError]) -> list[T]:
    """The variables of one type in a Python file; equal ones once."""
    path = Path(name)
    if not path.is_file():
        raise problem(f"{name} must be a Python file that defines {what}, but there is no such file")
    variables: dict[str, object]
    try:
        with _beside(path.resolve().parent):
            variables = runpy.run_path(str(path))
    except SystemExit as error:
        raise problem(f"{name} must define {what} and go on, but it ended the program (exit {error.code})") from error
    except Exception as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        line = getattr(error, "lineno", None) or (lines[-1] if lines else "?")
        raise problem(f"{name}, line {line}: {type(error).__name__}: {error}") from error
    found: list[T] = []
    for value in variables.values():
        if isinstance(value, kind) and value not in found:
            found.append(value)
    return found


@contextlib.contextmanager
def _beside(folder: Path) -> Iterator[None]:
    """Let a file import the modules beside it, as when Python runs it; afterwards they are unloaded."""
    known = set(sys.modules)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(str(folder))
        for name in sys.modules.keys() - known:
            origin = getattr(sys.modules[name], "__file__", None)
            if origin is not None and Path(origin).resolve().parent == folder:
                del sys.modules[name]
