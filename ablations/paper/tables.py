"""The tables of the paper and its supplement, except those by category (``supplement.py``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from ablations.arms import PAPER_ARCHITECTURE, PAPER_TAG, Arm, Depths, Measured, PrintedRow
from ablations.designs import PaperTable
from ablations.paper.methods import METHODS, method_arm, rows_of
from ablations.paper.notes import CPE_ROWS_ARE_EQUAL, LOCO_IS_CROPPED, VISA_IS_CROPPED
from ablations.spec import Ablation

_METHOD = {"method": "method"}


def _by_method(table: str) -> PaperTable:
    return PaperTable(rows=rows_of(table), baseline="PromptAD", factor_labels=_METHOD)


TABLE1 = Ablation(
    name="table1",
    title="Table 1: image-level detection by method",
    question="How does PromptAD compare with other few-shot methods in finding anomalous images?",
    design=_by_method("table1"),
    note=VISA_IS_CROPPED,
    metrics=("image_auroc",),
    shots=(1, 2, 4),
    shown_as=("arms", "effects", "per_category"),
    published="table1",
)

TABLE2 = Ablation(
    name="table2",
    title="Table 2: few shots against many",
    question="How many shots do other methods need to reach PromptAD with one or four?",
    design=PaperTable(
        rows=(
            method_arm("PromptAD", shots=1),
            method_arm("PromptAD", shots=4),
            method_arm("DiffNet", shots=16),
            method_arm("TDG", shots=10),
            method_arm("RegAD", shots=8),
            method_arm("FastRecon", shots=8),
            method_arm("MKD", shots="full"),
            method_arm("P-SVDD", shots="full"),
            method_arm(
                "PatchCore",
                label="PatchCore, 25 % of all patches",
                changes={"coreset": 0.25, "most_entries": 100_000},
                shots="full",
            ),
            method_arm("SimpleNet", shots="full"),
        ),
        baseline="PromptAD 1",
        factor_labels={**_METHOD, "shots": "normal images of a category"},
    ),
    note=(
        "Every row has the paper's own number of normal images, full meaning all of a category, and --shots changes "
        "none. Table 1 and Table 4 compare methods at equal shots. The other methods' printed numbers were measured "
        "on CNNs trained on ImageNet, a different one from row to row, or (TDG, P-SVDD) on networks trained from "
        "nothing; the runs here use one tower. RegAD's 8 images are the target's alone: it learns from the training "
        "sets of all other categories. SimpleNet takes 600 steps here, its paper about 4800 a category; MKD takes 600 "
        "steps of 16 images here, its paper about 2400 of 64."
    ),
    shown_as=("arms", "effects"),
    data_sets=("mvtec",),
    published="table2",
)


def _table3_arm(name: str, label: str, changes: Mapping[str, object], *, sc: bool, eam: bool, vad: bool) -> Arm:
    return Arm(
        name=name,
        label=label,
        changes=changes,
        factors={"SC": sc, "EAM": eam, "VAD": vad},
        published=PrintedRow.of("PromptAD", sc=sc, eam=eam, vad=vad),
    )


TABLE3 = Ablation(
    name="table3",
    title="Table 3: semantic concatenation, explicit anomaly margin, vision-guided detection",
    question="What does each component of PromptAD add: SC, EAM and VAD?",
    design=PaperTable(
        rows=(
            _table3_arm(
                "none", "baseline (CoOp, two classes)", METHODS["CoOp+VV-CLIP"].changes, sc=False, eam=False, vad=False
            ),
            _table3_arm("sc", "SC", {"eam": False, "vad": False}, sc=True, eam=False, vad=False),
            _table3_arm("sc-eam", "SC + EAM", {"vad": False}, sc=True, eam=True, vad=False),
            _table3_arm("vad", "VAD", {"pad": False}, sc=False, eam=False, vad=True),
            _table3_arm("full", "SC + EAM + VAD (PromptAD)", {}, sc=True, eam=True, vad=True),
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
        "'normal {object}' and 'abnormal {object}'. The VAD row is the visual memory alone, without prompts: the paper "
        f"prints the same 93.2 for it in Table 10. {VISA_IS_CROPPED}"
    ),
    shown_as=("arms", "effects", "delta_map", "per_category", "examples"),
    published="table3",
)

TABLE4 = Ablation(
    name="table4",
    title="Table 4: pixel-level localisation by method",
    question="How does PromptAD compare with other few-shot methods in locating defects?",
    design=_by_method("table4"),
    note=VISA_IS_CROPPED,
    metrics=("pixel_auroc",),
    shots=(1, 2, 4),
    shown_as=("arms", "effects", "per_category", "examples"),
    published="table4",
)


def _table5_arm(transformation: str, label: str, *, learned: bool) -> Arm:
    method = "PromptAD" if learned else "CPE+VV-CLIP"
    changes = {**METHODS[method].changes, "vad": False}
    return Arm(
        name=f"{transformation}{' + ours' if learned else ''}",
        label=f"{label}{' + ours' if learned else ''}",
        changes=changes if transformation == "vv" else {**changes, "transformation": transformation},
        factors={"transformation": transformation, "prompts": "learned" if learned else "ensemble"},
        method="PromptAD" if learned else "CPE",
        published=PrintedRow.of(
            "PromptAD" if learned else "CPE", transformation=transformation, prompt_learning=learned, vad=False
        ),
    )


TABLE5 = Ablation(
    name="table5",
    title="Table 5: transformations of CLIP's image tower",
    question="Which local features suit prompts, and does learning the prompts make up for bad ones?",
    design=PaperTable(
        rows=(
            _table5_arm("clip", "CLIP", learned=False),
            _table5_arm("clip", "CLIP", learned=True),
            _table5_arm("linear", "CLIP+Linear", learned=True),
            _table5_arm("maskclip", "MaskCLIP", learned=False),
            _table5_arm("maskclip", "MaskCLIP", learned=True),
            _table5_arm("vv", "VV-CLIP", learned=False),
            _table5_arm("vv", "VV-CLIP", learned=True),
        ),
        baseline="vv",
        factor_labels={"transformation": "CLIP transformation", "prompts": "prompts"},
    ),
    note=(
        "Without VAD. Rows without 'ours' are zero-shot: WinCLIP's 242 texts. The paper speaks of about 1000, without "
        f"printing them; Figure 1 shows what their number does. {VISA_IS_CROPPED}"
    ),
    metrics=("pixel_auroc",),
    shown_as=("arms", "effects", "delta_map"),
    published="table5",
)

_WITHOUT_VAD = {"vad": False}


def _table6_arm(method: str) -> Arm:
    return method_arm(
        method,
        label=f"{method} (0-shot)" if method in ("CPE+WinCLIP", "CPE+VV-CLIP") else None,
        published={"vad": False},
        changes=_WITHOUT_VAD if method == "PromptAD" else None,
    )


TABLE6 = Ablation(
    name="table6",
    title="Table 6: prompt-learning methods",
    question="Does prompt learning beat an ensemble of fixed prompts, and which kind of learning does?",
    design=PaperTable(
        rows=rows_of("table6", _table6_arm),
        baseline="CPE+VV-CLIP",
        factor_labels=_METHOD,
    ),
    note=(
        "Without VAD. CPE and WinCLIP see no support image and draw nothing: their seeds are equal. MaPLe's pixel "
        "scores are those of its prompted tower's V-V branch; the paper does not say what its own are. "
        f"{CPE_ROWS_ARE_EQUAL} {VISA_IS_CROPPED}"
    ),
    shown_as=("arms", "effects", "delta_map"),
    published="table6",
)


def _table7_arm(name: str, label: str, *, maps: bool, laps: bool) -> Arm:
    return Arm(
        name=name,
        label=label,
        changes={**({} if maps else {"maps": False}), **({} if laps else {"laps": False}), **_WITHOUT_VAD},
        factors={"MAPs": maps, "LAPs": laps},
        published=PrintedRow.of("PromptAD", maps=maps, laps=laps, vad=False),
    )


TABLE7 = Ablation(
    name="table7",
    title="Table 7: manual and learnable anomaly prompts",
    question="Which anomaly prompts does PromptAD need: the manual ones (MAPs) or the learnable ones (LAPs)?",
    design=PaperTable(
        rows=(
            Arm(
                name="cpe",
                label="CPE+VV-CLIP (0-shot)",
                changes=METHODS["CPE+VV-CLIP"].changes,
                method="CPE+VV-CLIP",
                published=PrintedRow.of("CPE+VV-CLIP", maps=None, laps=None, vad=False),
            ),
            _table7_arm("no-maps", "PromptAD without MAPs", maps=False, laps=True),
            _table7_arm("no-laps", "PromptAD without LAPs", maps=True, laps=False),
            _table7_arm("full", "PromptAD", maps=True, laps=True),
        ),
        baseline="full",
        factor_labels={"MAPs": "manual anomaly prompts", "LAPs": "learnable anomaly prompts"},
    ),
    note=f"Without VAD. {CPE_ROWS_ARE_EQUAL} {VISA_IS_CROPPED}",
    shown_as=("arms", "effects", "delta_map"),
    published="table7",
)


def _table8_arm(
    label: str, architecture: str, tag: str | None, *, weights: Literal["paper", "unnamed"] = "unnamed"
) -> Arm:
    return Arm(
        name=architecture,
        label=label,
        factors={"backbone": architecture},
        backbone=architecture if tag is None else f"{architecture}:{tag}",
        published=None if tag is None else PrintedRow.of("PromptAD", backbone=architecture),
        measured=Measured(weights=weights),
    )


TABLE8 = Ablation(
    name="table8",
    title="Table 8: backbones",
    question="How much of the result is the backbone's?",
    design=PaperTable(
        rows=(
            _table8_arm("ResNet101", "RN101", "openai"),
            _table8_arm("ViT-L/14", "ViT-L-14", "laion400m_e32"),
            _table8_arm("ViT-B/16+", PAPER_ARCHITECTURE, PAPER_TAG, weights="paper"),
            _table8_arm("embedded tiny CLIP (not in the paper)", "tiny", None),
        ),
        baseline=PAPER_ARCHITECTURE,
        factor_labels={"backbone": "backbone"},
    ),
    note=(
        "The paper names no weights for ResNet101 and ViT-L/14; OpenAI's and LAION-400M's are our choice. A row runs "
        "where its weights are on the machine, or named by a further --backbone. How V-V attention is "
        f"put into both is ours too (docs/protocols.md). {VISA_IS_CROPPED}"
    ),
    shots=(1, 2, 4),
    shown_as=("arms", "effects"),
    published="table8",
)

TABLE9 = Ablation(
    name="table9",
    title="Table 9: MPDD and MVTec LOCO",
    question="Does PromptAD hold on other data: painted metal parts, and logical anomalies?",
    design=_by_method("table9"),
    note=(
        "The paper prints no own suffixes for MPDD and LOCO: PromptAD has the generic ones alone here, and --suffixes "
        "FILE gives a category its own. LOCO's logical and structural anomalies are pooled, an image's masks united "
        "and their saturation not read: right for AUROC, while PRO is not LOCO's sPRO. "
        f"{LOCO_IS_CROPPED}"
    ),
    shots=(1, 2, 4),
    shown_as=("arms", "effects", "per_category"),
    data_sets=("mpdd", "loco"),
    published="table9",
)

_VISUAL_ALONE = {"pad": False}

TABLE10 = Ablation(
    name="table10",
    title="Table 10: layers of the visual memory",
    question="Which blocks' patches should the visual memory keep?",
    design=PaperTable(
        rows=(
            Arm(
                name="6+9",
                label="blocks 6 and 9 of 12",
                changes={**_VISUAL_ALONE, "memory_layers": Depths((6, 9), of=12)},
                factors={"memory_layers": "6+9"},
                published=PrintedRow.of("PromptAD", memory_layers="6+9", pad=False, vad=True),
            ),
            Arm(
                name="3+8",
                label="blocks 3 and 8 of 12",
                changes=_VISUAL_ALONE,
                factors={"memory_layers": "3+8"},
                published=PrintedRow.of("PromptAD", memory_layers="3+8", pad=False, vad=True),
            ),
        ),
        baseline="6+9",
        factor_labels={"memory_layers": "memory layers"},
    ),
    note=(
        "The visual branch alone, without prompts. Layers are scaled to the backbone's depth; 3+8 is the default "
        "of every backbone (docs/protocols.md)."
    ),
    metrics=("pixel_auroc",),
    shown_as=("arms", "effects", "per_category", "delta_map"),
    data_sets=("mvtec",),
    published="table10",
)

TABLES = (TABLE1, TABLE2, TABLE3, TABLE4, TABLE5, TABLE6, TABLE7, TABLE8, TABLE9, TABLE10)
