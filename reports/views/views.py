"""The project's views: functions from a table to a ``View``, each named by an entry of ``VIEWS``."""

from dataclasses import dataclass, replace
from typing import Literal

from reports.reading.kept import Loader
from reports.reading.shots import shots_text
from reports.statistics import Effect
from reports.style import Drawing
from reports.tables.by_category import side_by_side
from reports.tables.contrasts import contrasts
from reports.tables.costs import COUNTED, cost_grids, machines_text
from reports.tables.formats import family_text
from reports.tables.grids import Grid, arm_grids, category_grids, contrast_grids, effect_grids, prompt_grids
from reports.tables.notes import intervals_note, scores_note
from reports.tables.table import Table
from reports.tables.verdicts import comparable_numbers, no_verdict_sentences, printed_notes, verdict_note
from reports.view_table import VIEWS, ViewEntry
from reports.views.compared import CHOICES, choose_compared, compared_drawings
from reports.views.contrast_figures import contrast_drawings
from reports.views.effects import forest_drawings, map_drawings
from reports.views.examples import choose_examples, example_drawing
from reports.views.inside import attention_drawings, embedding_drawings
from reports.views.overlap_grids import OVERLAP_CAPTION, overlap_grids
from reports.views.scored import choose_scored, scored_caption, scored_drawing
from reports.views.seeds import curve_drawings, dot_drawings
from reports.views.slices import grid_drawings, slice_drawings, sliced_factor
from reports.views.transfer_figures import transfer_drawings, transfer_grids


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One way to show a table. `absent` is the reason, in words, for an empty view; "" if there is something to show.

    `notes` are further sentences under the caption. `folded` grids are shown on request: figures beside them show the
    same.
    """

    title: str
    caption: str
    grids: tuple[Grid, ...] = ()
    drawings: tuple[Drawing, ...] = ()
    absent: str = ""
    folded: bool = False
    notes: tuple[str, ...] = ()


MAP_RANGE = (
    "Each map is coloured from its own minimum (dark) to its own maximum (bright), printed in its corner: compare "
    "places, not brightness."
)
"""The sentence under every panel of maps about its colours."""


def _made(view: View, why: str) -> View:
    """The view; if it is empty, with the reason."""
    if view.grids or view.drawings:
        return view
    return View(title=view.title, caption="", absent=why)


def arms_view(table: Table, _: Loader) -> View:
    """The scores of every arm, the paper's beside them."""
    values = [value for entry in table.entries.values() for value in entry.published]
    notes = (*no_verdict_sentences(table.plan), verdict_note(table), *printed_notes(values))
    return View(
        title="Scores",
        caption=f"On {table.plan.dataset_title}. {scores_note(table)}",
        grids=arm_grids(table),
        notes=tuple(note for note in notes if note),
    )


def effects_view(table: Table, _: Loader) -> View:
    """Paired effects of every arm against the baseline."""
    drawings = forest_drawings(table)
    hollow = any(value.effect is not None for entry in table.entries.values() for value in entry.published)
    comparable, _printed = comparable_numbers(table.plan)
    note = (
        f" Hollow marks are the paper's own differences{'' if comparable else ', not comparable with ours'}."
        if hollow
        else ""
    )
    family = max((e.effect.family for e in table.entries.values() if isinstance(e.effect, Effect)), default=0)
    claims = f" {_claims_text(family, 'effect')}" if family else ""
    caption = (
        f"Percentage points, paired at equal seed, category and shots: 95% intervals, a dot per seed.{claims}{note}"
    )
    view = View(
        title="Effects against the baseline",
        caption=caption,
        grids=effect_grids(table) if drawings else (),
        drawings=drawings,
        folded=True,
    )
    return _made(view, "There is no other arm to compare with a baseline.")


def _claims_text(family: int, of: Literal["effect", "contrast"]) -> str:
    return (
        f"Colours and marks are claims {family_text(family, of)}; intervals are not adjusted, so that one may exclude "
        "0 and be open."
    )


