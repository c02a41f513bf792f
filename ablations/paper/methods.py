"""The methods that the paper's tables name: what runs each one, and what the paper's numbers were measured with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ablations.arms import Arm, Measured, PrintedLevel, PrintedRow
from ablations.shots import Shots


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperMethod:
    """A method as the paper's tables name it.

    ``runs`` is the method of ``promptad.configs.method_table.METHODS`` that runs it (None: published numbers only),
    with ``changes`` to its config; ``measured`` is what the paper's numbers of it were measured with.
    """

    runs: str | None
    changes: Mapping[str, object] = field(default_factory=dict)
    measured: Measured = field(default_factory=Measured)


# Supplement A: SPADE, PaDiM and PatchCore "adopt the results recorded in WinCLIP", whose towers for them are CNNs
# trained on ImageNet, as those of FastRecon's paper and of full-shot PatchCore's are.
_IMAGENET = Measured(weights="imagenet")

METHODS: Mapping[str, PaperMethod] = {
    "PromptAD": PaperMethod(runs="promptad"),
    # Without SC there is CoOp's two-class form, without EAM its loss alone.
    "CoOp+VV-CLIP": PaperMethod(runs="promptad", changes={"sc": False, "eam": False, "vad": False}),
    # WinCLIP's prompts on the features of VV-CLIP: no window, no memory, no support image.
    "CPE+VV-CLIP": PaperMethod(runs="promptad", changes={"prompts": "ensemble", "vad": False}),
    "CPE+WinCLIP": PaperMethod(runs="winclip"),
    "CoCoOp+VV-CLIP": PaperMethod(runs="cocoop"),
    "MaPLe": PaperMethod(runs="maple", measured=Measured(unstated=frozenset({"pixel_auroc"}))),
    "SPADE": PaperMethod(runs="spade", measured=_IMAGENET),
    "PaDiM": PaperMethod(runs="padim", measured=_IMAGENET),
    "PatchCore": PaperMethod(runs="patchcore", measured=_IMAGENET),
    "WinCLIP+": PaperMethod(runs="winclip_plus"),
    "RWDA": PaperMethod(runs="rwda", measured=Measured(described="abstract")),
    "FastRecon": PaperMethod(runs="fastrecon", measured=_IMAGENET),
    "DiffNet": PaperMethod(runs=None),
    "TDG": PaperMethod(runs=None),
    "RegAD": PaperMethod(runs=None),
    "MKD": PaperMethod(runs=None),
    "P-SVDD": PaperMethod(runs=None),
    "SimpleNet": PaperMethod(runs=None),
}
"""Every method that a table of the paper names. A new one is one entry here."""


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
        not_runnable=f"{method} is not implemented here" if own.runs is None else None,
    )
