"""Every method by name: its config, the address of its code, and its needs. Reading it loads no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from promptad.configs.anople_config import AnoPLeConfig
from promptad.configs.method_config import ClassSetting, ConfigError, MethodConfig, Task
from promptad.configs.method_configs import (
    CoCoOpConfig,
    FastReconConfig,
    MaPLeConfig,
    PaDiMConfig,
    PatchCoreConfig,
    RWDAConfig,
    SPADEConfig,
    WinCLIPConfig,
    WinCLIPPlusConfig,
)
from promptad.configs.network_configs import DifferNetConfig, MKDConfig, SimpleNetConfig
from promptad.configs.parts import part_at
from promptad.configs.promptad_config import PromptADConfig

Need = Literal["transformer", "text"]
"""What a method may need of a backbone: an image tower over patch tokens, which can be run on some of them; texts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodEntry:
    """One method. ``title`` is what its paper calls it, ``config`` the class of its hyperparameters.

    ``factory`` (``module:Class``) is loaded on first use and fits ``Method``. ``min_shots`` is the least number of
    support images, ``tasks`` what it can score, ``needs`` what the backbone must have (see ``needs_of``). ``settings``:
    with ``multi_class`` it fits ``FitsPools``, and its config has the field ``setting``.
    """

    title: str
    config: type[MethodConfig]
    factory: str
    min_shots: int
    tasks: tuple[Task, ...] = ("image", "pixel")
    needs: tuple[Need, ...] = ()
    settings: tuple[ClassSetting, ...] = ("one_class",)

    def make(self) -> Any:
        """The method itself, a ``promptad.methods.Method``.

        Raises:
            MissingPartError: there is no such class.
        """
        return part_at(self.factory, f"the factory of method {self.title}")()


METHODS: Mapping[str, MethodEntry] = {
    "promptad": MethodEntry(
        title="PromptAD",
        config=PromptADConfig,
        factory="promptad.methods.promptad:PromptAD",
        min_shots=1,
        needs=("text",),
        settings=("one_class", "multi_class"),
    ),
    "patchcore": MethodEntry(
        title="PatchCore", config=PatchCoreConfig, factory="promptad.methods.patchcore:PatchCore", min_shots=1
    ),
    "spade": MethodEntry(title="SPADE", config=SPADEConfig, factory="promptad.methods.spade:SPADE", min_shots=1),
    "padim": MethodEntry(title="PaDiM", config=PaDiMConfig, factory="promptad.methods.padim:PaDiM", min_shots=1),
    "fastrecon": MethodEntry(
        title="FastRecon", config=FastReconConfig, factory="promptad.methods.fastrecon:FastRecon", min_shots=1
    ),
    "winclip": MethodEntry(
        title="WinCLIP",
        config=WinCLIPConfig,
        factory="promptad.methods.winclip:WinCLIP",
        min_shots=0,
        needs=("transformer", "text"),
    ),
    "winclip_plus": MethodEntry(
        title="WinCLIP+",
        config=WinCLIPPlusConfig,
        factory="promptad.methods.winclip:WinCLIPPlus",
        min_shots=1,
        needs=("transformer", "text"),
    ),
    "cocoop": MethodEntry(
        title="CoCoOp",
        config=CoCoOpConfig,
        factory="promptad.methods.cocoop:CoCoOp",
        min_shots=1,
        needs=("text",),
    ),
    "maple": MethodEntry(
        title="MaPLe",
        config=MaPLeConfig,
        factory="promptad.methods.maple:MaPLe",
        min_shots=1,
        needs=("transformer", "text"),
        settings=("one_class", "multi_class"),
    ),
    "anople": MethodEntry(
        title="AnoPLe, rebuilt",
        config=AnoPLeConfig,
        factory="promptad.methods.anople:AnoPLe",
        min_shots=1,
        needs=("transformer", "text"),
        settings=("one_class", "multi_class"),
    ),
    "rwda": MethodEntry(
        title="RWDA",
        config=RWDAConfig,
        factory="promptad.methods.rwda:RWDA",
        min_shots=0,
        tasks=("image",),
        needs=("text",),
    ),
    "simplenet": MethodEntry(
        title="SimpleNet", config=SimpleNetConfig, factory="promptad.methods.simplenet:SimpleNet", min_shots=1
    ),
    "differnet": MethodEntry(
        title="DifferNet",
        config=DifferNetConfig,
        factory="promptad.methods.differnet:DifferNet",
        min_shots=1,
        tasks=("image",),
    ),
    "mkd": MethodEntry(title="MKD", config=MKDConfig, factory="promptad.methods.mkd:MKD", min_shots=1),
}
"""Every method that a cell can name. A new one is a file in ``promptad/methods/``, a config and an entry here."""


def method_of(config: MethodConfig) -> str:
    """Name of the method whose config this is."""
    return next(name for name, entry in METHODS.items() if type(config) is entry.config)


def needs_of(config: MethodConfig) -> tuple[Need, ...]:
    """What a backbone must have for a method, as configured: PromptAD's visual memory alone needs no texts."""
    return tuple(need for need in METHODS[method_of(config)].needs if need != "text" or config.reads_texts)


def known_method(name: str, whose: str) -> MethodEntry:
    """The entry of a name, or ``ConfigError`` that names ``whose`` method it is and lists all methods."""
    if name not in METHODS:
        raise ConfigError(f"{whose} method must be one of {', '.join(METHODS)}, but got {name!r}")
    return METHODS[name]


def under_protocol(method: str, base: PromptADConfig) -> MethodConfig:
    """The default config of a method with the protocol of ``base``, so that all methods are measured equally.

    Copied is every field that PromptAD's config has too, where it means the same (see ``MethodConfig``), except
    ``selection`` of a method that does not learn in epochs.
    """
    kind = known_method(method, "an arm's").config
    if kind is type(base):
        return base
    names = set(kind.field_names()) & set(base.field_names())
    if not kind.learns:
        names -= {"selection"}
    return kind().with_changes({name: getattr(base, name) for name in names})
