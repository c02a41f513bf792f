"""What a search found, in sentences made from its numbers, and how far to trust it."""

from collections.abc import Mapping

from reports.searches.search import Search
from reports.searches.search_tables import changed_text, number_text
from reports.searches.sensitivity import best_trials, importances, pareto_front, ranked_parameters, work
from reports.searches.winners import Candidate, candidates, held_out_effect, standings
from reports.tables.formats import difference_text, listing, percent, points, seeds_text, summary_text

TUNED_ON_TEST = "TUNED ON TEST"
Rows = Mapping[str, Mapping[str, object]]


def search_title(search: Search) -> str:
    """The heading of a search."""
    return f"Search of “{search.space}”: {search.objective}, on {search.dataset}"


def search_question(search: Search) -> str:
    """What was searched, and whose labels that looked at."""
    words = f"{TUNED_ON_TEST}: {search.tuned_on}" if search.on_test else f"Tuned on {search.tuned_on}"
    return f"{search.title}. {words}." if search.title else f"{words}."


def search_lead(search: Search, rows: Rows) -> str:
    """The result in a few sentences: the best, what is left of it on fresh seeds, and what matters most."""
    if not search.complete:
        return "No trial is complete yet."
    if len(search.objectives) > 1:
        names = listing([one.label for one in search.objectives])
        best = (
            f"{len(pareto_front(search))} of {len(search.complete)} complete trials are on the Pareto front of {names}."
        )
    else:
        best = _winner(search, candidates(search, 0, rows)[0])
    return " ".join(part for part in (best, _held_out(search, rows), _important(search)) if part)


def _winner(search: Search, winner: Candidate) -> str:
    objective, trial, default = search.objectives[0], winner.trial, search.default_trial
    what = "the paper's defaults" if winner.default else (", ".join(changed_text(search, trial)) or "the defaults")
    text = f"Best of {len(search.complete)} complete trials: {number_text(objective, trial.values[0])} by trial "
    text += f"{trial.number} ({what})."
    if winner.default or default is None:
        compared = "" if winner.default else " The paper's defaults were not tried."
    elif winner.effect is None:
        compared = f" The paper's defaults reach {number_text(objective, default.values[0])}."
    else:
        compared = (
            f" The paper's defaults reach {number_text(objective, default.values[0])}: "
            f"{difference_text(winner.effect.summary)}, in the search itself."
        )
    return text + compared + _fresh(winner, same=search.on_test_images)


def _fresh(winner: Candidate, *, same: bool) -> str:
    fresh = winner.fresh
    if fresh is None:
        return " It was not re-evaluated on fresh seeds, and a winner looks better than it is."
    if fresh.summary is None:
        return f" On fresh seeds, {fresh.there} of {fresh.planned} cells are there."
    text = f" On fresh seeds it reaches {summary_text(fresh.summary)}"
    if fresh.effect is not None and fresh.defaults is not None:
        text += f", the defaults {percent(fresh.defaults.mean)}: {difference_text(fresh.effect.summary)}"
    return f"{text}.{_optimism(winner.optimism, same=same)}"


def _optimism(optimism: float | None, *, same: bool) -> str:
    """What the search's own number was worth; `same`: it is a test AUROC too."""
    if optimism is None:
        return ""
    size = points(abs(optimism)).lstrip("+")
    equal = size == points(0.0)
    if not same:
        how = "equal" if equal else f"{size} points {'higher' if optimism > 0 else 'lower'}"
        return f" The search's own number, another measure, is {how}."
    if equal:
        return " The search promised as much."
    return f" The search promised {size} points too {'much' if optimism > 0 else 'little'}."


def _held_out(search: Search, rows: Rows) -> str:
    found, objective = search.held_out, search.objectives[0]
    if found is None:
        return ""
    if found.winner_value is None or found.base_value is None:
        return (
            f"On the categories held out ({listing(found.categories)}) a cell of the winner or the base config failed."
        )
    effect = held_out_effect(search, rows)
    text = (
        f"On the categories held out ({listing(found.categories)}) the winner reaches "
        f"{number_text(objective, found.winner_value)}, the base config {number_text(objective, found.base_value)}"
    )
    return text + (f": {difference_text(effect.summary)}." if effect is not None else ".")


def _important(search: Search) -> str:
    found = [one for one in importances(search, 0) if one.bars]
    if not found:
        return ""
    first = ranked_parameters(search, 0)[0]
    shares = [
        f"{one.method} {100 * bar.share:.0f}% [{100 * bar.low:.0f}, {100 * bar.high:.0f}]"
        for one in found
        for bar in one.bars
        if bar.parameter == first
    ]
    of = "" if len(search.objectives) == 1 else f" for {search.objectives[0].label}"
    return f"What matters most{of}: {first.label} ({', '.join(shares)})."


