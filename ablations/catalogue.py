"""The ablations that come with the project. A new table is one entry here."""

from __future__ import annotations

from ablations.spec import Ablation, Arm


def _components(*, sc: bool, eam: bool, vad: bool) -> dict[str, bool]:
    """The components as changes to the full method: only those that are off."""
    return {name: False for name, on in {"sc": sc, "eam": eam, "vad": vad}.items() if not on}


def _table3_arm(name: str, label: str, *, sc: bool, eam: bool, vad: bool) -> Arm:
    return Arm(
        name=name,
        label=label,
        changes=_components(sc=sc, eam=eam, vad=vad),
        marks={"SC": sc, "EAM": eam, "VAD": vad},
        published=f"sc={int(sc)};eam={int(eam)};vad={int(vad)}",
    )


TABLE3 = Ablation(
    name="table3",
    title="Table 3: semantic concatenation, explicit anomaly margin, vision-guided detection",
    question="What does each component of PromptAD add: SC, EAM and VAD?",
    arms=(
        _table3_arm("none", "baseline (CoOp, two classes)", sc=False, eam=False, vad=False),
        _table3_arm("sc", "SC", sc=True, eam=False, vad=False),
        _table3_arm("sc-eam", "SC + EAM", sc=True, eam=True, vad=False),
        _table3_arm("vad", "VAD", sc=False, eam=False, vad=True),
        _table3_arm("full", "SC + EAM + VAD (PromptAD)", sc=True, eam=True, vad=True),
    ),
    baseline="none",
    note=(
        "Without SC the prompts are CoOp's two-class form: one learned context shared by the classes "
        "'normal {object}' and 'abnormal {object}'. The VAD row is that baseline fused with the visual memory."
    ),
    published="table3",
)

CATALOGUE: dict[str, Ablation] = {ablation.name: ablation for ablation in (TABLE3,)}
"""Every ablation by the name that ``run`` takes."""

DEFAULT: tuple[str, ...] = ("table3",)
"""What ``run`` runs when no name is given."""
