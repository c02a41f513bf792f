"""Whether a machine has what cells need: the planned images with equal sizes in bytes, and the backbone's weights."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from promptad.backbones.backbone import weights_digest
from promptad.backbones.backbone_names import BackboneError, parse_backbone
from promptad.datasets import Category
from promptad.user_error import UserError
from study.planning.data_source import SYNTHETIC
from study.records.group import Group

MOST_FILES_NAMED = 3


class ReadinessError(UserError):
    """Nodes that lack data or weights; the message names them and what they lack."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoryFiles:
    """A category's folder and its planned files with their sizes in bytes; ``rendered``: a node can render it again."""

    folder: Path
    sizes: Mapping[Path, int]
    rendered: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What groups of cells need on a machine: categories by name, and digests of weights by backbone."""

    categories: Mapping[str, CategoryFiles]
    backbones: Mapping[str, str]

    def only(self, categories: Iterable[str], backbone: str) -> Needs:
        """What cells of some categories and one backbone need."""
        return Needs(
            categories={name: self.categories[name] for name in categories},
            backbones={backbone: self.backbones[backbone]},
        )


def needs_of(groups: Sequence[Group]) -> Needs:
    """What the groups need, as measured on this machine, where they were planned."""
    return Needs(
        categories={
            category.name: _files(category, rendered=group.cells[0].dataset == SYNTHETIC)
            for group in groups
            for category in group.categories
            if category.test or category.train
        },
        backbones={cell.backbone: cell.weights for group in groups for cell in group.cells},
    )


def lacks(needs: Needs) -> list[str]:
    """What this machine lacks, one line each; renders the synthetic set first where it is missing."""
    return [*_missing_files(needs.categories.values()), *_wrong_backbones(needs.backbones)]


def _files(category: Category, *, rendered: bool) -> CategoryFiles:
    samples = (*category.train, *category.test)
    first, sizes = samples[0], {}
    for path in (path for sample in samples for path in (sample.path, *sample.masks)):
        # Files that vanished after planning are reported when their cells run.
        with contextlib.suppress(OSError):
            sizes[path] = path.stat().st_size
    return CategoryFiles(folder=first.path.parents[len(Path(first.name).parts) - 1], sizes=sizes, rendered=rendered)


def _missing_files(categories: Iterable[CategoryFiles]) -> list[str]:
    problems = []
    for category in categories:
        wrong = _wrong_files(category)
        if wrong and category.rendered:
            problem = _render(category.folder.parent)
            if problem is not None:
                problems.append(problem)
                continue
            wrong = _wrong_files(category)
        if wrong and not category.folder.is_dir():
            problems.append(f"{category.folder} is not there")
        elif wrong:
            named = ", ".join(f"{path.relative_to(category.folder)} ({why})" for path, why in wrong[:MOST_FILES_NAMED])
            more = f" and {len(wrong) - MOST_FILES_NAMED} more" if len(wrong) > MOST_FILES_NAMED else ""
            problems.append(f"{category.folder} lacks {len(wrong)} of {len(category.sizes)} files: {named}{more}")
    return problems


def _wrong_files(category: CategoryFiles) -> list[tuple[Path, str]]:
    wrong = []
    for path, size in category.sizes.items():
        try:
            found = path.stat().st_size
        except OSError as error:
            wrong.append((path, error.strerror or "cannot be read"))
            continue
        if found != size:
            wrong.append((path, f"{found} bytes, not {size}"))
    return wrong


def _render(root: Path) -> str | None:
    from promptad.tiny.render.benchmark import write_benchmark

    try:
        write_benchmark(root)
    except OSError as error:
        return f"the synthetic set cannot be written to {root}: {error}"
    return None


def _wrong_backbones(backbones: Mapping[str, str]) -> list[str]:
    problems = []
    for text, planned in backbones.items():
        try:
            found = weights_digest(parse_backbone(text))
        except (BackboneError, OSError) as error:
            problems.append(str(error))
            continue
        if found != planned:
            problems.append(f"the weights of {text} are {found}, not {planned} as planned: use the same checkpoint")
    return problems
