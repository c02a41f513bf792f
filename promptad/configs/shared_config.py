"""Fields that several methods share beside the protocol: memory layers, and the temperature of logits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from promptad.configs.method_config import ClassSetting, MethodConfig, Task, layer_list_problems, tau_problems

Activations = Literal["unit", "raw"]
"""Features l2-normalised, as they are cached for all methods, or as the tower makes them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryConfig(MethodConfig):
    """The protocol, and which patches of the frozen tower a method works on: those of PromptAD's visual memory."""

    memory_layers: tuple[int, ...] | None = None
    """Blocks (1-based; ResNet: stages) whose patches are used; None: the backbone's default."""
    memory_tap: Literal["block_output", "after_next_attention"] = "block_output"
    """D20: a block's output, or that plus the next block's attention."""

    def domain_problems(self) -> list[str]:
        """A sentence for each value out of its domain."""
        return [*MethodConfig.domain_problems(self), *layer_list_problems(self.memory_layers)]

    @property
    def named_memory_layers(self) -> tuple[int, ...] | None:
        """The memory layers that the config names, or None."""
        return self.memory_layers

    def uses_memory_layers(self, task: Task) -> bool:
        """Unless the task's scores take nothing of them."""
        return "memory_layers" not in self.inert(task)


@dataclass(frozen=True, slots=True, kw_only=True)
class TemperatureConfig(MethodConfig):
    """The protocol, and the temperature of the logits between visual features and texts."""

    temperature: Literal["exponential", "raw_parameter"] = "exponential"
    """D1, as PromptAD's."""
    tau: float | None = None
    """As PromptAD's: a number in place of CLIP's own."""

    def domain_problems(self) -> list[str]:
        """A sentence for each value out of its domain."""
        return [*MethodConfig.domain_problems(self), *tau_problems(self.tau)]

    def inert(self, task: Task) -> frozenset[str]:
        """Which of CLIP's own does not matter where tau is a number."""
        return MethodConfig.inert(self, task) | (frozenset() if self.tau is None else {"temperature"})


class PoolsCategories:
    """What configs share of methods that can learn one model for all categories: a field ``setting``, of each its own.

    A base beside ``MethodConfig`` without a place for values, since classes with places cannot be joined.
    """

    __slots__ = ()
    setting: ClassSetting
    selection: Literal["last", "best_on_test"]

    @property
    def pools_categories(self) -> bool:
        """Whether one model learns from the support images of all categories."""
        return self.setting == "multi_class"

    def setting_problems(self) -> list[str]:
        """One training serves all categories, so that no single test set can select an epoch."""
        if not self.pools_categories or self.selection == "last":
            return []
        return [
            f"selection must be last where one model serves all categories (setting=multi_class), but got "
            f"{self.selection}: there is no single test set to select an epoch by"
        ]


def problems_below(config: MethodConfig, least: Mapping[str, int]) -> list[str]:
    """A sentence for each named field that is below its least value."""
    return [
        f"{name} must be at least {lowest}, but got {getattr(config, name)}"
        for name, lowest in least.items()
        if getattr(config, name) < lowest
    ]
