"""Fixed, even sets of settings of a search space."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from ablations.arms import Arm
from ablations.designs import DesignError
from ablations.spaces import Space
from promptad.configs.promptad_config import PromptADConfig

PAPER_ARM = "paper"


@functools.lru_cache(maxsize=64)
def sobol_point(dimensions: int, seed: int, number: int) -> tuple[float, ...]:
    """Point ``number`` of a scrambled Sobol sequence in [0, 1)."""
    # scipy takes half a second to load, and most commands need no point.
    from scipy.stats import qmc

    engine = qmc.Sobol(dimensions, scramble=True, rng=seed)
    if number:
        engine.fast_forward(number)
    return tuple(float(value) for value in engine.random(1)[0])


def setting(space: Space, seed: int, number: int) -> dict[str, object]:
    """Setting ``number`` of a space's sequence; a parameter that is not active leaves its coordinate unused."""
    point = sobol_point(len(space.parameters), seed, number)
    params: dict[str, object] = {}
    for unit, parameter in zip(point, space.parameters, strict=True):
        if parameter.active(params):
            params[parameter.name] = parameter.domain.at(unit)
    return params


@dataclass(frozen=True, slots=True, kw_only=True)
class SobolSet:
    """A design: the base as it is, and the first ``runs`` settings of a space's Sobol sequence (a power of 2)."""

    kind: ClassVar[str] = "sobol_set"
    space: Space
    runs: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        """Check that the set is even."""
        if self.runs < 2 or self.runs & (self.runs - 1):
            raise DesignError(f"a Sobol set is even only with a power of 2 settings, but runs is {self.runs}")

    @property
    def baseline(self) -> str | None:
        """The base."""
        return PAPER_ARM

    @property
    def labels(self) -> Mapping[str, str]:
        """Names of the parameters, and what people call them."""
        return {parameter.name: parameter.label for parameter in self.space.parameters}

    @property
    def arms(self) -> tuple[Arm, ...]:
        """The base, and one arm per setting."""
        return (Arm(name=PAPER_ARM, label="the base"), *self._settings())

    def idle(self, _: PromptADConfig) -> Sequence[str]:
        """Nothing: a setting may happen to be the base's."""
        return []

    def _settings(self) -> Iterator[Arm]:
        for number in range(self.runs):
            params = setting(self.space, self.seed, number)
            text = ", ".join(f"{n}={v:.3g}" if isinstance(v, float) else f"{n}={v}" for n, v in params.items())
            yield Arm(name=f"setting {number}", label=text, changes=self.space.changes(params), factors=dict(params))
