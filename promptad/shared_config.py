"""The protocol that all methods share: how images are prepared, which are seen, and how maps are compared."""

from __future__ import annotations

import dataclasses
import functools
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from promptad.bit_depth import BitDepth
from promptad.config import ConfigError, PromptADConfig, Task, map_problems, tau_problems
from promptad.field_types import as_stored, fits, number_problems, spelled


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedConfig:
    """Fields of ``PromptADConfig`` that belong to the evaluation, with the same names, values and meanings.

    A method's config inherits them. Whatever field it has with the name of one of PromptAD's means the same, and
    ``under_protocol`` takes it over from the study's base config, so that a table compares methods and nothing else.
    """

    learns = False
    """Whether the method learns in epochs, of which one can be selected; no field, but the same for a whole class."""
    sees_support = True
    """Whether scores depend on support images; no field either."""

    selection: Literal["last", "best_on_test"] = "last"
    """D2, as PromptAD's; ``last`` alone where nothing is learned in epochs."""
    query_channels: Literal["rgb", "bgr"] = "rgb"
    precision: Literal["fp32", "fp16"] = "fp32"
    support_draw: Literal["per_seed", "fixed"] = "per_seed"
    support_views: Literal["plain", "augmented"] = "plain"
    resize: Literal["shorter_edge", "squash_via_1024", "squash"] = "shorter_edge"
    bit_depth: BitDepth = "by_maximum"
    map_size: int = 240
    map_smoothing: float = 0.0

    def __post_init__(self) -> None:
        """Check every field and report all problems at once."""
        kind: Any = type(self)
        hints = _field_types(kind)
        problems = [
            f"{name} must be {spelled(hint)}, but got {getattr(self, name)!r}"
            for name, hint in hints.items()
            if not fits(getattr(self, name), hint)
        ]
        problems = problems or number_problems({name: getattr(self, name) for name in hints})
        if problems := problems or self.domain_problems():
            raise ConfigError("; ".join(problems))
        for name, hint in hints.items():
            object.__setattr__(self, name, as_stored(getattr(self, name), hint))

    def domain_problems(self) -> list[str]:
        """Values out of their domain; a subclass adds its own."""
        problems = []
        if self.selection != "last" and not self.learns:
            problems.append(f"selection must be last where nothing is learned in epochs, but got {self.selection}")
        return problems + map_problems(self.map_size, self.map_smoothing)

    def inert(self, task: Task) -> frozenset[str]:
        """Fields that cannot influence ``task``; a subclass adds its own."""
        return frozenset({"map_size", "map_smoothing"}) if task == "image" else frozenset()

    def with_changes(self, changes: Mapping[str, Any]) -> Self:
        """This config with named fields changed; ``ConfigError`` for a field that does not exist."""
        names = [field.name for field in dataclasses.fields(self)]
        if unknown := sorted(set(changes) - set(names)):
            raise ConfigError(f"config has no field {', '.join(unknown)}; its fields are {', '.join(names)}")
        return dataclasses.replace(self, **changes)

    def as_dict(self) -> dict[str, Any]:
        """All fields as JSON-compatible values."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of ``as_dict``; unknown or ill-typed fields raise ``ConfigError``."""
        return cls().with_changes({name: tuple(v) if isinstance(v, list) else v for name, v in values.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryConfig(SharedConfig):
    """The protocol, and which patches of the frozen tower a method works on: those of PromptAD's visual memory."""

    memory_layers: tuple[int, ...] | None = None
    """Blocks (1-based; ResNet: stages) whose patches are used; None: the backbone's default."""
    memory_tap: Literal["block_output", "after_next_attention"] = "block_output"
    """D20: a block's output, or that plus the next block's attention."""

    def domain_problems(self) -> list[str]:
        """Values out of their domain."""
        problems = SharedConfig.domain_problems(self)
        layers = self.memory_layers
        if layers is not None and (not layers or len(set(layers)) < len(layers) or min(layers) < 1):
            problems.append(f"memory_layers must be different blocks counted from 1, but got {layers}")
        return problems


@dataclass(frozen=True, slots=True, kw_only=True)
class TemperatureConfig(SharedConfig):
    """The protocol, and the temperature of the logits between visual features and texts."""

    temperature: Literal["exponential", "raw_parameter"] = "exponential"
    """D1, as PromptAD's."""
    tau: float | None = None
    """As PromptAD's: a number in place of CLIP's own."""

    def domain_problems(self) -> list[str]:
        """Values out of their domain."""
        return [*SharedConfig.domain_problems(self), *tau_problems(self.tau)]

    def inert(self, task: Task) -> frozenset[str]:
        """Which of CLIP's own does not matter where tau is a number."""
        return SharedConfig.inert(self, task) | (frozenset() if self.tau is None else {"temperature"})


MethodConfig = PromptADConfig | SharedConfig
"""The config of any method."""


@functools.cache
def _field_types(kind: type[Any]) -> dict[str, Any]:
    # Evaluating the annotations takes a millisecond, and a plan makes thousands of configs.
    return typing.get_type_hints(kind)


def problems_below(config: SharedConfig, least: Mapping[str, int]) -> list[str]:
    """A sentence for each named field that is below its least value."""
    return [
        f"{name} must be at least {lowest}, but got {getattr(config, name)}"
        for name, lowest in least.items()
        if getattr(config, name) < lowest
    ]
