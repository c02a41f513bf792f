"""The methods that the paper's tables name: what runs each one, and what the paper's numbers were measured with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ablations.arms import Arm, Measured, PrintedLevel, PrintedRow
from ablations.shots import Shots

_SUPPLEMENT = ("table11_13", "table12_14", "table15_17", "table16_18")
"""Which methods stand in these is inferred: supplement F marks a first and a second place, so that other methods do,
and theirs are the methods of Tables 1 and 4 that have numbers of both data sets and of images and pixels."""

BY_METHOD = ("table1", "table4", "table6", "table9", *_SUPPLEMENT)
"""The tables whose rows are methods, one row each. Those of Table 2 are methods at some shots: ``tables.py``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperMethod:
    """A method as the paper's tables name it.

    ``runs`` is the method of ``promptad.configs.method_table.METHODS`` that runs it (None: published numbers only, for
    the reason in ``not_built``), with ``changes`` to its config; ``measured`` is what the paper's numbers of it were
    measured with. ``tables`` are those of ``BY_METHOD`` in which it has a row.
    """

    runs: str | None
    not_built: str | None = None
    changes: Mapping[str, object] = field(default_factory=dict)
    measured: Measured = field(default_factory=Measured)
    tables: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raise ValueError for a table that has no row for each method, and for a method not built without a reason."""
        if (self.runs is None) != (self.not_built is not None):
            raise ValueError(
                "a method must have runs or not_built, and not both, but got "
                f"runs {self.runs!r} and not_built {self.not_built!r}"
            )
        if unknown := [table for table in self.tables if table not in BY_METHOD]:
            raise ValueError(
                f"tables of a method must be among {', '.join(BY_METHOD)}, but there is {', '.join(unknown)}"
            )


# Supplement A: SPADE, PaDiM and PatchCore "adopt the results recorded in WinCLIP", whose towers for them are CNNs
# trained on ImageNet, as those of FastRecon's paper, of full-shot PatchCore's, and of DifferNet's (AlexNet), MKD's
# (VGG16) and SimpleNet's (wide ResNet-50) released code are.
_IMAGENET = Measured(weights="imagenet")

METHODS: Mapping[str, PaperMethod] = {
    "CPE+WinCLIP": PaperMethod(runs="winclip", tables=("table6",)),
    # WinCLIP's prompts on the features of VV-CLIP: no window, no memory, no support image.
    "CPE+VV-CLIP": PaperMethod(runs="promptad", changes={"prompts": "ensemble", "vad": False}, tables=("table6",)),
    # Without SC there is CoOp's two-class form, without EAM its loss alone.
    "CoOp+VV-CLIP": PaperMethod(runs="promptad", changes={"sc": False, "eam": False, "vad": False}, tables=("table6",)),
    "CoCoOp+VV-CLIP": PaperMethod(runs="cocoop", tables=("table6",)),
    "MaPLe": PaperMethod(runs="maple", measured=Measured(unstated=frozenset({"pixel_auroc"})), tables=("table6",)),
    "SPADE": PaperMethod(runs="spade", measured=_IMAGENET, tables=("table1", "table4", *_SUPPLEMENT)),
    "PaDiM": PaperMethod(runs="padim", measured=_IMAGENET, tables=("table1", "table4", *_SUPPLEMENT)),
    "PatchCore": PaperMethod(runs="patchcore", measured=_IMAGENET, tables=("table1", "table4", "table9", *_SUPPLEMENT)),
    "WinCLIP+": PaperMethod(runs="winclip_plus", tables=("table1", "table4", "table9", *_SUPPLEMENT)),
    "RWDA": PaperMethod(runs="rwda", measured=Measured(described="abstract"), tables=("table1",)),
    "FastRecon": PaperMethod(runs="fastrecon", measured=_IMAGENET, tables=("table1", "table4")),
    "DiffNet": PaperMethod(runs="differnet", measured=_IMAGENET),
    "TDG": PaperMethod(
        runs=None,
        not_built="TDG trains generative networks at five scales for each category and uses no frozen tower",
    ),
    "RegAD": PaperMethod(
        runs=None,
        not_built="RegAD learns from the normal images of all other categories, which no other row of the table sees",
    ),
    "MKD": PaperMethod(runs="mkd", measured=_IMAGENET),
    "P-SVDD": PaperMethod(
        runs=None,
        not_built="P-SVDD learns its own encoder from nothing for each category and uses no frozen tower",
    ),
    "SimpleNet": PaperMethod(runs="simplenet", measured=_IMAGENET),
    "PromptAD": PaperMethod(runs="promptad", tables=BY_METHOD),
}
"""Every method that a table of the paper names, in the order of these tables' rows. A new one is one entry here, which
puts its row into the tables that it names."""


def method_arm(
    method: str,
    *,
    label: str | None = None,
    published: Mapping[str, PrintedLevel] | None = None,
    changes: Mapping[str, object] | None = None,
    shots: Shots | None = None,
) -> Arm:
    """The row of a table that compares methods.

    ``published`` are the row's further factors in ``published.csv``, ``changes`` those of the table on top of the
    method's. A row with ``shots`` of its own has them in its name and label, and as a factor.
    """
    own = METHODS[method]
    return Arm(
        name=method if shots is None else f"{method} {shots}",
        label=(label or method) + ("" if shots is None else f", {shots}-shot"),
        changes={**own.changes, **(changes or {})},
        factors={"method": method} if shots is None else {"method": method, "shots": shots},
        method=method,
        runs=own.runs or "promptad",
        published=PrintedRow.of(method, **(published or {})),
        measured=own.measured,
        shots=shots,
        not_runnable=own.not_built,
    )


def rows_of(table: str, arm: Callable[[str], Arm] = method_arm) -> tuple[Arm, ...]:
    """The rows of a table of ``BY_METHOD``: the methods whose entries name it, each made by ``arm``, in their order."""
    assert table in BY_METHOD
    return tuple(arm(name) for name, method in METHODS.items() if table in method.tables)
