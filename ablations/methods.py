"""The methods that the paper's tables name: what runs each one, and with which changes to its config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ablations.arms import Arm

METHODS: Mapping[str, Mapping[str, Any] | None] = {
    "PromptAD": {},
    # Without SC there is CoOp's two-class form, without EAM its loss alone.
    "CoOp+VV-CLIP": {"sc": False, "eam": False, "vad": False},
    # WinCLIP's prompts on the features of VV-CLIP: no window, no memory, no support image.
    "CPE+VV-CLIP": {"prompts": "ensemble", "vad": False},
    "CPE+WinCLIP": {},
    "CoCoOp+VV-CLIP": {},
    "MaPLe": {},
    "SPADE": {},
    "PaDiM": {},
    "PatchCore": {},
    "WinCLIP+": {},
    "RWDA": {},
    "FastRecon": {},
    "DiffNet": None,
    "TDG": None,
    "RegAD": None,
    "MKD": None,
    "P-SVDD": None,
    "SimpleNet": None,
}
"""Changes to the method's config; None: published numbers only. A new method is one entry here."""

RUNS: Mapping[str, str] = {
    "CoCoOp+VV-CLIP": "cocoop",
    "MaPLe": "maple",
    "SPADE": "spade",
    "PaDiM": "padim",
    "PatchCore": "patchcore",
    "RWDA": "rwda",
    "FastRecon": "fastrecon",
    "CPE+WinCLIP": "winclip",
    "WinCLIP+": "winclip_plus",
}
"""Which method of ``promptad.method_table.METHODS`` runs each; those not named are configs of PromptAD."""


def method_arm(
    method: str, *, label: str | None = None, published: str = "", changes: Mapping[str, Any] | None = None
) -> Arm:
    """The row of a table that compares methods.

    ``published`` are the row's further factors in ``published.csv``, ``changes`` those of the table on top of the
    method's.
    """
    own = METHODS[method]
    return Arm(
        name=method,
        label=label or method,
        changes={} if own is None else {**own, **(changes or {})},
        factors={"method": method},
        method=method,
        runs=RUNS.get(method, "promptad"),
        published=f"method={method}" + (f";{published}" if published else ""),
        not_runnable=f"{method} is not implemented here" if own is None else None,
    )
