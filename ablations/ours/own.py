"""Questions that the paper does not ask: effects of its protocol, its draw of images, and its parts together."""

from __future__ import annotations

from ablations.arms import Arm, PrintedRow
from ablations.designs import Cumulative, Factor, Factorial, LeaveOneOut, Level, OneFactorAtATime, PaperTable
from ablations.fractions import FractionalFactorial
from ablations.ours.class_settings import CLASS_SETTINGS
from ablations.ours.costs import COSTS
from ablations.ours.forms import FORMS
from ablations.ours.ready_spaces import PAPER
from ablations.paper.methods import METHODS
from ablations.sobol import SobolSet
from ablations.spec import Ablation
from promptad.configs.protocol import DEVIATIONS, PROTOCOLS

_IDLE_ALONE = {
    "D8": (
        "no effect: with N = 1 the pairs are the same, and so they are with D9's N = 3 and L = 4, which have no common "
        "divisor"
    )
}

PROTOCOL_AUDIT = Ablation(
    name="protocol_audit",
    title="Protocol audit: the paper against the released code",
    question="What does each departure of the released code add to the number that it reports?",
    design=PaperTable(
        rows=(
            Arm(name="paper", label="paper (ours where it is silent)", factors={"protocol": "paper"}),
            *(
                Arm(
                    name=deviation.number,
                    label=f"{deviation.number}: {deviation.title}",
                    changes=deviation.changes,
                    factors={"protocol": deviation.number},
                    not_runnable=_IDLE_ALONE.get(deviation.number),
                )
                for deviation in DEVIATIONS
            ),
            Arm(
                name="reference, last epoch",
                label="all together, but the last epoch",
                changes={name: value for name, value in PROTOCOLS["reference"].items() if name != "selection"},
                factors={"protocol": "reference, last epoch"},
            ),
            Arm(
                name="reference",
                label="all together (the released code)",
                changes=PROTOCOLS["reference"],
                factors={"protocol": "reference"},
            ),
        ),
        baseline="paper",
        factor_labels={"protocol": "departure"},
    ),
    note=(
        "D2 and the released code pick the epoch on the test set: their rows keep the whole curve, and their numbers "
        "are maxima over epochs. docs/protocols.md says what each departure is."
    ),
    shown_as=("arms", "effects", "curves", "delta_map"),
)

SUPPORT_SETS = Ablation(
    name="support_sets",
    title="Support-set sensitivity",
    question="How much of a published gain is the draw of the support images?",
    design=PaperTable(
        rows=(
            Arm(name="full", label="PromptAD", factors={"variant": "full"}),
            Arm(
                name="fixed",
                label="PromptAD, one support set for all seeds",
                changes={"support_draw": "fixed"},
                factors={"variant": "fixed"},
            ),
            Arm(
                name="prompts",
                label="prompt-guided alone",
                changes={"vad": False},
                factors={"variant": "prompts"},
            ),
            Arm(name="visual", label="vision-guided alone", changes={"pad": False}, factors={"variant": "visual"}),
        ),
        baseline="full",
        factor_labels={"variant": "variant"},
    ),
    note=(
        "A seed draws the support images and the initial tokens. What is left of the spread with one support set is "
        "the tokens'; the visual branch alone has no tokens. More seeds (--seeds 20) make the dots a distribution."
    ),
    shown_as=("dots", "arms", "effects"),
)

_SC = Factor.switch("SC", "semantic concatenation", off={"sc": False}, on={"sc": True})
_EAM = Factor.switch("EAM", "explicit anomaly margin", off={"eam": False}, on={"eam": True})
_VAD = Factor.switch("VAD", "vision-guided detection", off={"vad": False}, on={"vad": True})

INTERACTIONS = Ablation(
    name="interactions",
    title="Interactions of SC, EAM and VAD",
    question="Do the components add up, or does one take away what another gives?",
    design=Factorial(
        factors=(_SC, _EAM, _VAD),
        published={
            "none": PrintedRow.of("PromptAD", sc=False, eam=False, vad=False),
            "SC": PrintedRow.of("PromptAD", sc=True, eam=False, vad=False),
            "SC + EAM": PrintedRow.of("PromptAD", sc=True, eam=True, vad=False),
            "SC + EAM + VAD": PrintedRow.of("PromptAD", sc=True, eam=True, vad=True),
        },
    ),
    note=(
        "All eight combinations are valid and different; four of them are rows of Table 3. EAM without SC, which the "
        "paper does not run, puts the margin between CoOp's two classes. VAD alone is fused with CoOp here, while "
        "Table 3's row is the visual branch without prompts."
    ),
    shown_as=("main_effects", "arms", "effects"),
    published="table3",
)

STEPS = Ablation(
    name="steps",
    title="PromptAD step by step",
    question="What does each component add on top of those before it?",
    design=Cumulative(factors=(_SC, _EAM, _VAD)),
    note="The same cells as four rows of Table 3.",
    shown_as=("arms", "effects"),
)


def _part(name: str, label: str, field: str) -> Factor:
    on, off = ({field: value} for value in (True, False))
    return Factor(name=name, label=label, levels=(Level(value=True, changes=on), Level(value=False, changes=off)))


