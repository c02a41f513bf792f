"""The supplement's tables by category (11 to 18): one entry a metric, for both data sets."""

from __future__ import annotations

from ablations.designs import PaperTable
from ablations.methods import method_arm
from ablations.spec import Ablation, Metric


def _by_category(name: str, numbers: str, text: str, metric: Metric) -> Ablation:
    return Ablation(
        name=name,
        title=f"Tables {numbers}: {text} by category",
        question=f"How does PromptAD's {text} differ from category to category, and with the number of shots?",
        design=PaperTable(rows=(method_arm("PromptAD"),), baseline=None),
        note="The paper's numbers of these tables are not in this project.",
        metrics=(metric,),
        shots=(1, 2, 4),
        shown_as=("per_category",),
    )


SUPPLEMENT = (
    _by_category("table11_13", "11 (MVTec) and 13 (VisA)", "image AUROC", "image_auroc"),
    _by_category("table12_14", "12 (MVTec) and 14 (VisA)", "pixel AUROC", "pixel_auroc"),
    _by_category("table15_17", "15 (MVTec) and 17 (VisA)", "image AUPR", "image_aupr"),
    _by_category("table16_18", "16 (MVTec) and 18 (VisA)", "PRO", "pro"),
)
