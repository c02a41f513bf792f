"""The base of all methods' configs: a frozen, typed value that checks itself and answers questions about itself.

Code that plans, runs or reports calls these methods and never tests a config's class: a new method is one new class.
"""

from __future__ import annotations

import dataclasses
import functools
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from promptad.configs.field_types import as_stored, fits, number_problems, spelled
from promptad.datasets.bit_depth import BitDepth
from promptad.user_error import UserError

Task = Literal["image", "pixel"]
"""Image-level detection or pixel-level localisation: two separate trainings (deviation D17)."""

ClassSetting = Literal["one_class", "multi_class"]
"""A model for each category, or one that all categories of a study share (their *pool*)."""


class ConfigError(UserError):
    """One or several fields of a config are out of their domain; the message names all of them."""


class UnmetNeedError(ConfigError):
    """Fields that are each in their domain, but one of them needs a part of the method that another switches off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TowerFacts:
    """Facts about the backbone on which a config will run, known before any weights are loaded.

    ``text`` is the backbone as the user wrote it, ``kind`` what it is in words. ``blocks`` counts blocks or stages;
    ``grid`` is the side of the patch grid and ``prompt_blocks`` how many blocks both towers have: of a transformer with
    a text tower alone, else None. The defaults fill fields that a config leaves open.
    """

    text: str
    kind: str
    transformer: bool
    blocks: int
    grid: int | None
    prompt_blocks: int | None
    default_memory_layers: tuple[int, ...]
    default_prompt_depth: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodConfig:
    """The base of all configs: the protocol that all methods share, in fields that mean the same for each of them.

    A subclass adds its fields with their defaults, and overrides the methods whose answer differs: ``domain_problems``
    and ``inert`` nearly always. Whatever field it has with the
    name of one of PromptAD's means the same, and ``under_protocol`` takes it over from the study's base config, so that
    a table compares methods and nothing else.
    """

    learns: ClassVar[bool] = False
    """Whether the method learns in epochs, of which one can be selected; no field, but the same for a whole class."""

    selection: Literal["last", "best_on_test"] = "last"
    """D2: which epoch is reported. ``best_on_test`` looks at the test labels and is marked wherever it is used."""
    query_channels: Literal["rgb", "bgr"] = "rgb"
    """D3: channel order of test images (support images are always RGB)."""
    precision: Literal["fp32", "fp16", "tf32"] = "fp32"
    """D10: precision of weights and activations. Neither the paper's nor the released code's: ``tf32``, fp32 numbers
    that an NVIDIA card multiplies with ten bits after the point."""
    support_draw: Literal["per_seed", "fixed"] = "per_seed"
    """D11: each seed draws its own support images, or all seeds share one set."""
    support_views: Literal["plain", "augmented"] = "plain"
    """``augmented``: 20 slightly turned and shifted views of each support image; not in the paper."""
    resize: Literal["shorter_edge", "squash_via_1024", "squash"] = "shorter_edge"
    """D12: shorter edge to the input size and centre crop, or squash to 1024x1024 and then to the input size. Neither
    the paper's nor the released code's: ``squash`` straight to the input size, so that the whole image is seen."""
    bit_depth: BitDepth = "by_maximum"
    """How grey values of 16-bit files become 8 bits (``bit_depth.py``); 8-bit files are never scaled."""
    map_size: int = 240
    """D13: side in pixels at which maps and masks are compared (released code: 400)."""
    map_smoothing: float = 0.0
    """D13: standard deviation in pixels of the Gaussian filter over the map (released code: 4)."""

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
        if problems:
            raise ConfigError("; ".join(problems), problems)
        problems, missing = self.domain_problems(), self.missing_parts()
        if problems:
            raise ConfigError("; ".join([*problems, *missing]), [*problems, *missing])
        if missing:
            raise UnmetNeedError("; ".join(missing), missing)
        for name, hint in hints.items():
            object.__setattr__(self, name, as_stored(getattr(self, name), hint))

    def missing_parts(self) -> list[str]:
        """A sentence for each part that a field needs and another switches off."""
        return []

    def domain_problems(self) -> list[str]:
        """A sentence for each value that is out of its domain; a subclass adds its own."""
        problems = []
        if self.selection != "last" and not self.learns:
            problems.append(f"selection must be last where nothing is learned in epochs, but got {self.selection}")
        if not 16 <= self.map_size <= 2048:
            problems.append(f"map_size must be between 16 and 2048 pixels, but got {self.map_size}")
        if not 0 <= self.map_smoothing <= 2048:
            problems.append(f"map_smoothing must be between 0 and 2048 pixels, but got {self.map_smoothing}")
        return problems

    def inert(self, task: Task) -> frozenset[str]:
        """Names of the fields that cannot influence ``task``, given the other fields; a subclass adds its own."""
        return frozenset({"map_size", "map_smoothing"}) if task == "image" else frozenset()

    def canonical(self, task: Task) -> Self:
        """This config with every field that cannot influence ``task`` reset to its default.

        Two configs with the same canonical form are the same computation, so that ablations share their cells.
        """
        defaults = type(self)()
        return dataclasses.replace(self, **{name: getattr(defaults, name) for name in self.inert(task)})

    def spelled_out(self, task: Task, tower: TowerFacts) -> Self:
        """The config that a cell runs: canonical, with the backbone's default wherever a field leaves it open."""
        reduced = self.canonical(task)
        if not reduced.uses_memory_layers(task) or reduced.named_memory_layers is not None:
            return reduced
        return reduced.with_changes({"memory_layers": tower.default_memory_layers})

    @property
    def sees_support(self) -> bool:
        """Whether scores depend on support images."""
        return True

    @property
    def reads_texts(self) -> bool:
        """Whether this config uses the text tower; asked only of methods that can need one."""
        return True

    @property
    def learns_prompts(self) -> bool:
        """Whether prompts are learned through the text tower."""
        return False

    @property
    def learning_epochs(self) -> int:
        """Epochs in which prompts are learned; 0 where there are none."""
        return 0

    @property
    def pools_categories(self) -> bool:
        """Whether one model learns from the support images of all categories; asked of canonical configs."""
        return False

    def company_key(self, task: Task) -> tuple[object, ...] | None:  # noqa: ARG002
        """What two cells of one category must have equal to learn together (``prompts/company.py``); None: alone.

        Equal keys promise prompts of one form, whose learnable tokens alone differ; all else may differ.
        """
        return None

    @property
    def shows_prompts(self) -> bool:
        """Whether there are prompts to embed beside images (the artefact ``embedding``)."""
        return False

    @property
    def uses_suffixes(self) -> bool:
        """Whether manual anomaly suffixes, which a user may replace, are among the prompts."""
        return False

    def with_suffixes(self, suffixes: tuple[str, ...]) -> Self:  # noqa: ARG002
        """This config with a user's own anomaly suffixes; unchanged where a method has none."""
        return self

    @property
    def named_memory_layers(self) -> tuple[int, ...] | None:
        """The memory layers that the config names; None where it leaves them open, or has none."""
        return None

    def uses_memory_layers(self, task: Task) -> bool:  # noqa: ARG002
        """Whether patches of memory layers are used for ``task``."""
        return False

    def tower_problems(self, arm: str, tower: TowerFacts) -> Iterator[str]:  # noqa: ARG002
        """A sentence for each value that this backbone cannot serve; ``arm`` is the row that has it."""
        yield from ()

    def with_changes(self, changes: Mapping[str, Any]) -> Self:
        """This config with named fields changed.

        Raises:
            ConfigError: a field that does not exist, or a value out of its domain.
        """
        names = self.field_names()
        if unknown := sorted(set(changes) - set(names)):
            raise ConfigError(f"config has no field {', '.join(unknown)}; its fields are {', '.join(names)}")
        return dataclasses.replace(self, **changes)

    @classmethod
    def field_names(cls) -> tuple[str, ...]:
        """Names of the config's fields: its own in order, then those of the protocol."""
        kind: Any = cls
        return _field_names(kind)

    def as_dict(self) -> dict[str, Any]:
        """All fields as JSON-compatible values."""
        values = {name: getattr(self, name) for name in self.field_names()}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of ``as_dict``; unknown or ill-typed fields raise ``ConfigError``."""
        return cls().with_changes({name: tuple(v) if isinstance(v, list) else v for name, v in values.items()})


def tau_problems(tau: float | None) -> list[str]:
    """What is wrong with a temperature of the logits, if anything."""
    return [] if tau is None or 0 < tau < float("inf") else [f"tau must be positive and finite, or none, but got {tau}"]


def layer_list_problems(layers: tuple[int, ...] | None) -> list[str]:
    """What is wrong with a list of memory layers, if anything."""
    if layers is None or (layers and len(set(layers)) == len(layers) and min(layers) >= 1):
        return []
    return [f"memory_layers must be different blocks counted from 1, but got {layers}"]


@functools.cache
def _field_names(kind: type[Any]) -> tuple[str, ...]:
    # As below: asked for each of thousands of configs, and the same for a whole class.
    protocol = [field.name for field in dataclasses.fields(MethodConfig)]
    own = [field.name for field in dataclasses.fields(kind) if field.name not in protocol]
    return (*own, *protocol)


@functools.cache
def _field_types(kind: type[Any]) -> dict[str, Any]:
    # Evaluating the annotations takes a millisecond, and a plan makes thousands of configs.
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}
