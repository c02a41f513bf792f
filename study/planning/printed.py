"""The paper's numbers beside the arms and columns of a plan, each with the obstacles to a comparison."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ablations.arms import Arm
from ablations.published import PublishedCell, published
from ablations.shots import Setting
from ablations.spec import Ablation
from promptad.configs.method_config import MethodConfig
from promptad.configs.protocol import other_settings
from promptad.datasets import full_set_of
from promptad.scoring.metric_table import METRICS
from reports.reading.plan_parts import Obstacle, PrintedNumber
from study.planning.arm_backbones import PlannedBackbone
from study.planning.category_pools import pools
from study.planning.comparability import ArmFacts, DataFacts, obstacles
from study.planning.data_source import SYNTHETIC, Opened
from study.planning.request import StudyRequest
from study.planning.shots import settings_of, shots_of, support_images
from study.records.cell import PoolMember


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedAblation:
    """An ablation as it will run; mappings are by arm. ``not_runnable`` says why an arm has no cells.

    ``shots`` are the columns of its table, ``seeds`` is the number of seeds. ``pool`` are the categories that models of
    all categories are learned from, empty where there is none.
    """

    ablation: Ablation
    configs: Mapping[str, MethodConfig]
    backbones: Mapping[str, PlannedBackbone]
    not_runnable: Mapping[str, str]
    shots: tuple[Setting, ...]
    seeds: int
    categories: tuple[str, ...]
    pool: tuple[PoolMember, ...] = ()

    def pool_of(self, arm: str) -> tuple[str, ...]:
        """The categories that an arm's one model is learned from; empty where each category has its own."""
        config = self.configs.get(arm)
        if config is None or not pools(config, self.ablation):
            return ()
        return tuple(member.category for member in self.pool)


def printed_numbers(planned: PlannedAblation, request: StudyRequest, opened: Opened) -> tuple[PrintedNumber, ...]:
    """Every printed number of the ablation's rows, at the column that it stands beside.

    None where the data are not of the set that the number is printed for (``printed_set``).
    ``draws`` is false for an arm that sees no support image: its seeds are equal, so only the plain difference can be
    reported. ``obstacles`` are the reasons for which there is no verdict.
    """
    ablation, shown = planned.ablation, printed_set(planned.ablation, request, opened)
    if ablation.published is None or shown is None:
        return ()
    data = DataFacts(
        name=request.source.name,
        title=data_title(request, opened),
        paper_sets=ablation.data_sets,
        test_images=_test_images(opened),
    )
    numbers = [number for number in published(ablation.published) if number.dataset == shown]
    found = []
    for arm in ablation.arms:
        for column, number in _beside(arm, planned.shots, numbers):
            task = METRICS[number.metric].task
            facts = _facts(arm, column, planned, request, opened)
            found.append(
                PrintedNumber(
                    arm=arm.name,
                    shots=column,
                    metric=number.metric,
                    dataset=number.dataset,
                    category=number.category,
                    printed_shots=number.shots,
                    value=number.value,
                    std=number.std,
                    note=number.note,
                    draws=facts is None or facts.config.canonical(task).sees_support,
                    obstacles=tuple(
                        Obstacle(reason=each.reason, text=each.text)
                        for each in obstacles(number, column, task, facts, data)
                    ),
                )
            )
    return tuple(found)


def printed_set(ablation: Ablation, request: StudyRequest, opened: Opened) -> str | None:
    """The published set whose numbers stand beside an ablation on these data; None: no number of the paper.

    It is the set that the data are of, by names and numbers of test images (or whole categories of it), if the paper
    shows the table for it. Beside the embedded data stand those of the table's first set, for orientation.
    """
    if request.source.name == SYNTHETIC:
        return ablation.data_sets[0]
    known = full_set_of(request.source.name)
    if known is None or known.name not in ablation.data_sets or not known.recognised(_test_images(opened)):
        return None
    return known.name


