"""Every ablation that comes with the project, by name."""

from __future__ import annotations

from ablations.spec import Ablation
from ablations.tables import TABLE3

CATALOGUE: dict[str, Ablation] = {ablation.name: ablation for ablation in (TABLE3,)}
"""Every ablation by the name that ``run`` takes."""

DEFAULT: tuple[str, ...] = ("table3",)
"""What ``run`` runs when no name is given."""
