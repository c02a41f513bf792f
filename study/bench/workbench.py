"""Runs cells one after the other in one process, and keeps what consecutive cells share."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Literal

import torch

from promptad.backbones.accelerator import card_of, is_out_of_memory, is_poisoned, limit_memory, settle
from promptad.backbones.backbone import Backbone, load_backbone
from promptad.configs.method_config import MethodConfig
from promptad.datasets import Category, DataWatch, Sample, data_digest, draw_support, named_support
from promptad.datasets.content import REMEDY, ChangedDataError
from promptad.features.cache import FeatureCache
from promptad.features.extraction import Features, ImageInput, extract_features, sample_inputs
from promptad.features.residence import residence_on
from promptad.features.support_poses import sample_view_inputs
from promptad.images.preparation import Preprocessing
from promptad.methods import FitResult, FitsPools, Fitted, PooledFit, Scores, finite_scores, fit_all, method_named
from promptad.prompts.company import MOST
from promptad.prompts.padded import PLACES, forget_recorded
from promptad.randomness import numpy_generator
from reports.reading.kept import Arrays
from study.bench.artefacts import arrays_of, artefacts
from study.bench.costs import measured_cost
from study.bench.example_maps import example_maps, scored_examples
from study.bench.ground_truth import MaskedMaps, MaskSet, Truth
from study.bench.pool_fits import PoolFits
from study.bench.prepared import Guard, Prepared, Selection, masked, parts_of, result_of, share_fit, unguarded
from study.bench.provenance import provenance
from study.bench.queries import Queries, queries_of
from study.bench.seen_anomalies import View, check_view, vanished, view_of
from study.bench.stopwatch import Stopwatch
from study.records.cell import Cell
from study.records.outcome import Outcome
from study.records.row import Row


class Workbench:
    """Runs cells in this process, one by one or several together; backbone, features and masks stay for the next cell.

    ``device`` is torch's; ``threads`` the CPU threads a cell may use; ``gpus`` the share of a GPU whose
    memory this process may fill, ``company`` how many cells may learn together. ``all_categories`` keeps features and
    masks of every category, for a search that returns to it. Scores depend neither on the order of cells nor, on a CPU,
    on which learn together.
    """

    def __init__(
        self,
        *,
        cache: FeatureCache | None,
        device: str,
        threads: int,
        gpus: float = 1.0,
        company: int | None = None,
        all_categories: bool = False,
    ) -> None:
        torch.set_num_threads(threads)
        limit_memory(torch.device(device), gpus)
        self.device, self.threads, self.company = device, threads, company or (MOST if device == "cpu" else PLACES)
        self._cache, self._all_categories = cache, all_categories
        self._residence = residence_on(torch.device(device), gpus)
        self._watch = DataWatch(threads)
        self._backbone: Backbone | None = None
        self._categories: dict[str, Category] = {}
        self._features: dict[tuple[object, ...], Features] = {}
        self._masks: dict[tuple[object, ...], MaskSet] = {}
        self._views: dict[Preprocessing, set[str]] = {}
        self._in_view: dict[tuple[object, ...], View] = {}
        self._pool_fits = PoolFits()

    def start_group(self, cells: Sequence[Cell], categories: Sequence[Category]) -> None:
        """Prepare for cells of one backbone that look at ``categories``: each image is encoded once for all of them."""
        self._load(cells[0])
        settle(self._bench.device, tf32=self._bench.precision == "tf32")
        named = {category.name: category for category in categories}
        if named != self._categories:
            self._categories = named
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
        prepared = self._prepare(cell)
        if cell.pool:
            return self._run_in_pool(prepared)
        (fit,) = self._fit([prepared])
        if isinstance(fit.result, Exception):
            raise fit.result
        return self._finish(prepared, fit)

    def run_together(
        self, cells: Sequence[Cell], guard: Guard = unguarded
    ) -> Iterator[tuple[Cell, Outcome | Exception]]:
        """Run cells of the group, those together that can learn together; what came of each, as it comes.

        An error of one cell is that cell's. One of several cells together is no cell's: they are run again in halves,
        at last one by one (on an accelerator, where a company's size is its shape's, at once). ``guard`` is around the
        work on each cell, and around a fit of several.

        Raises:
            Exception: after which nothing can be computed on the device; whatever has not come is lost.
        """
        parts = list(parts_of(cells, mixed=self.device != "cpu"))
        parts.reverse()
        while parts:
            part = parts.pop()
            if len(part) == 1:
                yield part[0], result_of(functools.partial(self.run, part[0]), guard(part[0].allowance))
                continue
            ready = list[Prepared]()
            for cell in part:
                prepared = result_of(functools.partial(self._prepare, cell), guard(1))
                if isinstance(prepared, Exception):
                    yield cell, prepared
                else:
                    ready.append(prepared)
            fits = result_of(functools.partial(self._fit, ready), guard(max(1, len(ready))))
            if isinstance(fits, Exception):
                if is_poisoned(fits):
                    raise fits
                left = [each.cell for each in ready]
                # What they hold goes before anything is freed.
                ready.clear()
                del prepared
                if is_out_of_memory(fits):
                    self.release()
                half = (len(left) + 1) // 2 if self.device == "cpu" else 1
                parts += reversed([left[start : start + half] for start in range(0, len(left), half)])
                continue
            for each, fit in zip(ready, fits, strict=True):
                if isinstance(fit.result, Exception):
                    yield each.cell, fit.result
                else:
                    yield each.cell, result_of(functools.partial(self._finish, each, fit), guard(1))

    def _run_in_pool(self, prepared: Prepared) -> Outcome:
        """Score one cell by the model of its pool, which is learned for the first cell that asks for it."""
        cell, watch = prepared.cell, prepared.watch
        with watch.running():
            learned, now = self._pool_fits.get(cell, functools.partial(self._learn_pool, prepared))
            with watch.timing("fit"):
                fitted = learned(cell.category, prepared.support)
        outcome = self._finish(prepared, FitResult(result=fitted))
        shared = {"fit_shared_by": len(cell.pool), "fit_seconds_in": "this row" if now else "an earlier cell"}
        return dataclasses.replace(
            outcome, row=dataclasses.replace(outcome.row, provenance={**outcome.row.provenance, **shared})
        )

    def _learn_pool(self, prepared: Prepared) -> PooledFit:
        """Learn one model from the support images of every category of a cell's pool."""
        cell, watch, method = prepared.cell, prepared.watch, method_named(prepared.cell.method)
        # Planning refuses every other method.
        assert isinstance(method, FitsPools)
        with watch.timing("data"):
            for member in cell.pool:
                self._check_category(member.category, member.data, normal_only=True)
        with watch.timing("features"):
            supports = {
                member.category: self._support_features(cell, self._support(cell, member.category))
                for member in cell.pool
            }
        with watch.timing("fit"):
            return method.fit_pool(self._bench, supports, cell.config, task=cell.task, seed=cell.seed)

    def _fit(self, ready: Sequence[Prepared]) -> Sequence[FitResult]:
        """What came of the fits of cells of one method."""
        if not ready:
            return []
        began = time.perf_counter()
        fittings = [prepared.fitting() for prepared in ready]
        fitted = fit_all(method_named(ready[0].cell.method), self._bench, fittings, self.company)
        share_fit(ready, time.perf_counter() - began)
        return fitted

    def _prepare(self, cell: Cell) -> Prepared:
        """Encode the cell's images, and look up their truth."""
        watch = Stopwatch()
        with watch.running():
            with watch.timing("data"):
                self._check_data(cell)
            with watch.timing("features"):
                queries = self._queries(cell)
                support = self._support_features(cell, queries.support)
                query = self._query_features(cell, queries)
            masks = self._truth_masks(cell, queries) if cell.task == "pixel" else None
            view = self._view(cell, queries, masks)
            truth = Truth(queries.samples, masks, self.device)
        return Prepared(
            cell=cell,
            watch=watch,
            queries=queries,
            support=support,
            query=query,
            view=view,
            truth=truth,
            selection=Selection(cell, query, truth, watch),
        )

    def _finish(self, prepared: Prepared, fit: FitResult) -> Outcome:
        assert not isinstance(fit.result, Exception)
        with prepared.watch.running():
            return self._outcome(prepared, prepared.selection.best or fit.result, fit.company)

    def _outcome(self, prepared: Prepared, fitted: Fitted, company: int) -> Outcome:
        """Score a fitted cell."""
        cell, watch, queries, query = prepared.cell, prepared.watch, prepared.queries, prepared.query
        with watch.timing("score"):
            result = finite_scores(fitted, query)
            maps = masked(cell, prepared.truth, result)
            image_scores = result.image.tolist() if result.image is not None else []
            if maps is not None:
                image_scores = maps.maxima().tolist()
        with watch.timing("metrics"):
            scores = prepared.truth.scores(result, maps)
        with watch.timing("examples"):
            examples = self._examples(prepared, result, maps, image_scores)
        cost = None
        if "cost" in cell.artefacts:
            with watch.timing("cost"):
                cost = measured_cost(
                    cell,
                    self._bench,
                    support=prepared.support,
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
            curve=prepared.selection.curve(),
            support_images=tuple(sample.name for sample in queries.support),
            test_images={
                "name": [sample.name for sample in queries.samples],
                "anomalous": [int(sample.anomalous) for sample in queries.samples],
                "score": image_scores,
            },
            view=prepared.view,
            seconds=watch.seconds(),
            provenance={
                **provenance(device=self.device, card=card_of(self.device), threads=torch.get_num_threads()),
                **({} if queries.note is None else {"queries": queries.note}),
                **({} if company == 1 else {"company": company}),
            },
            cost=cost,
        )
        return Outcome(row=row, examples=examples)

    def _examples(
        self, prepared: Prepared, result: Scores, maps: MaskedMaps | None, image_scores: Sequence[float]
    ) -> Arrays | None:
        """The arrays that are kept of a cell for figures."""
        cell, examples = prepared.cell, None
        category = self._categories[cell.category]
        preprocessing = self._query_preprocessing(cell.config)
        if maps is not None and cell.query == "test":
            compared = "compared" in cell.artefacts
            examples = example_maps(category.test, maps, result, preprocessing, compared=compared)
        elif cell.task == "image" and cell.query == "test" and not category.has_masks:
            examples = scored_examples(category.test, image_scores, preprocessing)
        if not arrays_of(cell):
            return examples
        kept = artefacts(
            cell,
            self._bench,
            prepared.queries,
            support=prepared.support,
            query=prepared.query,
            preprocessing=self._support_preprocessing(cell.config),
        )
        return {**(examples or {}), **kept} or None

    def release(self) -> None:
        """Free memory that can be filled again: features, masks and recorded steps, and torch's unused GPU blocks."""
        self._features.clear()
        self._masks.clear()
        self._pool_fits.release()
        forget_recorded()
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
            self._pool_fits.clear()
            forget_recorded()
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
        """Check that the data that the cell is scored on are the planned ones, in this process and on the disk."""
        self._check_category(cell.category, cell.data, normal_only=cell.query == "synthetic")

    def _check_category(self, name: str, planned: str, *, normal_only: bool) -> None:
        category = self._categories[name]
        if normal_only:
            category = dataclasses.replace(category, test=(), has_masks=False)
        if (found := data_digest(category)) != planned:
            raise ChangedDataError(f"the data of {name} must be {planned}, as planned, but are {found}: {REMEDY}")
        self._watch.check(category, normal_only=normal_only)

    def _support(self, cell: Cell, name: str) -> tuple[Sample, ...]:
        """The support images of a category that a cell looks at: its own, or one of its pool."""
        category = self._categories[name]
        if cell.support is not None:
            return named_support(category, cell.support)
        if cell.shots == 0:
            return ()
        seed = cell.seed if cell.config.support_draw == "per_seed" else 0
        return draw_support(category, cell.shots, numpy_generator(seed, name, "support"))

    def _support_features(self, cell: Cell, samples: Sequence[Sample]) -> Features:
        preprocessing = self._support_preprocessing(cell.config)
        if cell.config.support_views == "augmented":
            inputs: list[ImageInput] = sample_view_inputs(samples, preprocessing, shift=self._bench.patch_size // 2)
        else:
            inputs = sample_inputs(samples, preprocessing)
        return self._extract(inputs, preprocessing)

    def _queries(self, cell: Cell) -> Queries:
        preprocessing, shift = self._query_preprocessing(cell.config), self._bench.patch_size // 2
        category = self._categories[cell.category]
        support = self._support(cell, cell.category)
        return queries_of(cell, category, support, preprocessing=preprocessing, shift=shift)

    def _query_features(self, cell: Cell, queries: Queries) -> Features:
        preprocessing = self._query_preprocessing(cell.config)
        key = (*queries.key, preprocessing, frozenset(self._views[preprocessing]))
        if key not in self._features:
            self._features[key] = self._extract(queries.inputs(), preprocessing)
        return self._features[key]

    def _extract(self, inputs: Sequence[ImageInput], preprocessing: Preprocessing) -> Features:
        features = extract_features(
            self._bench, inputs, preprocessing=preprocessing, views=self._views[preprocessing], cache=self._cache
        )
        return features if self._residence is None else dataclasses.replace(features, residence=self._residence)

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
