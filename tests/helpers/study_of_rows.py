"""A hand-made study of any size for the tests of `reports`: plans, rows and kept maps, without running a cell."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from helpers.report_study import make_examples, make_plan, make_rows


def study_of(
    arms: int, categories: int, seeds: int, shots: Sequence[int | str] = (1,), *, maps: bool = False, **changes: object
) -> Any:
    """(plan, rows, loader) of arms x categories x seeds x shots x 2 tasks cells."""
    names = tuple((f"arm{i}", f"variant {i}", {"part": i % 2 == 0}) for i in range(arms))
    plan = make_plan(
        "large",
        arms=names,
        categories=[f"category{i:02d}" for i in range(categories)],
        seeds=range(seeds),
        shots=shots,
        baseline="arm0",
        printed=[],
        **changes,
    )
    generator = np.random.default_rng(0)
    noise = iter(generator.normal(0, 0.01, 2 * len(plan["cells"])))
    rows = make_rows(plan, lambda arm, *_: float(np.clip(0.7 + 0.01 * int(arm[3:]) + next(noise), 0, 1)))
    arrays = make_examples(plan) if maps else {}
    return plan, rows, arrays.get
