"""Every ablation of the project, by name."""

from __future__ import annotations

from ablations.ours.anople import ANOPLE
from ablations.ours.own import OWN
from ablations.paper.figures import FIGURES
from ablations.paper.supplement import SUPPLEMENT
from ablations.paper.tables import TABLES
from ablations.spec import Ablation

CATALOGUE: dict[str, Ablation] = {
    ablation.name: ablation for ablation in (*TABLES, *SUPPLEMENT, *FIGURES, *OWN, *ANOPLE)
}
"""Every ablation by the name that ``run`` takes."""

GROUPS: dict[str, tuple[str, ...]] = {
    "core": ("table3", "table5", "table7", "table10", "figure8"),
    "anople": tuple(ablation.name for ablation in ANOPLE),
    "all": tuple(CATALOGUE),
}
"""Names that stand for several ablations: the paper's own components with their maps, AnoPLe's, and everything."""

DEFAULT: tuple[str, ...] = ("table3",)
"""What ``run`` runs when no name is given."""
