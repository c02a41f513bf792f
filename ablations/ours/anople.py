"""AnoPLe's questions, asked of AnoPLe as it is rebuilt here: prompts, views, pseudo-anomalies, parts and lengths."""

from __future__ import annotations

from collections.abc import Mapping

from ablations.arms import Arm, Measured, PrintedRow
from ablations.designs import Factor, OneFactorAtATime, PaperTable
from ablations.paper.methods import method_arm
from ablations.spec import Ablation

_TITLE = "AnoPLe, rebuilt"
_EXCERPTS = Measured(weights="unnamed", described="excerpts")
_REBUILT = (
    "AnoPLe is rebuilt from its abstract, its captions and notes on its second version (docs/methods.md): whatever "
    "they leave open is ours, and its authors' numbers cannot be compared with these."
)


def _arm(name: str, label: str, factor: str, changes: Mapping[str, object]) -> Arm:
    return Arm(
        name=name,
        label=label,
        changes=changes,
        factors={factor: name},
        method=_TITLE,
        runs="anople",
        measured=_EXCERPTS,
    )


_TEXT_ALONE = {"n_visual_tokens": 0, "coupling": "none"}
_VISUAL_ALONE = {"n_text_tokens": 0, "coupling": "none"}
_WITHOUT_PASTED = {"pixel_anomalies": False, "local_alignment": False}

ANOPLE_PROMPTS = Ablation(
    name="anople_prompts",
    title="AnoPLe, rebuilt: prompts of which tower, coupled in which direction",
    question="Do prompts of both towers help, and which should know of the other?",
    design=PaperTable(
        rows=(
            _arm("text", "text prompts alone", "prompts", _TEXT_ALONE),
            _arm("visual", "visual prompts alone", "prompts", _VISUAL_ALONE),
            _arm("text to image", "both, text mapped to image", "prompts", {"coupling": "text_to_image"}),
            _arm("image to text", "both, image mapped to text", "prompts", {"coupling": "image_to_text"}),
            _arm("both", "both, mapped both ways (AnoPLe)", "prompts", {}),
        ),
        baseline="both",
        factor_labels={"prompts": "prompts"},
    ),
    note=_REBUILT,
    shown_as=("arms", "effects", "delta_map"),
)

ANOPLE_VIEWS = Ablation(
    name="anople_views",
    title="AnoPLe, rebuilt: one view of an image or several",
    question="Does it help to learn from parts of an image, and to know which part it is?",
    design=PaperTable(
        rows=(
            _arm("whole", "whole image", "views", {"views": "whole", "view_signal": "none"}),
            _arm("quarters", "with quarters, without rows", "views", {"view_signal": "none"}),
            _arm("decoder", "with quarters, rows read by the decoder", "views", {"view_signal": "decoder"}),
            _arm("tower", "with quarters, rows in the tower (AnoPLe)", "views", {}),
        ),
        baseline="tower",
        factor_labels={"views": "views"},
    ),
    note=f"The quarters are cut from the image at twice the tower's size. {_REBUILT}",
    shown_as=("arms", "effects", "delta_map"),
)

ANOPLE_ANOMALIES = Ablation(
    name="anople_anomalies",
    title="AnoPLe, rebuilt: pseudo-anomalies in pixels, in features, or in both",
    question="Which pseudo-anomalies teach what an anomaly is?",
    design=PaperTable(
        rows=(
            _arm("none", "none: normal views alone", "anomalies", {**_WITHOUT_PASTED, "latent_anomalies": False}),
            _arm("pixel", "in pixels", "anomalies", {"latent_anomalies": False}),
            _arm("latent", "in features", "anomalies", _WITHOUT_PASTED),
            _arm("both", "in both (AnoPLe)", "anomalies", {}),
        ),
        baseline="both",
        factor_labels={"anomalies": "pseudo-anomalies"},
    ),
    note=(
        "Without pasted anomalies (rows none and in features) there is no alignment, and the loss of images sees "
        f"normal views alone. {_REBUILT}"
    ),
    shown_as=("arms", "effects", "delta_map"),
)