LEAVE_ONE_OUT = Ablation(
    name="leave_one_out",
    title="PromptAD without one of its parts",
    question="Which part is missed most?",
    design=LeaveOneOut(
        factors=(
            _part("SC", "semantic concatenation", "sc"),
            _part("EAM", "explicit anomaly margin", "eam"),
            _part("MAPs", "manual anomaly prompts", "maps"),
            _part("LAPs", "learnable anomaly prompts", "laps"),
            _part("PAD", "prompt-guided branch", "pad"),
            _part("VAD", "vision-guided branch", "vad"),
        )
    ),
    note="Without SC there are neither MAPs nor LAPs, without PAD no prompts at all.",
    shown_as=("arms", "effects", "delta_map"),
)

SCREENING = Ablation(
    name="screening",
    title="Screening of the hyperparameters",
    question="Which hyperparameters matter at all?",
    design=FractionalFactorial(
        factors=(
            Factor(
                name="N",
                label="normal prompts N",
                levels=tuple(
                    Level(value=n, changes={"n_normal_prompts_image": n, "n_normal_prompts_pixel": n}) for n in (1, 3)
                ),
            ),
            Factor.of("n_anomaly_suffixes", 4, 8, name="L", label="learnable suffixes L"),
            Factor.of("n_normal_tokens", 4, 8, name="E_N", label="tokens of a prefix E_N"),
            Factor.of("n_anomaly_tokens", 1, 2, name="E_A", label="tokens of a suffix E_A"),
            Factor.of("align_weight", 0.001, 0.1, name="lambda", label="alignment weight λ"),
            Factor.of("learning_rate", 0.002, 0.02, name="rate", label="learning rate"),
            Factor.of("learning_rate_schedule", "constant", "cosine", name="schedule", label="learning rate schedule"),
        ),
        runs=8,
        resolution=3,
    ),
    note=(
        "A 2^(7-4) fraction of resolution III: main effects are clear of each other, but confused with interactions "
        "of two factors."
    ),
    shown_as=("main_effects", "arms"),
)

EAM_STRENGTH = Ablation(
    name="eam",
    title="The margin of EAM, and its weight",
    question="Does a hyper-parameter of the explicit anomaly margin control anything that the scores show?",
    design=OneFactorAtATime(
        factors=(
            Factor.of("margin", 0.0, 0.1, 0.2, 0.5, label="margin of eq. 13"),
            Factor.of("margin_weight", 1.0, 0.1, 10.0, name="weight", label="weight of eq. 13"),
        )
    ),
    note=(
        "The paper says that EAM controls the distance through a hyper-parameter (abstract, third contribution), but "
        "section 4.3 fixes the margin of eq. 13 to zero and prints no weight. Which values are tried is ours. "
        "Distances are Euclidean, at most 2 between unit vectors."
    ),
    shown_as=("slice", "arms", "effects"),
)

TRANSFER = Ablation(
    name="transfer",
    title="Do objectives without test labels rank hyperparameters as the test set does?",
    question="If λ, N and L are chosen without test labels of the category, how good is the choice on its test set?",
    design=SobolSet(space=PAPER),
    note=(
        "Sixteen settings of the paper's λ, N and L, an even (Sobol) set. Each is judged three ways: on "
        "pseudo-anomalies on the category's support images, on the test sets of the other categories, and on its own "
        "test set."
    ),
    shots=(2,),
    queries=("test", "synthetic"),
    shown_as=("transfer", "arms"),
)


def _tower_arm(method: str, *, cnn: bool) -> Arm:
    runs = METHODS[method].runs
    assert runs is not None
    return Arm(
        name=f"{runs}-cnn" if cnn else runs,
        label=f"{method}, {'ImageNet CNN' if cnn else 'CLIP'}",
        factors={"method": method, "tower": "wide_resnet50_2" if cnn else "CLIP"},
        runs=runs,
        backbone="timm/wide_resnet50_2:tv_in1k" if cnn else None,
    )


TOWERS = Ablation(
    name="towers",
    title="Methods without prompts: is it the method or the tower?",
    question="The papers of SPADE, PaDiM, PatchCore and FastRecon use an ImageNet CNN. What does CLIP's tower do?",
    design=PaperTable(
        rows=tuple(
            _tower_arm(method, cnn=cnn)
            for method in ("SPADE", "PaDiM", "PatchCore", "FastRecon")
            for cnn in (False, True)
        ),
        baseline="patchcore",
        factor_labels={"method": "method", "tower": "image tower"},
    ),
    note=(
        "PatchCore's wide ResNet with torchvision's weights, or those of a further --backbone "
        "timm/wide_resnet50_2:...; its rows run where the weights are on the machine."
    ),
    shown_as=("arms", "effects", "per_category"),
)

OWN = (
    *(PROTOCOL_AUDIT, SUPPORT_SETS, INTERACTIONS, STEPS, LEAVE_ONE_OUT, SCREENING, EAM_STRENGTH),
    *(TRANSFER, TOWERS, *COSTS, FORMS, *CLASS_SETTINGS),
)
