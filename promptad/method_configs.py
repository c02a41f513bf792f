"""Configs of the methods that the paper compares with: what all share with PromptAD's protocol, and each one's own.

They stand apart from the methods, so that whoever reads rows need not load torch.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from promptad.config import ConfigError, PromptADConfig, Task, canonical, fits, spelled


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryConfig:
    """The protocol, as in ``PromptADConfig``, and what every method on patches of a frozen tower has."""

    memory_layers: tuple[int, ...] | None = None
    """Blocks (1-based) whose patches are used; None: the backbone's default."""
    selection: Literal["last"] = "last"
    """There are no epochs to select from."""
    query_channels: Literal["rgb", "bgr"] = "rgb"
    precision: Literal["fp32", "fp16"] = "fp32"
    support_draw: Literal["per_seed", "fixed"] = "per_seed"
    support_views: Literal["plain", "augmented"] = "plain"
    resize: Literal["shorter_edge", "squash_via_1024"] = "shorter_edge"
    map_size: int = 240
    map_smoothing: float = 0.0

    def __post_init__(self) -> None:
        """Check every field and report all problems at once."""
        hints = typing.get_type_hints(type(self))
        problems = [
            f"{name} must be {spelled(hint)}, but got {getattr(self, name)!r}"
            for name, hint in hints.items()
            if not fits(getattr(self, name), hint)
        ]
        if problems := problems or self.domain_problems():
            raise ConfigError("; ".join(problems))
        for name, hint in hints.items():
            if hint is float:
                object.__setattr__(self, name, float(getattr(self, name)))

    def domain_problems(self) -> list[str]:
        """Values out of their domain."""
        problems = []
        if not 16 <= self.map_size <= 2048:
            problems.append(f"map_size must be between 16 and 2048 pixels, but got {self.map_size}")
        if not 0 <= self.map_smoothing < float("inf"):
            problems.append(f"map_smoothing must be finite and not negative, but got {self.map_smoothing}")
        layers = self.memory_layers
        if layers is not None and (not layers or len(set(layers)) < len(layers) or min(layers) < 1):
            problems.append(f"memory_layers must be different blocks counted from 1, but got {layers}")
        return problems

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
        """The inverse of ``as_dict``."""
        return cls().with_changes({name: tuple(v) if isinstance(v, list) else v for name, v in values.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchCoreConfig(MemoryConfig):
    """PatchCore (CVPR 2022)."""

    neighbourhood: int = 3
    """Side of the window whose mean makes a patch locally aware (p of eq. 2), odd."""
    coreset: float = 0.1
    """Fraction of the patches that the memory keeps."""
    neighbours: int = 9
    """b of eq. 7: entries around the nearest one that weigh the image score."""

    def domain_problems(self) -> list[str]:
        """Values out of their domain."""
        problems = MemoryConfig.domain_problems(self)
        if self.neighbourhood < 1 or self.neighbourhood % 2 == 0:
            problems.append(f"neighbourhood must be odd and positive, but got {self.neighbourhood}")
        if not 0 < self.coreset <= 1:
            problems.append(f"coreset must be above 0 and at most 1, but got {self.coreset}")
        if self.neighbours < 1:
            problems.append(f"neighbours must be at least 1, but got {self.neighbours}")
        return problems


@dataclass(frozen=True, slots=True, kw_only=True)
class SPADEConfig(MemoryConfig):
    """SPADE (2020)."""

    images: int = 50
    """K: support images nearest to the query, whose mean distance is the image score and whose patches are used."""
    neighbours: int = 1
    """kappa of eq. 3: patches that a query patch is compared with."""

    def domain_problems(self) -> list[str]:
        """Values out of their domain."""
        problems = MemoryConfig.domain_problems(self)
        for name in ("images", "neighbours"):
            if getattr(self, name) < 1:
                problems.append(f"{name} must be at least 1, but got {getattr(self, name)}")
        return problems


@dataclass(frozen=True, slots=True, kw_only=True)
class PaDiMConfig(MemoryConfig):
    """PaDiM (ICPR 2021)."""

    dimensions: int = 100
    """How many channels are drawn; all if there are fewer."""
    regularisation: float = 0.01
    """epsilon of eq. 1, added to the diagonal: a covariance of few images is singular without it."""

    def domain_problems(self) -> list[str]:
        """Values out of their domain."""
        problems = MemoryConfig.domain_problems(self)
        if self.dimensions < 1:
            problems.append(f"dimensions must be at least 1, but got {self.dimensions}")
        if not 0 < self.regularisation < float("inf"):
            problems.append(f"regularisation must be positive and finite, but got {self.regularisation}")
        return problems


MethodConfig = PromptADConfig | MemoryConfig
"""The config of any method."""

CONFIGS: Mapping[str, type[PromptADConfig | MemoryConfig]] = {
    "promptad": PromptADConfig,
    "patchcore": PatchCoreConfig,
    "spade": SPADEConfig,
    "padim": PaDiMConfig,
}
"""Config class by the name of the method."""


def method_of(config: MethodConfig) -> str:
    """Name of the method whose config this is."""
    return next(name for name, kind in CONFIGS.items() if type(config) is kind)


def under_protocol(method: str, base: PromptADConfig) -> MethodConfig:
    """The default config of a method under the protocol of ``base``, so that all are measured alike."""
    if method == "promptad":
        return base
    if method not in CONFIGS:
        raise ConfigError(f"an arm must run one of {', '.join(CONFIGS)}, but got {method!r}")
    shared = {field.name for field in dataclasses.fields(MemoryConfig)} - {"memory_layers", "selection"}
    return CONFIGS[method]().with_changes({name: getattr(base, name) for name in shared})


def canonical_config(config: MethodConfig, task: Task) -> MethodConfig:
    """``canonical`` for the config of any method: what cannot influence ``task`` is reset."""
    if isinstance(config, PromptADConfig):
        return canonical(config, task)
    if task == "pixel":
        return config
    return config.with_changes({"map_size": 240, "map_smoothing": 0.0})
