"""Regular two-level fractions of a factorial that confuse as few effects as possible."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from ablations.designs import DesignError, FactorDesign, require_two_levels

_ROMAN = ("", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X")
MOST_FACTORS = 10


@dataclass(frozen=True, kw_only=True)
class FractionalFactorial(FactorDesign):
    """A regular fraction with ``runs`` (a power of two) of the 2^k combinations.

    The first factors vary freely; each of the others follows the product of some of them, chosen so that the
    resolution (the length of the shortest word of the defining relation) is as high as can be. At ``resolution`` III
    main effects are confused with interactions of two factors, at IV only with those of three, at V interactions of
    two are confused with those of three only. The combination of first levels is always among the runs.

    Raises:
        DesignError: no such fraction, or none of that resolution; the message states what exists.
    """

    kind: ClassVar[str] = "fractional_factorial"
    runs: int
    resolution: int = 3

    def combinations(self) -> Iterator[Sequence[int]]:
        """The fraction, the last free factor varying fastest."""
        generators = self._generators
        for levels in itertools.product((0, 1), repeat=self._free):
            yield [*levels, *(sum(levels[i] for i in word) % 2 for word in generators)]

    @property
    def defining_relation(self) -> tuple[frozenset[str], ...]:
        """Products of factors that are constant over the runs, shortest first."""
        names = [factor.name for factor in self.factors]
        return tuple(frozenset(names[i] for i in word) for word in _relation(self._free, self._generators))

    @property
    def found_resolution(self) -> int:
        """Length of the shortest word of the defining relation; one more than the factors' number for all runs."""
        return _resolution(len(self.factors), self._free, self._generators)

    def aliases(self, *effect: str) -> tuple[frozenset[str], ...]:
        """Effects that these runs cannot separate from ``effect`` (names of its factors), shortest first."""
        known = {factor.name for factor in self.factors}
        if not effect or not set(effect) <= known:
            raise DesignError(f"an effect must name factors of {', '.join(sorted(known))}, but got {effect}")
        found = (frozenset(effect) ^ word for word in self.defining_relation)
        return tuple(sorted(found, key=lambda word: (len(word), sorted(word))))

    @property
    def _free(self) -> int:
        return self.runs.bit_length() - 1

    @cached_property
    def _generators(self) -> tuple[tuple[int, ...], ...]:
        require_two_levels(self.factors, self.kind)
        k, free = len(self.factors), self._free
        if self.runs < 2 or self.runs != 1 << free or not free <= k <= MOST_FACTORS:
            raise DesignError(
                f"runs must be a power of 2 up to 2^{k} for {k} factors (of which there may be {MOST_FACTORS}), but "
                f"got {self.runs}"
            )
        words = [word for size in range(2, free + 1) for word in itertools.combinations(range(free), size)]
        best: tuple[int, tuple[tuple[int, ...], ...]] | None = None
        # Long words first: they give high resolutions, and the search stops at the first that is high enough.
        for generators in itertools.combinations(reversed(words), k - free):
            found = _resolution(k, free, generators)
            if best is None or found > best[0]:
                best = (found, generators)
            if found >= self.resolution:
                return generators
        most = "none" if best is None else _ROMAN[best[0]]
        raise DesignError(
            f"a fraction of {self.runs} runs for {k} factors of resolution {_ROMAN[self.resolution]} does not exist "
            f"(the highest is {most}): use more runs or fewer factors"
        )


def _relation(free: int, generators: Sequence[tuple[int, ...]]) -> list[frozenset[int]]:
    words = [frozenset(word) | {free + number} for number, word in enumerate(generators)]
    products = []
    for size in range(1, len(words) + 1):
        for chosen in itertools.combinations(words, size):
            product: frozenset[int] = frozenset()
            for word in chosen:
                product ^= word
            products.append(product)
    return sorted(products, key=lambda word: (len(word), sorted(word)))


def _resolution(factors: int, free: int, generators: Sequence[tuple[int, ...]]) -> int:
    return min((len(word) for word in _relation(free, generators)), default=factors + 1)
