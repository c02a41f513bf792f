"""Search spaces as data: parameters, their domains, and conditions on the values of other parameters.

A user's own space is a ``Space`` in a Python file, as an own ablation is.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ablations.domains import Choice, FloatRange, IntRange
from ablations.spec import in_tower
from promptad.configs.method_config import ConfigError, UnmetNeedError
from promptad.configs.promptad_config import PromptADConfig
from promptad.user_error import UserError

BESIDE_CONFIG = ("backbone", "shots")
"""Names that a parameter may set besides config fields."""

Params = Mapping[str, object]
"""Values of the active parameters by name, as Optuna holds them."""


class SpaceError(UserError):
    """A search space with errors; the message lists all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """A parameter that matters only where ``parent`` has one of ``values``."""

    parent: str
    values: tuple[object, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """Something that a search varies: it sets ``fields`` of the config to its value, or applies its level's changes.

    ``label`` is for people. A ``Choice`` may also set ``backbone`` and ``shots``.
    """

    name: str
    label: str
    domain: FloatRange | IntRange | Choice
    fields: tuple[str, ...] = ()
    when: When | None = None

    def changes(self, value: object) -> dict[str, Any]:
        """The config fields that ``value`` sets."""
        if isinstance(self.domain, Choice):
            return dict(next(level.changes for level in self.domain.levels if level.value == value))
        return dict.fromkeys(self.fields, value)

    def active(self, params: Params) -> bool:
        """Whether the parameter is active, given the values of the parameters before it."""
        return self.when is None or params.get(self.when.parent, _ABSENT) in self.when.values

    def paper_value(self) -> object:
        """Its value in the paper; None where the paper's is not in its domain."""
        paper = PromptADConfig()
        if isinstance(self.domain, Choice):
            for level in self.domain.levels:
                fields = set(level.changes) & set(PromptADConfig.field_names())
                if fields and all(getattr(paper, field) == level.changes[field] for field in fields):
                    return level.value
            return None
        value = getattr(paper, self.fields[0])
        return value if self.domain.low <= value <= self.domain.high else None


_ABSENT = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """What a search varies, in order: a parameter's parent stands before it."""

    name: str
    title: str
    parameters: tuple[Parameter, ...]

    def __post_init__(self) -> None:
        """Check all that can be checked without a base config."""
        problems = [
            f"parameter {parameter.name}: {problem}"
            for parameter in self.parameters
            for problem in self._parameter_problems(parameter)
        ]
        names = [parameter.name for parameter in self.parameters]
        if not names or len(set(names)) < len(names):
            problems.append(f"a space needs parameters with different names, but got {names}")
        if problems:
            raise SpaceError(f"space {self.name}: {'; '.join(problems)}")

    def parameter(self, name: str) -> Parameter:
        """A parameter by name."""
        return next(parameter for parameter in self.parameters if parameter.name == name)

    def changes(self, params: Params, *, blocks: int = 12) -> dict[str, Any]:
        """Every change that these values make, ``backbone`` and ``shots`` among them; layers fit ``blocks``."""
        made: dict[str, object] = {}
        for parameter in self.parameters:
            if parameter.name in params:
                made |= parameter.changes(params[parameter.name])
        return in_tower(made, blocks)

    def holds(self, params: Params) -> bool:
        """Whether every active parameter has a value of its domain, and no other has one."""
        active: dict[str, object] = {}
        for parameter in self.parameters:
            if parameter.active(active):
                if parameter.name not in params or not parameter.domain.holds(params[parameter.name]):
                    return False
                active[parameter.name] = params[parameter.name]
        return active.keys() == params.keys()

    def paper_values(self) -> dict[str, object] | None:
        """The paper's setting; None where a parameter's domain does not contain its value."""
        made: dict[str, object] = {}
        for parameter in self.parameters:
            if not parameter.active(made):
                continue
            value = parameter.paper_value()
            if value is None:
                return None
            made[parameter.name] = value
        return made

    def size(self) -> int | None:
        """How many different settings it holds; None where a parameter is continuous."""
        if any(parameter.domain.values is None for parameter in self.parameters):
            return None
        return self._count(0, {})

    def check(self, base: PromptADConfig, *, blocks: int = 12) -> None:
        """Raise ``SpaceError`` if a parameter changes nothing in ``base``, or has values that no config can have."""
        problems: dict[str, None] = {}
        for parameter in self.parameters:
            for value in parameter.domain.values or parameter.domain.ends:
                try:
                    base.with_changes(_config_fields(in_tower(parameter.changes(value), blocks)))
                except UnmetNeedError:
                    # Two parts may need each other: a real problem of one alone is reported when it is tried.
                    continue
                except ConfigError as error:
                    problems[f"parameter {parameter.name}: {error}"] = None
        if not problems:
            for parameter, beside in self._neighbourhoods():
                if not self._matters(parameter, beside, base, blocks):
                    problems[_idle(parameter, beside)] = None
        if problems:
            raise SpaceError(f"space {self.name}: {'; '.join(problems)}")

    def _parameter_problems(self, parameter: Parameter) -> Iterator[str]:
        yield from parameter.domain.problems()
        known = (*PromptADConfig.field_names(), *BESIDE_CONFIG)
        if isinstance(parameter.domain, Choice):
            fields = {field for level in parameter.domain.levels for field in level.changes}
        else:
            fields = set(parameter.fields)
            if not fields:
                yield f"it must set a config field; they are {', '.join(PromptADConfig.field_names())}"
        if unknown := sorted(fields - set(known)):
            yield f"there is no config field {', '.join(unknown)}; there are {', '.join(known)}"
        if parameter.when is not None:
            before = list(itertools.takewhile(lambda other: other.name != parameter.name, self.parameters))
            parents = {other.name: other for other in before}
            parent = parents.get(parameter.when.parent)
            if parent is None:
                yield (
                    f"it depends on {parameter.when.parent}, which is no parameter before it "
                    f"({', '.join(parents) or 'there is none'}): add that toggle, or leave out the condition"
                )
            elif parent.domain.values is None or not set(parameter.when.values) <= set(parent.domain.values):
                yield (
                    f"it depends on {parent.name} being one of {parameter.when.values}, "
                    f"whose values are {parent.domain.values}"
                )

    def _count(self, position: int, params: dict[str, object]) -> int:
        if position == len(self.parameters):
            return 1
        parameter = self.parameters[position]
        if not parameter.active(params):
            return self._count(position + 1, params)
        values = parameter.domain.values
        assert values is not None
        if not any(other.when is not None and other.when.parent == parameter.name for other in self.parameters):
            return len(values) * self._count(position + 1, params)
        return sum(self._count(position + 1, {**params, parameter.name: value}) for value in values)

    def _neighbourhoods(self) -> Iterator[tuple[Parameter, dict[str, object]]]:
        """Each parameter with the least it needs, and with every value of each toggle under which it is active."""
        toggles = [parameter for parameter in self.parameters if isinstance(parameter.domain, Choice)]
        for parameter in self.parameters:
            needed = self._needed(parameter)
            yield parameter, needed
            for toggle in toggles:
                if toggle is parameter or toggle.name in needed or parameter.name in self._needed(toggle):
                    continue
                for value in toggle.domain.values or ():
                    yield parameter, {**needed, **self._needed(toggle), toggle.name: value}

    def _needed(self, parameter: Parameter) -> dict[str, object]:
        """Values of the parents under which it is active."""
        if parameter.when is None:
            return {}
        parent = self.parameter(parameter.when.parent)
        return {**self._needed(parent), parent.name: parameter.when.values[0]}

    def _matters(self, parameter: Parameter, beside: Params, base: PromptADConfig, blocks: int) -> bool:
        found = set()
        for value in parameter.domain.values or parameter.domain.ends:
            changes = self.changes({**beside, parameter.name: value}, blocks=blocks)
            if set(changes) & set(BESIDE_CONFIG) & set(parameter.changes(value)):
                return True
            try:
                config = base.with_changes(_config_fields(changes))
            except ConfigError:
                return True
            found.add((config.canonical("image"), config.canonical("pixel")))
        return len(found) > 1


def _config_fields(changes: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in changes.items() if name not in BESIDE_CONFIG}


def _idle(parameter: Parameter, beside: Params) -> str:
    if not beside:
        return f"parameter {parameter.name} changes nothing in the base: a part that it belongs to is off there"
    where = ", ".join(f"{name}={value}" for name, value in beside.items())
    name = list(beside)[-1]
    return (
        f"parameter {parameter.name} changes nothing where {where}: give it when=When(parent={name!r}, values=...), so "
        "that it is varied only where it matters"
    )
