"""Runs cells one after the other in one process, and keeps what consecutive cells share."""

from __future__ import annotations

import dataclasses
import functools
from collections import defaultdict
from collections.abc import Sequence
from typing import Literal

import torch

from promptad.backbones.accelerator import card_of, limit_memory
from promptad.backbones.backbone import Backbone, load_backbone
from promptad.configs.method_config import MethodConfig
from promptad.datasets import Category, DataWatch, Sample, data_digest, draw_support, named_support
from promptad.datasets.content import REMEDY, ChangedDataError
from promptad.features.cache import FeatureCache
from promptad.features.extraction import Features, ImageInput, extract_features, sample_inputs
from promptad.features.support_poses import sample_view_inputs
from promptad.images.preparation import Preprocessing
from promptad.methods import Fitted, Scores, finite_scores, method_named
from promptad.randomness import numpy_generator
from study.bench.artefacts import arrays_of, artefacts
from study.bench.costs import measured_cost
from study.bench.example_maps import example_maps, scored_examples
from study.bench.ground_truth import MaskedMaps, MaskSet, Truth
from study.bench.provenance import provenance
from study.bench.queries import Queries, queries_of
from study.bench.seen_anomalies import View, check_view, vanished, view_of
from study.bench.stopwatch import Stopwatch
from study.records.cell import Cell
from study.records.outcome import Outcome
from study.records.row import Row


