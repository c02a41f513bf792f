"""A cell: one experiment, fully described. Its digest is its identity in every ablation."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from promptad.configs.method_config import MethodConfig, Task
from promptad.configs.method_table import METHODS, known_method, method_of
from promptad.user_error import UserError
from reports.reading.shapes import Document

Query = Literal["test", "synthetic"]
"""The images that a cell scores: the category's test images, or pseudo-anomalies on held-out support images."""

NUMERICS = 2
"""Version of the code that turns images into scores; raised by hand when its results change."""

FIRST_KINDS = ("cut_paste", "perlin_texture", "scratch", "blob")
"""The pseudo-anomalies of cells that name none, which were made before cells named them."""

_NOT_IDENTITY = frozenset({"backbone", "dataset"})
"""Names that a person gave; ``architecture``, ``weights``, ``category`` and ``data`` hold their meaning."""


class CellError(UserError):
    """A cell whose parts contradict each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolMember:
    """A category that one model is learned from among others: its name, a word of its prompts, and a digest.

    ``data`` is the digest of its normal images alone: no other ones are read of it for the cells of other categories.
    """

    category: str
    data: str

    def as_dict(self) -> dict[str, str]:
        """JSON-compatible form."""
        return {"category": self.category, "data": self.data}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One training and evaluation; of cells that share a ``pool``, one evaluation of the training that they share.

    ``config`` is ``method``'s, in canonical form for ``task`` with its memory layers spelled out. ``weights`` and
    ``data`` are digests of the backbone's weights and of the category's images, labels and masks; ``activation`` is the
    backbone's (None: a CNN, or a row from before it was recorded). ``support`` is a user's list of support images;
    None: drawn by ``seed``. ``artefacts`` are arrays to keep for figures of a model's inside. With ``query`` synthetic
    no test image is read, ``data`` is the digest of the normal images alone, and ``kinds`` are the pseudo-anomalies
    in their order: another set makes another cell. ``pool`` are the categories that one model is learned from, the
    cell's own among them, sorted by name; empty where each category has its own model.
    """

    method: str
    config: MethodConfig
    backbone: str
    architecture: str
    weights: str
    dataset: str
    category: str
    data: str
    shots: int
    seed: int
    task: Task
    support: tuple[str, ...] | None = None
    numerics: int = NUMERICS
    artefacts: tuple[str, ...] = ()
    query: Query = "test"
    activation: str | None = None
    kinds: tuple[str, ...] = FIRST_KINDS
    pool: tuple[PoolMember, ...] = ()
    _digest: str = dataclasses.field(default="", init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check that there is a pool exactly where the config asks for one, and that it is one."""
        names = [member.category for member in self.pool]
        if self.config.pools_categories != bool(names):
            asked = "multi_class" if self.config.pools_categories else "not multi_class"
            raise CellError(
                f"a pool must be named if and only if setting is multi_class, but it is {asked} and the pool is {names}"
            )
        if names and (len(names) < 2 or self.category not in names or names != sorted(set(names))):
            raise CellError(
                f"a pool must be 2 or more different categories sorted by name, {self.category} among them, but got "
                f"{', '.join(names)}"
            )

    @property
    def digest(self) -> str:
        """Identity (hex): covers everything that can change a score, and nothing else."""
        if not self._digest:
            text = json.dumps(self._identity(), sort_keys=True, separators=(",", ":"))
            object.__setattr__(self, "_digest", hashlib.blake2b(text.encode(), digest_size=16).hexdigest())
        return self._digest

    def _identity(self) -> dict[str, Any]:
        identity = {name: value for name, value in self.as_dict().items() if name not in _NOT_IDENTITY}
        # Only differences from the defaults count, so that a field added later does not change earlier cells' identity.
        defaults = _defaults(method_of(self.config))
        config = self.config.as_dict()
        if not self.artefacts:
            del identity["artefacts"]
        if self.query == "test":
            del identity["query"]
        if self.activation is None:
            del identity["activation"]
        identity["config"] = {name: value for name, value in config.items() if value != defaults[name]}
        return identity

    def as_dict(self) -> dict[str, Any]:
        """JSON-compatible form; ``from_dict`` is its inverse."""
        values = {name: getattr(self, name) for name in _FIELDS}
        values["config"] = self.config.as_dict()
        values["support"] = None if self.support is None else list(self.support)
        values["artefacts"] = list(self.artefacts)
        if self.kinds == FIRST_KINDS:
            del values["kinds"]
        else:
            values["kinds"] = list(self.kinds)
        if self.pool:
            values["pool"] = [member.as_dict() for member in self.pool]
        else:
            del values["pool"]
        return values

    @classmethod
    def from_dict(cls, values: Document) -> Self:
        """A cell from its JSON form."""
        support = values["support"]
        return cls(
            **{
                **values,
                "config": _config(values["method"], json.dumps(values["config"])),
                "support": None if support is None else tuple(support),
                "artefacts": tuple(values.get("artefacts", ())),
                "kinds": tuple(values.get("kinds", FIRST_KINDS)),
                "pool": tuple(PoolMember(**member) for member in values.get("pool", ())),
            }
        )

    def __str__(self) -> str:
        """The cell's name in messages."""
        return f"{self.place} ({self.digest[:8]})"

    @property
    def place(self) -> str:
        """The cell's place in a study, in words; cells of several arms can share one."""
        query = "" if self.query == "test" else f" {self.query}"
        shared = f", one model for {len(self.pool)} categories" if self.pool else ""
        return f"{self.category} {self.task}{query} {self.shots}-shot seed {self.seed}{shared}"

    @property
    def training(self) -> tuple[object, ...] | None:
        """Equal for cells that one training serves, on one backbone; None where each cell has its own training."""
        return (self.method, self.config, self.task, self.shots, self.seed, self.pool) if self.pool else None

    @property
    def allowance(self) -> int:
        """How many cells' time it may take: the first cell of a pool learns for all of its categories."""
        return max(1, len(self.pool))


_FIELDS = tuple(field.name for field in dataclasses.fields(Cell) if field.init)
_OWN = ("seed", "shots", "support")
"""What members of a family differ in, as sorted in the text that is hashed."""
_COMMON = tuple(name for name in _FIELDS if name not in _OWN)
_common_values = operator.attrgetter(*_COMMON)


class CellFamily:
    """Cells that differ in shots, seed and support list alone: checked and described once, and hashed together.

    Equal to another family whose cells could be its own.
    """

    def __init__(self, model: Cell) -> None:
        self._model, self._values = model, _common_values(model)
        marked = model._identity() | {name: f"<{name}>" for name in _OWN}
        text = json.dumps(marked, sort_keys=True, separators=(",", ":"))
        # In no string of JSON are there quotation marks that are not escaped.
        head, tail = text.split(",".join(f'"{name}":"<{name}>"' for name in _OWN))
        self._head, self._tail = hashlib.blake2b(head.encode(), digest_size=16), tail.encode()

    @staticmethod
    def key(cell: Cell) -> tuple[object, ...]:
        """What cells of one family have in common, to be compared and hashed."""
        values: tuple[object, ...] = _common_values(cell)
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """A family from its JSON form."""
        return cls(Cell.from_dict({**values, "shots": 1, "seed": 0, "support": None}))

    def as_dict(self) -> dict[str, Any]:
        """JSON-compatible form; ``from_dict`` is its inverse."""
        return {name: value for name, value in self._model.as_dict().items() if name not in _OWN}

    @property
    def config(self) -> MethodConfig:
        """The config of its cells."""
        return self._model.config

    def member(self, *, shots: int, seed: int, support: tuple[str, ...] | None) -> Cell:
        """The cell with these."""
        cell = object.__new__(Cell)
        for name, value in zip(_COMMON, self._values, strict=True):
            object.__setattr__(cell, name, value)
        object.__setattr__(cell, "shots", shots)
        object.__setattr__(cell, "seed", seed)
        object.__setattr__(cell, "support", support)
        listed = "null" if support is None else json.dumps(support, separators=(",", ":"))
        identity = self._head.copy()
        identity.update(f'"seed":{seed:d},"shots":{shots:d},"support":{listed}'.encode())
        identity.update(self._tail)
        object.__setattr__(cell, "_digest", identity.hexdigest())
        return cell


@functools.cache
def _defaults(method: str) -> dict[str, Any]:
    return METHODS[method].config().as_dict()


@functools.lru_cache(maxsize=4096)
def _config(method: str, text: str) -> MethodConfig:
    # Checking a config takes a millisecond, and thousands of rows share a few configs.
    return known_method(method, "a cell's").config.from_dict(json.loads(text))


def company_of(cell: Cell, mixed: bool) -> tuple[object, ...] | None:
    """What must be equal for cells of one group to learn together; None: this one learns alone.

    ``mixed``: prompts of different forms can learn together, as on an accelerator.
    """
    key = cell.config.company_key(cell.task)
    return None if key is None else (cell.method, *(() if mixed else key))
