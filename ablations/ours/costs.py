"""Costs of every method beside its scores: numbers of prompts and parameters, seconds and operations."""

from __future__ import annotations

from ablations.designs import PaperTable
from ablations.paper.methods import method_arm
from ablations.spec import Ablation

_METHODS = (
    *("PromptAD", "CoOp+VV-CLIP", "CoCoOp+VV-CLIP", "MaPLe", "CPE+VV-CLIP", "CPE+WinCLIP", "WinCLIP+"),
    *("SPADE", "PaDiM", "PatchCore", "FastRecon", "SimpleNet", "MKD"),
)
_LABELS = {"CPE+WinCLIP": "WinCLIP"}


def _cost(name: str, title: str, metric: str, methods: tuple[str, ...]) -> Ablation:
    return Ablation(
        name=name,
        title=title,
        question="How many prompts, learned parameters, seconds and operations does each method need?",
        design=PaperTable(
            rows=tuple(method_arm(method, label=_LABELS.get(method)) for method in methods),
            baseline=None,
            factor_labels={"method": "method"},
        ),
        note=(
            "The paper says that PromptAD uses fewer prompts than WinCLIP+ and RWDA (section 5.1), 10 to 20, which are "
            "about 980 fewer than WinCLIP uses (section 1). These cells are shared with no other table, since they "
            "measure what they cost beside their scores."
        ),
        metrics=(metric,),
        shown_as=("cost", "arms"),
        artefacts=("cost",),
        most_seeds=1,
    )


COSTS = (
    # RWDA and DiffNet score images alone.
    _cost("cost", "What does it cost to score images?", "image_auroc", (*_METHODS, "RWDA", "DiffNet")),
    _cost("cost_pixel", "What does it cost to locate defects?", "pixel_auroc", _METHODS),
)