def printed_firsts(ablation: Ablation) -> dict[tuple[str, str, Setting | None], bool]:
    """The settings (data set, metric, shots) that the paper prints the baseline's number of, and whether it is first.

    First is the highest number, or one of several equal ones, where other methods have numbers.
    """
    if ablation.published is None or ablation.baseline is None:
        return {}
    rows = {arm.published: arm.name for arm in ablation.arms if arm.published is not None}
    settings: dict[tuple[str, str, Setting | None], dict[str, float]] = {}
    for number in published(ablation.published):
        if number.category is None and number.row in rows:
            place = (number.dataset, number.metric, number.shots)
            settings.setdefault(place, {})[rows[number.row]] = number.value
    return {
        place: values[ablation.baseline] == max(values.values())
        for place, values in settings.items()
        if ablation.baseline in values and len(values) > 1
    }


def _beside(
    arm: Arm, columns: tuple[Setting, ...], numbers: list[PublishedCell]
) -> Iterator[tuple[Setting, PublishedCell]]:
    """An arm's printed numbers with their columns: those of equal shots, else those printed without images."""
    own = [number for number in numbers if number.row == arm.published]
    for column in settings_of(arm, columns):
        for metric in dict.fromkeys(number.metric for number in own):
            of_metric = [number for number in own if number.metric == metric]
            exact = [number for number in of_metric if number.shots == shots_of(arm, column)]
            for number in exact or [number for number in of_metric if number.shots == 0]:
                yield column, number


def one_support_set(
    planned: PlannedAblation, request: StudyRequest, opened: Opened
) -> dict[tuple[str, Setting], tuple[str, ...]]:
    """Arms and columns in which the seeds of some categories all see the same support images, and these categories."""
    places = [
        (arm, column)
        for arm in planned.ablation.arms
        if arm.name in planned.configs
        for column in settings_of(arm, planned.shots)
    ]
    return {
        (arm.name, column): shared
        for arm, column in places
        if (shared := _shared(arm, column, planned, request, opened))
    }


def _shared(
    arm: Arm, column: Setting, planned: PlannedAblation, request: StudyRequest, opened: Opened
) -> tuple[str, ...]:
    config = planned.configs[arm.name]
    if not config.sees_support:
        return ()
    pool = planned.pool_of(arm.name)
    alike = {
        name
        for name in {*planned.categories, *pool}
        for category in [opened[name].data]
        if config.support_draw == "fixed"
        or name in (request.support or {})
        or support_images(shots_of(arm, column), category) == len(category.train)
    }
    # A model of all categories sees the images of each: they are the same where those of all are.
    return tuple(name for name in planned.categories if alike.issuperset(pool or {name}))


def data_title(request: StudyRequest, opened: Opened) -> str:
    """The data's name in reports: a published set's title only if its categories and test images are there."""
    known = full_set_of(request.source.name)
    if known is None:
        return request.source.title
    return known.title_of(_test_images(opened))


def _test_images(opened: Opened) -> dict[str, int]:
    return {name: len(category.data.test) for name, category in opened.items()}


def is_own_data(request: StudyRequest, opened: Opened) -> bool:
    """Whether the data are the user's own: neither embedded nor whole categories of the set of their layout."""
    if request.source.name == SYNTHETIC:
        return False
    known = full_set_of(request.source.name)
    published = {} if known is None else {category.name: category.test for category in known.categories}
    return any(published.get(name) != len(category.data.test) for name, category in opened.items())


def _facts(
    arm: Arm, column: Setting, planned: PlannedAblation, request: StudyRequest, opened: Opened
) -> ArmFacts | None:
    if arm.name not in planned.configs:
        return None
    config = planned.configs[arm.name]
    return ArmFacts(
        arm=arm,
        config=config,
        backbone=planned.backbones[arm.name],
        # The arm's own changes define the paper's row; fields that its method does not have cannot matter.
        other_settings={
            name: value
            for name, value in other_settings(request.base).items()
            if name not in arm.changes and getattr(config, name, None) == value
        },
        named_support=tuple(name for name in planned.categories if name in (request.support or {})),
        named_suffixes=tuple(name for name in planned.categories if name in (request.suffixes or {})),
        one_support_set=_shared(arm, column, planned, request, opened),
        pool=planned.pool_of(arm.name),
    )
