"""Everything that the page shows of one search: the views in the order in which they answer questions."""

from collections.abc import Mapping

from reports.searches.configuration_figures import parallel_drawing, stability_drawing
from reports.searches.contours import contour_drawing
from reports.searches.search import Search
from reports.searches.search_figures import edf_drawing, history_drawing, pareto_drawing
from reports.searches.search_tables import best_grid
from reports.searches.sensitivity import importances
from reports.searches.sensitivity_figures import importance_drawing, slice_drawing
from reports.style import Drawing
from reports.views.views import View

NONE = "No trial is complete yet."


def search_views(search: Search, rows: Mapping[str, Mapping[str, object]]) -> tuple[tuple[str, View], ...]:
    """The views of a search, each with its kind."""
    places = range(len(search.objectives))
    views = {"best": _best(search, rows)}
    if len(search.objectives) > 1:
        caption = "Every pair of objectives. A configuration on the front is beaten in all objectives by no other."
        views["pareto"] = _view("Pareto front", caption, [pareto_drawing(search)], NONE)
    views["importances"] = _importances(search)
    views["slices"] = _view(
        "Along each hyperparameter",
        "Each trial as a dot, most important first; means by level or range, with 95% t-intervals over trials where "
        "two or more are there, cut at the frame. "
        "The other hyperparameters vary along: a mean is over what was tried with it.",
        [slice_drawing(search, place) for place in places],
        NONE,
    )
    views["contour"] = _view(
        "Two together, and every configuration",
        "Between trials the contour is a straight guess. Below it a line is a configuration: the best tenth is thick, "
        "the best one orange; the last axis is the objective.",
        [draw(search, place) for place in places for draw in (contour_drawing, parallel_drawing)],
        "Fewer than two trials are complete.",
    )
    views["history"] = _view(
        "How the search went",
        "History: every trial and the best so far. Distribution: the share of trials at or below a value; where it "
        "crosses the dashed line, the share that does no better than the paper's defaults"
        + ("." if all(one.maximize for one in search.objectives) else " (where higher is better)."),
        [draw(search, place) for place in places for draw in (history_drawing, edf_drawing)],
        NONE,
    )
    views["stability"] = _view(
        "How stable the lead is",
        "The ten best: a dot for the rank at each seed, and how often each has the best mean of the ten when "
        "seeds, or categories, are drawn again with replacement; with few seeds that is a coarse measure.",
        [stability_drawing(search, place) for place in places],
        "That needs at least two complete configurations with an AUROC at each of at least two seeds.",
    )
    return tuple(views.items())


def _view(title: str, caption: str, drawings: list[Drawing | None], absent: str) -> View:
    made = tuple(drawing for drawing in drawings if drawing is not None)
    return View(title=title, caption=caption, drawings=made) if made else View(title=title, caption="", absent=absent)


def _best(search: Search, rows: Mapping[str, Mapping[str, object]]) -> View:
    title = "The best configurations"
    if not search.complete:
        return View(title=title, caption="", absent=NONE)
    caption = (
        "Differences to the paper's defaults: paired at equal seed and category, mean and 95% t-interval over seeds. "
    )
    caption += (
        "In the search, they flatter its winners, for they were chosen by them, and nothing is claimed of them; on "
        "fresh seeds they do not, and colours and marks are claims after Holm's correction over all of them (intervals "
        "are not adjusted)."
        if search.fresh is not None
        else "They flatter the winners, which were chosen by these numbers; without fresh seeds nobody knows how much."
    )
    if search.fresh is not None and not search.on_test_images:
        caption += " Fresh scores are test AUROC: the optimism also holds what separates the objective from it."
    return View(title=title, caption=caption, grids=(best_grid(search, rows),))


def _importances(search: Search) -> View:
    title = "What matters"
    found = [one for place in range(len(search.objectives)) for one in importances(search, place)]
    drawings = [importance_drawing(search, place) for place in range(len(search.objectives))]
    if not any(drawings):
        reasons = dict.fromkeys(f"{one.method}: {one.why_not}" for one in found if one.why_not)
        return View(
            title=title, caption="", absent="; ".join(reasons) or "Importances were not computed for this search."
        )
    labels = {parameter.name: parameter.label for parameter in search.parameters}
    absent = {one.method: [labels.get(name, name) for name in one.absent] for one in found if one.absent}
    caption = (
        "Shares that sum to 100 by each definition, which need not agree: PED-ANOVA asks what tells the best tenth of "
        "the trials from all, fANOVA what explains the variance over the whole space. Lines span 90% of bootstrap "
        "resamples of the trials: where they overlap, the order is open."
    )
    for method, names in absent.items():
        caption += f" {method} cannot use what is not always active: {', '.join(names)}."
    if search.adaptive:
        caption += f" Warning: {search.sampler} is adaptive, which distorts both."
    return _view(title, caption, drawings, "")