ANOPLE_PARTS = Ablation(
    name="anople_parts",
    title="AnoPLe, rebuilt, without one of its parts",
    question="Which part of AnoPLe is missed most?",
    design=PaperTable(
        rows=(
            _arm("all", "all parts (AnoPLe)", "part", {}),
            _arm("no alignment", "without alignment", "part", {"local_alignment": False}),
            _arm("no memory", "without visual memory", "part", {"memory": False}),
            _arm("no decoder", "without decoder", "part", {"decoder": "none"}),
            _arm("patch decoder", "decoder of single patches", "part", {"decoder": "patches"}),
        ),
        baseline="all",
        factor_labels={"part": "parts"},
    ),
    note=_REBUILT,
    shown_as=("arms", "effects", "delta_map"),
)

ANOPLE_LENGTHS = Ablation(
    name="anople_lengths",
    title="AnoPLe, rebuilt: lengths of the contexts",
    question="How many learnable tokens should either tower have?",
    design=OneFactorAtATime(
        factors=(
            Factor.of("n_text_tokens", 2, 1, 4, 8, name="text", label="text tokens"),
            Factor.of("n_visual_tokens", 2, 1, 4, 8, name="visual", label="visual tokens"),
        ),
        of_method="anople",
    ),
    note=f"The lengths that Figure 5 of AnoPLe's paper tries are not known here; these are ours. {_REBUILT}",
    shown_as=("slice", "arms", "effects"),
)

ANOPLE_METHODS = Ablation(
    name="anople_methods",
    title="AnoPLe, rebuilt, beside prompts that know the defects and prompts that do not",
    question="Is it enough to imitate anomalies, without texts that name the object's defects?",
    design=PaperTable(
        rows=(
            Arm(
                name="PromptAD",
                label="PromptAD",
                factors={"method": "PromptAD"},
            ),
            Arm(
                name="PromptAD-g",
                label="PromptAD-g (generic suffixes alone)",
                changes={"own_suffixes": ()},
                factors={"method": "PromptAD-g"},
            ),
            method_arm("MaPLe"),
            Arm(
                name="MaPLe+DRAEM",
                label="MaPLe+DRAEM (with our pasted textures)",
                changes={
                    "n_visual_tokens": 0,
                    "coupling": "text_to_image",
                    "normal_words": "normal_object",
                    "views": "whole",
                    "view_signal": "none",
                    "memory": False,
                    "latent_anomalies": False,
                    "pixel_kinds": ("perlin_texture",),
                    "local_alignment": False,
                    "decoder": "none",
                    "pixel_loss": False,
                },
                factors={"method": "MaPLe+DRAEM"},
                method="MaPLe+DRAEM",
                runs="anople",
                measured=_EXCERPTS,
            ),
            Arm(
                name="AnoPLe",
                label=_TITLE,
                factors={"method": "AnoPLe"},
                method=_TITLE,
                runs="anople",
                published=PrintedRow.of("AnoPLe"),
                measured=_EXCERPTS,
            ),
        ),
        baseline="PromptAD",
        factor_labels={"method": "method"},
    ),
    note=(
        "PromptAD-g and MaPLe+DRAEM (here with this project's pasted textures) are rows of Figure 1 of AnoPLe's paper; "
        "how it runs them is not known. MaPLe+DRAEM here learns from whole images alone, for maps too; MaPLe learns "
        "from patches for maps. Where a category has no suffixes of its own, PromptAD-g is PromptAD. Printed "
        "numbers, on the sets for which there are some, are those of AnoPLe's abstract, which does not say whether one "
        f"model serves all categories. {_REBUILT}"
    ),
    shown_as=("arms", "effects", "per_category"),
    published="anople",
)

ANOPLE = (ANOPLE_METHODS, ANOPLE_PROMPTS, ANOPLE_VIEWS, ANOPLE_ANOMALIES, ANOPLE_PARTS, ANOPLE_LENGTHS)