def delta_map_view(table: Table, _: Loader) -> View:
    """Mean paired differences by category, as coloured tiles."""
    caption = (
        "Mean paired difference from the baseline in points: blue is a higher mean, orange a lower one, over however "
        "few seeds. Colours claim nothing: no tile is tested. Hatched tiles say why they have no number."
    )
    view = View(title="Effects by category", caption=caption, drawings=map_drawings(table))
    return _made(view, "There is no other arm to compare with a baseline.")


def per_category_view(table: Table, _: Loader) -> View:
    """Scores by category: of one arm, or of all side by side."""
    caption = "Percent: mean over the seeds that are there, 95% interval, seeds (n), SD."
    together = len(table.plan.runnable) > 1
    if together:
        caption += (
            " Bold is the highest mean of a row, underlined the second, as the paper marks them: they are places by "
            "mean, and no claim that one is better than another."
        )
    grids = side_by_side(table) if together else category_grids(table)
    return _made(View(title="By category", caption=caption, grids=grids), "No arm of this table can be run here.")


def slice_view(table: Table, _: Loader) -> View:
    """Scores along the levels of the first numeric factor."""
    factor = sliced_factor(table)
    title = "Along one factor" if factor is None else f"Along {factor.label}"
    view = View(
        title=title, caption="Mean, 95% interval and every seed. Levels lie in order.", drawings=slice_drawings(table)
    )
    return _made(view, "No factor of this table is numeric.")


def grid_view(table: Table, _: Loader) -> View:
    """Scores over two factors, as tiles."""
    view = View(title="Two factors", caption="Percent, mean over seeds.", drawings=grid_drawings(table))
    return _made(view, "This table has fewer than two factors with several levels.")


def main_effects_view(table: Table, _: Loader) -> View:
    """Main effects and interactions of a factorial."""
    caption = (
        "Each factor from its first level to its second, over all arms; an interaction (×) is half of what one factor "
        "adds to the other's effect. Per seed, then mean and 95% interval."
    )
    family = max((one.family for made in contrasts(table).values() for one in made), default=0)
    if family:
        caption += f" {_claims_text(family, 'contrast')}"
    view = View(
        title="Main effects and interactions",
        caption=caption,
        grids=contrast_grids(table),
        drawings=contrast_drawings(table),
        folded=True,
    )
    return _made(view, "No seed has every arm yet, or no factor has two levels.")


def dots_view(table: Table, _: Loader) -> View:
    """Every seed as a dot."""
    caption = "Every dot is a seed, with the support images that it drew or was given; the line is the published mean."
    return _made(
        View(title="Every seed", caption=caption, drawings=dot_drawings(table)), "No arm of this table can be run here."
    )


def curves_view(table: Table, _: Loader) -> View:
    """Scores epoch by epoch, of cells that kept them."""
    caption = "Mean over seeds (thick) and each seed (thin). Picking the best epoch on the test set flatters a method."
    view = View(title="Epoch by epoch", caption=caption, drawings=curve_drawings(table))
    return _made(view, "No cell kept a curve: only cells that pick the epoch on the test set do.")


def examples_view(table: Table, loader: Loader) -> View:
    """Single images with their maps, those located best and worst."""
    chosen = choose_examples(table, loader)
    if chosen is None:
        return _scored(table, loader)
    caption = (
        f"Defects that “{chosen.arm.label}” located best and worst ({shots_text(chosen.shots)}, seed {chosen.seed}), "
        f"and the smallest of the others, by the pixel AUROC of the single image, in percent. {MAP_RANGE}"
    )
    return View(title="Examples", caption=caption, drawings=(example_drawing(table, chosen),))


def _scored(table: Table, loader: Loader) -> View:
    scored = choose_scored(table, loader)
    if scored is None:
        absent = "No example maps were kept, and no pictures, for the arm that would be shown."
        return View(title="Examples", caption="", absent=absent)
    return View(title="Examples", caption=scored_caption(scored), drawings=(scored_drawing(table, scored),))