class Workbench:
    """Runs cells one by one in this process; backbone, features and masks stay for the next cell.

    ``device`` is torch's; ``threads`` the CPU threads a cell may use; ``gpus`` the share of a GPU whose
    memory this process may fill. ``all_categories`` keeps features and masks of every category, for a search that
    returns to it. Scores do not depend on the order of cells.
    """

    def __init__(
        self,
        *,
        cache: FeatureCache | None,
        device: str,
        threads: int,
        gpus: float = 1.0,
        all_categories: bool = False,
    ) -> None:
        torch.set_num_threads(threads)
        limit_memory(torch.device(device), gpus)
        self.device, self.threads = device, threads
        self._cache, self._all_categories = cache, all_categories
        self._watch = DataWatch(threads)
        self._backbone: Backbone | None = None
        self._category: Category | None = None
        self._features: dict[tuple[object, ...], Features] = {}
        self._masks: dict[tuple[object, ...], MaskSet] = {}
        self._views: dict[Preprocessing, set[str]] = {}
        self._in_view: dict[tuple[object, ...], View] = {}

    def start_group(self, cells: Sequence[Cell], category: Category) -> None:
        """Prepare for cells of one backbone and one category, so that each image is encoded once for all of them."""
        self._load(cells[0])
        if category != self._category:
            self._category = category
            if not self._all_categories:
                self._features.clear()
                self._masks.clear()
                self._in_view.clear()
        views: dict[Preprocessing, set[str]] = defaultdict(set)
        for cell in cells:
            wanted = method_named(cell.method).views(cell.config, cell.task, self._bench)
            for preprocessing in (self._support_preprocessing(cell.config), self._query_preprocessing(cell.config)):
                views[preprocessing] |= wanted
        self._views = dict(views)

    def run(self, cell: Cell) -> Outcome:
        """Fit and score one cell of the group.

        Raises whatever the method raises, and ``ChangedDataError``; the caller decides whether to retry.
        """
        assert self._category is not None
        watch = Stopwatch()
        with watch.timing("data"):
            self._check_data(cell)
        with watch.timing("features"):
            queries = self._queries(cell)
            support = self._support_features(cell, queries.support)
            query = self._query_features(cell, queries)
        masks = self._truth_masks(cell, queries) if cell.task == "pixel" else None
        view = self._view(cell, queries, masks)
        truth = Truth(queries.samples, masks)
        selection = _Selection(cell, query, truth, watch)
        with watch.timing("fit"):
            fitted: Fitted = method_named(cell.method).fit(
                self._bench,
                support,
                cell.config,
                task=cell.task,
                category=cell.category,
                seed=cell.seed,
                on_epoch=selection.consider if cell.config.selection == "best_on_test" else None,
            )
        fitted = selection.best or fitted
        with watch.timing("score"):
            result = finite_scores(fitted, query)
            maps = _masked(cell, truth, result)
            image_scores = result.image.tolist() if result.image is not None else []
            if maps is not None:
                image_scores = maps.maxima().tolist()
        with watch.timing("metrics"):
            scores = truth.scores(result, maps)
        with watch.timing("examples"):
            examples = None
            if maps is not None and cell.query == "test":
                preprocessing = self._query_preprocessing(cell.config)
                compared = "compared" in cell.artefacts
                examples = example_maps(self._category.test, maps, result, preprocessing, compared=compared)
            elif cell.task == "image" and cell.query == "test" and not self._category.has_masks:
                examples = scored_examples(self._category.test, image_scores, self._query_preprocessing(cell.config))
            if arrays_of(cell):
                kept = artefacts(
                    cell,
                    self._bench,
                    queries,
                    support=support,
                    query=query,
                    preprocessing=self._support_preprocessing(cell.config),
                )
                examples = {**(examples or {}), **kept} or None
        cost = None
        if "cost" in cell.artefacts:
            with watch.timing("cost"):
                cost = measured_cost(
                    cell,
                    self._bench,
                    support=support,
                    query=query,
                    image=queries.inputs()[0],
                    preprocessing=self._query_preprocessing(cell.config),
                )
        row = Row(
            # What ran, as the method and the backbone state it, not as requested: the dispatcher compares both.
            cell=dataclasses.replace(
                cell, config=fitted.config, weights=self._bench.weights, activation=self._bench.activation
            ),
            status="ok",
            scores=scores,
            curve=selection.curve(),
            support_images=tuple(sample.name for sample in queries.support),
            test_images={
                "name": [sample.name for sample in queries.samples],
                "anomalous": [int(sample.anomalous) for sample in queries.samples],
                "score": image_scores,
            },
            view=view,
            seconds=watch.seconds(),
            provenance={
                **provenance(device=self.device, card=card_of(self.device), threads=torch.get_num_threads()),
                **({} if queries.note is None else {"queries": queries.note}),
            },
            cost=cost,
        )
        return Outcome(row=row, examples=examples)

    def release(self) -> None:
        """Free memory that can be filled again: features and masks, and torch's unused GPU blocks."""
        self._features.clear()
        self._masks.clear()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    @property
    def _bench(self) -> Backbone:
        assert self._backbone is not None
        return self._backbone

    def _load(self, cell: Cell) -> None:
        current = self._backbone
        if current is None or str(current.name) != cell.backbone or current.precision != cell.config.precision:
            # The old weights are freed before the new ones load.
            self._backbone = None
            self._features.clear()
            self._backbone = load_backbone(cell.backbone, device=self.device, precision=cell.config.precision)
        if self._bench.weights != cell.weights:
            raise ValueError(
                f"the weights of {cell.backbone} must be {cell.weights}, as planned, but are {self._bench.weights} "
                "here: use the same checkpoint on every node"
            )
        if self._bench.activation != cell.activation:
            raise ValueError(
                f"{cell.backbone} must run {cell.activation}, as planned, but runs {self._bench.activation} here: use "
                "the same version of open_clip on every node"
            )

    def _check_data(self, cell: Cell) -> None:
        """Check that the cell's data are the planned ones, in this process and on the disk."""
        assert self._category is not None
        normal_only = cell.query == "synthetic"
        category = self._category
        if normal_only:
            category = dataclasses.replace(category, test=(), has_masks=False)
        if (found := data_digest(category)) != cell.data:
            raise ChangedDataError(
                f"the data of {cell.category} must be {cell.data}, as planned, but are {found}: {REMEDY}"
            )
        self._watch.check(category, normal_only=normal_only)

    def _support(self, cell: Cell) -> tuple[Sample, ...]:
        assert self._category is not None
        if cell.support is not None:
            return named_support(self._category, cell.support)
        if cell.shots == 0:
            return ()
        seed = cell.seed if cell.config.support_draw == "per_seed" else 0
        return draw_support(self._category, cell.shots, numpy_generator(seed, cell.category, "support"))

    def _support_features(self, cell: Cell, samples: Sequence[Sample]) -> Features:
        preprocessing = self._support_preprocessing(cell.config)
        if cell.config.support_views == "augmented":
            inputs: list[ImageInput] = sample_view_inputs(samples, preprocessing, shift=self._bench.patch_size // 2)
        else:
            inputs = sample_inputs(samples, preprocessing)
        return self._extract(inputs, preprocessing)

    def _queries(self, cell: Cell) -> Queries:
        assert self._category is not None
        preprocessing, shift = self._query_preprocessing(cell.config), self._bench.patch_size // 2
        return queries_of(cell, self._category, self._support(cell), preprocessing=preprocessing, shift=shift)

    def _query_features(self, cell: Cell, queries: Queries) -> Features:
        preprocessing = self._query_preprocessing(cell.config)
        key = (*queries.key, preprocessing, frozenset(self._views[preprocessing]))
        if key not in self._features:
            self._features[key] = self._extract(queries.inputs(), preprocessing)
        return self._features[key]

    def _extract(self, inputs: Sequence[ImageInput], preprocessing: Preprocessing) -> Features:
        return extract_features(
            self._bench, inputs, preprocessing=preprocessing, views=self._views[preprocessing], cache=self._cache
        )

    def _support_preprocessing(self, config: MethodConfig) -> Preprocessing:
        return self._preprocessing(config, "rgb")

    def _query_preprocessing(self, config: MethodConfig) -> Preprocessing:
        return self._preprocessing(config, config.query_channels)

    def _preprocessing(self, config: MethodConfig, channels: Literal["rgb", "bgr"]) -> Preprocessing:
        backbone = self._bench
        return Preprocessing(
            size=backbone.image_size,
            resize=config.resize,
            channels=channels,
            bit_depth=config.bit_depth,
            mean=backbone.mean,
            std=backbone.std,
        )

    def _view(self, cell: Cell, queries: Queries, masks: MaskSet | None) -> dict[str, object] | None:
        """The anomalies in view, as rows hold them; ``UnseenError`` for a pixel cell without any."""
        if cell.query != "test":
            return None
        preprocessing = self._query_preprocessing(cell.config)
        key = (*queries.key, preprocessing.resize, preprocessing.size)
        if key not in self._in_view:
            self._in_view[key] = view_of(queries.samples, preprocessing)
        view = self._in_view[key]
        if masks is None:
            return view.recorded(None)
        lost, size = vanished(queries.samples, view, masks.empty), cell.config.map_size
        check_view(cell.category, queries.samples, view, lost, preprocessing=preprocessing, size=size)
        return view.recorded(lost)

    def _truth_masks(self, cell: Cell, queries: Queries) -> MaskSet:
        key = (*queries.key, cell.config.resize, cell.config.map_size)
        if key not in self._masks:
            load = functools.partial(queries.load_mask, size=cell.config.map_size)
            self._masks[key] = MaskSet(queries.samples, load)
        return self._masks[key]


class _Selection:
    """Deviation D2: remembers the epoch with the best AUROC on the test set, and every epoch's."""

    def __init__(self, cell: Cell, query: Features, truth: Truth, watch: Stopwatch) -> None:
        self._cell, self._query, self._truth, self._watch = cell, query, truth, watch
        self._metric = f"{cell.task}_auroc"
        self._values: list[float] = []
        self.best: Fitted | None = None

    def consider(self, _: int, fitted: Fitted) -> None:
        with self._watch.timing("selection"):
            result = finite_scores(fitted, self._query)
            value = self._truth.auroc(result, _masked(self._cell, self._truth, result))
        if not self._values or value > max(self._values):
            self.best = fitted
        self._values.append(value)

    def curve(self) -> dict[str, list[float]] | None:
        if not self._values:
            return None
        return {"epochs": [float(epoch) for epoch in range(1, len(self._values) + 1)], self._metric: self._values}


def _masked(cell: Cell, truth: Truth, result: Scores) -> MaskedMaps | None:
    return truth.masked(result, size=cell.config.map_size, smoothing=cell.config.map_smoothing)
