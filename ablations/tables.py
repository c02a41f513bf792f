"""The tables of the paper."""

from __future__ import annotations

from ablations.arms import Arm
from ablations.designs import PaperTable
from ablations.spec import Ablation


def _table3_arm(name: str, label: str, *, sc: bool, eam: bool, vad: bool) -> Arm:
    components = {"sc": sc, "eam": eam, "vad": vad}
    return Arm(
        name=name,
        label=label,
        # The base is the full method, so that only what is off is a change.
        changes={component: False for component, on in components.items() if not on},
        factors={component.upper(): on for component, on in components.items()},
        published=f"method=PromptAD;sc={int(sc)};eam={int(eam)};vad={int(vad)}",
    )


TABLE3 = Ablation(
    name="table3",
    title="Table 3: semantic concatenation, explicit anomaly margin, vision-guided detection",
    question="What does each component of PromptAD add: SC, EAM and VAD?",
    design=PaperTable(
        rows=(
            _table3_arm("none", "baseline (CoOp, two classes)", sc=False, eam=False, vad=False),
            _table3_arm("sc", "SC", sc=True, eam=False, vad=False),
            _table3_arm("sc-eam", "SC + EAM", sc=True, eam=True, vad=False),
            _table3_arm("vad", "VAD", sc=False, eam=False, vad=True),
            _table3_arm("full", "SC + EAM + VAD (PromptAD)", sc=True, eam=True, vad=True),
        ),
        baseline="none",
        factor_labels={
            "SC": "semantic concatenation",
            "EAM": "explicit anomaly margin",
            "VAD": "vision-guided detection",
        },
    ),
    note=(
        "Without SC the prompts are CoOp's two-class form: one learned context shared by the classes "
        "'normal {object}' and 'abnormal {object}'. The VAD row is that baseline fused with the visual memory."
    ),
    shown_as=("arms", "effects", "delta_map", "per_category", "examples"),
    published="table3",
)