def compared_view(table: Table, loader: Loader) -> View:
    """The same images with the map of each arm."""
    title = "The same images, arm by arm"
    compared = choose_compared(table, loader)
    if compared is None:
        return View(
            title=title, caption="", absent="No cell kept maps of the images that all arms are compared on yet."
        )
    drawn = "; ".join(choice.text for choice in CHOICES if compared.lines[choice.name])
    others = compared.kept - compared.drawn
    more = f" {others} more {'is' if others == 1 else 'are'} in the heatmap browser." if others else ""
    absent = "".join(f" No map of “{label}”: {reason.removesuffix('.')}." for label, reason in compared.absent.items())
    absent += "".join(f" No image of {category}: {reason}." for category, reason in compared.without.items())
    caption = (
        "Chosen by kind and size of the defect before any score, and the same for every arm "
        f"({shots_text(compared.shots)}, seed {compared.seed}): {drawn}. Under each map the pixel AUROC of the single "
        f"image in percent; beside the image the defect's share of its pixels. {MAP_RANGE}{more}{absent}"
    )
    return View(title=title, caption=caption, drawings=compared_drawings(table, compared))


def prompts_view(table: Table, _: Loader) -> View:
    """The manual anomaly suffixes."""
    view = View(title="Anomaly suffixes", caption="As they are used.", grids=prompt_grids(table))
    return _made(view, "The plan lists no suffixes.")


def embedding_view(table: Table, loader: Loader) -> View:
    """Features of prompts and images on a plane, and their overlap."""
    caption = f"t-SNE: neighbours mean something, distances and sizes of clusters do not. {OVERLAP_CAPTION}"
    view = View(
        title="Features on a plane",
        caption=caption,
        grids=overlap_grids(table, loader),
        drawings=embedding_drawings(table, loader),
    )
    return _made(view, "No cell kept its features yet.")


def attention_view(table: Table, loader: Loader) -> View:
    """Attention by block of the tower."""
    caption = (
        "From every token (rows) to every token (columns), class token first, mean over heads, logarithmic colours of "
        "each block's own range; “self” is the mean attention of a token to itself."
    )
    view = View(title="Attention by block", caption=caption, drawings=attention_drawings(table, loader))
    return _made(view, "No cell kept its attention yet.")


def transfer_view(table: Table, _: Loader) -> View:
    """How objectives rank settings, against the test set."""
    caption = (
        "Over a fixed set of settings: the rank correlation of what each objective says with the category's own test "
        "AUROC, and how much test AUROC the setting that it would choose leaves on the table. Other categories: mean "
        "test AUROC of all but this one. A mean over categories treats them as a sample of categories; it has an "
        "interval only where one covers what it promises. Other categories judge each other, so that their "
        "correlations hang together and an interval from their spread would be too narrow; the regret of a choice is "
        "often 0 and sometimes large, and few categories do not show how large."
    )
    view = View(
        title="From objectives to the test set",
        caption=caption,
        grids=transfer_grids(table),
        drawings=transfer_drawings(table),
    )
    return _made(view, "No category has all its cells yet.")


def cost_view(table: Table, _: Loader) -> View:
    """Costs of cells: prompts, parameters, seconds, operations."""
    grids = cost_grids(table)
    caption = f"{COUNTED} {machines_text(table)}" if grids else ""
    view = View(title="Cost", caption=caption, grids=grids)
    return _made(view, "No cell measured its cost yet: cells of an ablation with the artefact cost do.")


def views_of(table: Table, loader: Loader) -> tuple[tuple[str, View], ...]:
    """Every view that the plan names, in its order; for one unknown to this version, a view that reports it."""
    made = []
    for name in table.plan.shown_as:
        entry = VIEWS.get(name)
        if entry is None:
            made.append((name, _unknown(name)))
        elif table.plan.baseline is not None or not entry.compares:
            made.append((name, _built(name, entry, table, loader)))
    return tuple(made)


def _built(name: str, entry: ViewEntry, table: Table, loader: Loader) -> View:
    """A view whose caption states what its intervals do not cover."""
    view: View = entry.build(name, table, loader)
    note = "" if not entry.intervals or view.absent else intervals_note(table)
    return replace(view, caption=f"{view.caption} {note}") if note else view


def _unknown(name: str) -> View:
    return View(title=name, caption="", absent=f"This version has no view {name!r}; it has {', '.join(VIEWS)}.")
