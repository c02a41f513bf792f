"""Forms of the methods that Table 2 compares with: as in our tables, and with choices of their papers or code."""

from __future__ import annotations

from collections.abc import Mapping

from ablations.arms import Arm
from ablations.designs import PaperTable
from ablations.spec import Ablation


def _form(method: str, runs: str, name: str, label: str, changes: Mapping[str, object] | None = None) -> Arm:
    return Arm(name=name, label=label, changes=changes or {}, factors={"method": method}, method=method, runs=runs)


_RAW = {"activations": "raw"}
_POOLED = {"patch_pooling": "reference"}
_MAXIMUM = {"image_score": "maximum"}

FORMS = Ablation(
    name="forms",
    title="Forms of methods made for many images",
    question="What do choices inside PatchCore, PaDiM, SimpleNet and MKD do at few shots?",
    design=PaperTable(
        rows=(
            _form("PatchCore", "patchcore", "patchcore", "PatchCore"),
            _form("PatchCore", "patchcore", "raw", "PatchCore, raw activations", _RAW),
            _form("PatchCore", "patchcore", "pooled", "PatchCore, the released code's patches", _POOLED),
            _form("PatchCore", "patchcore", "maximum", "PatchCore, largest distance as image score", _MAXIMUM),
            _form(
                "PatchCore",
                "patchcore",
                "released",
                "PatchCore, all three choices of the released code",
                {**_RAW, **_POOLED, **_MAXIMUM},
            ),
            _form("PaDiM", "padim", "padim", "PaDiM"),
            _form(
                "PaDiM",
                "padim",
                "unregistered",
                "RegAD's estimator without registration",
                # As many channels as the three stages of RegAD's ResNet-18 have.
                {"dimensions": 448, "support_views": "augmented"},
            ),
            _form("SimpleNet", "simplenet", "simplenet", "SimpleNet"),
            _form("SimpleNet", "simplenet", "simplenet raw", "SimpleNet, raw activations", _RAW),
            _form("MKD", "mkd", "mkd", "MKD"),
            _form("MKD", "mkd", "mkd guided", "MKD, maps by guided backpropagation", {"gradient": "guided"}),
        ),
        baseline="patchcore",
        factor_labels={"method": "method"},
    ),
    note=(
        "RegAD's estimator is PaDiM's Gaussian by position over 448 channels and turned and shifted views of the "
        "support images; missing are its registration, which learns from other categories, its way back of the "
        "features, and its quarter turns, flip and grey version. Guided backpropagation makes maps: MKD's image scores "
        "are the same without it."
    ),
    shown_as=("arms", "effects"),
    data_sets=("mvtec",),
)