def search_warnings(search: Search) -> tuple[str, ...]:
    """Marks that stand beside every heading."""
    marks = (TUNED_ON_TEST,) if search.on_test else ()
    return (*marks, "RANDOM WEIGHTS") if search.random_weights else marks


def search_cautions(search: Search) -> tuple[str, ...]:
    """What makes the numbers worth less."""
    found = []
    if search.on_test:
        found.append(
            "Tuned on test: the objective looked at the labels that it reports, so its best values flatter it. Use it "
            "to see what matters, not to claim a score."
        )
    if search.adaptive:
        found.append(
            f"The sampler ({search.sampler}) looked at earlier trials and tried good places more often: importances, "
            "slices and the distribution describe where it looked, not the whole space. To learn what matters, search "
            "with random or sobol."
        )
    if len(search.trials) < search.asked:
        found.append(f"{len(search.trials)} of {search.asked} trials are there: the search goes on, or was stopped.")
    if search.damaged:
        found.append(f"Left out because they cannot be used: {listing(sorted(search.damaged)[:5])}.")
    return tuple(found)


def search_details(search: Search) -> tuple[str, ...]:
    """Sentences below the lead: pruning, and how stable the winner is."""
    found = []
    spent = work(search)
    if spent.pruned:
        evaluated = [trial for trial in search.trials if trial.steps]
        rate = sum(trial.seconds for trial in evaluated) / max(1, sum(len(trial.steps) for trial in evaluated))
        share = 100 * spent.saved / max(1, spent.planned)
        found.append(
            f"Pruning stopped {spent.pruned} of {len(search.trials)} trials early: {spent.saved} of {spent.planned} "
            f"cells ({share:.0f}%) were not run, about {_duration(rate * spent.saved)} of one worker at the mean time "
            "of a cell."
        )
    if len(search.objectives) == 1 and search.complete:
        stable = next((one for one in standings(search, 0) if one.trial == best_trials(search, 0)[0]), None)
        if stable is not None and stable.by_seeds is not None:
            ranks = [rank for _, rank in stable.ranks]
            text = (
                f"Trial {stable.trial.number} is first at {ranks.count(1)} of {seeds_text(len(ranks))} (worst rank "
                f"{max(ranks)}), and leads the best ten in {100 * stable.by_seeds:.0f}% of resamples of the seeds"
            )
            if stable.by_categories is not None:
                text += f" and {100 * stable.by_categories:.0f}% of those of the categories"
            found.append(text + ".")
    return tuple(found)


def search_trust(search: Search) -> tuple[tuple[str, str], ...]:
    """Short marks of how far to trust a search, each with a tone: good, warn or plain."""
    complete, tried = len(search.complete), len(search.trials)
    planned = max(tried, search.asked)
    marks = [(f"{complete} of {planned} trials complete", "good" if tried == planned else "warn")]
    marks += [
        (f"{count} {state}", tone)
        for state, tone in (("pruned", "plain"), ("failed", "warn"))
        if (count := sum(trial.state == state for trial in search.trials))
    ]
    marks.append((TUNED_ON_TEST, "warn") if search.on_test else ("not tuned on its test labels", "plain"))
    marks.append((f"{search.sampler} (adaptive)", "warn") if search.adaptive else (search.sampler, "plain"))
    marks.append((seeds_text(len(search.seeds)), "plain" if len(search.seeds) >= 3 else "warn"))
    marks += [(search.backbone, "plain"), (search.dataset, "plain")]
    marks += [(mark, "warn") for mark in search_warnings(search) if mark != TUNED_ON_TEST]
    if search.fresh is None and search.held_out is None:
        marks.append(("winner not re-evaluated", "warn"))
    return tuple(marks)


def search_facts(search: Search) -> tuple[tuple[str, str], ...]:
    """How the search was run."""
    spent = work(search)
    return (
        ("Objective", search.objective),
        ("Tuned on", f"{TUNED_ON_TEST}: {search.tuned_on}" if search.on_test else search.tuned_on),
        ("Sampler", search.sampler + (", adaptive" if search.adaptive else "")),
        ("Backbone", search.backbone),
        ("Weights (digest)", search.weights[:16]),
        ("Dataset", f"{search.dataset}: {', '.join(search.categories)}"),
        ("Shots", search.shots),
        ("Seeds", ", ".join(map(str, search.seeds))),
        ("Cells", f"{spent.evaluated} evaluated, {spent.saved} saved by pruning"),
        ("Time of its cells", _duration(sum(trial.seconds for trial in search.trials))),
    )


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def search_text(search: Search, rows: Rows) -> str:
    """The result of a search as text for a terminal."""
    return f"{search_title(search)}\n{search_question(search)}\n{search_lead(search, rows)}"
