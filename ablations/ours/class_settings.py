"""One model for all categories beside a model for each: what it costs."""

from __future__ import annotations

from ablations.arms import Arm
from ablations.designs import PaperTable
from ablations.spec import Ablation
from promptad.configs.method_table import METHODS

_TITLES = {"one_class": "a model for each category", "multi_class": "one model for all"}
_NOTE = (
    "One model for all categories has one set of learnable parameters, which learns from the support images of every "
    "category at once, by the mean of their losses. Words of the prompts, the manual suffixes of a category, and its "
    "visual memory stay its own. Both settings see the same support images; their initial tokens are different draws."
)


def _arms(runs: str) -> tuple[Arm, ...]:
    title = METHODS[runs].title
    return tuple(
        Arm(
            name=runs if setting == "one_class" else f"{runs}, {setting}",
            label=title,
            changes={} if setting == "one_class" else {"setting": setting},
            factors={"method": title, "setting": words},
            method=title,
            runs=runs,
        )
        for setting, words in _TITLES.items()
    )


MULTI_CLASS = Ablation(
    name="multi_class",
    title="One model for all categories, or a model for each",
    question="What does one model for all categories cost?",
    design=PaperTable(
        rows=(*_arms("promptad"), *_arms("maple"), *_arms("anople")),
        baseline="promptad",
        factor_labels={"method": "method", "setting": "models"},
    ),
    note=(
        f"{_NOTE} What it costs MaPLe and AnoPLe are the effects in multi_class_maple and multi_class_anople. AnoPLe "
        "is rebuilt (docs/methods.md)."
    ),
    shown_as=("arms", "effects", "delta_map", "per_category"),
)

MULTI_CLASS_MAPLE = Ablation(
    name="multi_class_maple",
    title="One MaPLe for all categories, or one for each",
    question="What does one model for all categories cost MaPLe?",
    design=PaperTable(rows=_arms("maple"), baseline="maple", factor_labels={"method": "method", "setting": "models"}),
    note=f"{_NOTE} The same cells as in multi_class.",
    shown_as=("arms", "effects", "delta_map"),
)

MULTI_CLASS_ANOPLE = Ablation(
    name="multi_class_anople",
    title="One AnoPLe, rebuilt, for all categories, or one for each",
    question="What does one model for all categories cost AnoPLe?",
    design=PaperTable(rows=_arms("anople"), baseline="anople", factor_labels={"method": "method", "setting": "models"}),
    note=f"{_NOTE} The same cells as in multi_class.",
    shown_as=("arms", "effects", "delta_map"),
)

CLASS_SETTINGS = (MULTI_CLASS, MULTI_CLASS_MAPLE, MULTI_CLASS_ANOPLE)
