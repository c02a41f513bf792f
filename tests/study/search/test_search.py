"""A search's own logic, over cells that cost nothing; whatever runs the cells is tested with it elsewhere."""

import contextlib
import dataclasses
import math

import optuna
import pytest
from helpers.scored_cells import Killed, ScoredBench, run_search, search_plan, stored
from helpers.stored_rows import forget_rows

from ablations import Choice, IntRange, Parameter, Space, When
from ablations.ours.ready_spaces import FULL
from promptad.backbones.accelerator import DeviceError
from promptad.configs.promptad_config import PromptADConfig
from study.records.ledger import Ledger
from study.search.engine import Search
from study.search.objectives import Objective
from study.search.optuna_journal import journal
from study.search.trial_records import SearchLog

pytestmark = pytest.mark.slow

COMPLETE, PRUNED, FAIL = (getattr(optuna.trial.TrialState, name) for name in ("COMPLETE", "PRUNED", "FAIL"))

SMALL = Space(
    name="small",
    title="",
    parameters=(
        Parameter(name="laps", label="", domain=Choice.of("laps", True, False)),
        Parameter(
            name="L",
            label="",
            domain=IntRange(low=4, high=5),
            fields=("n_anomaly_suffixes",),
            when=When(parent="laps", values=(True,)),
        ),
    ),
)


def told(found):
    """What Optuna knows of every trial."""
    return [
        (trial.number, trial.state, trial.values, trial.params, trial.intermediate_values)
        for trial in found.study.get_trials()
    ]


def test_a_search_runs_the_trials_that_are_asked_for_and_keeps_records(inspection_root, tmp_path):
    plan = search_plan(inspection_root)
    found, bench = run_search(plan, tmp_path)
    assert sorted(found.records) == list(range(8))
    # Two categories, two seeds, two tasks.
    assert len(bench.ran) == 8 * 8 == len(set(bench.ran))
    record = found.records[0]
    assert [(step.seed, step.category, step.task) for step in record.steps] == [
        (seed, category, task) for seed in (0, 1) for category in ("disc", "plate") for task in ("image", "pixel")
    ]
    assert record.values[0] == pytest.approx(sum(step.value for step in record.steps) / 8)
    assert record.seconds == 8.0
    assert stored(plan, tmp_path)[0] == set(bench.ran)
    assert SearchLog(Ledger(str(tmp_path)).folder, plan.id).proposals() == {}
    best = max(found.records.values(), key=lambda record: record.values)
    assert found.best() == best


def test_the_first_trial_has_the_papers_values_for_all_are_compared_with_them(inspection_root, tmp_path):
    found, _ = run_search(search_plan(inspection_root, sampler="random"), tmp_path)
    assert found.records[0].params == {"lambda": 0.001, "N": 1, "L": 4}
    assert found.records[1].params != found.records[0].params


def test_where_the_space_does_not_reach_the_papers_values_nothing_stands_in_for_them(inspection_root, tmp_path):
    many = Parameter(name="L", label="", domain=IntRange(low=6, high=9), fields=("n_anomaly_suffixes",))
    space = Space(name="many", title="", parameters=(many,))
    assert space.paper_values() is None
    found, _ = run_search(search_plan(inspection_root, space=space, trials=3), tmp_path)
    assert all(record.params["L"] >= 6 for record in found.records.values())


@pytest.mark.parametrize("name", ["tpe", "gp", "cmaes", "random", "sobol", "nsga2"])
def test_a_search_that_dies_again_and_again_ends_as_one_in_peace(name, inspection_root, tmp_path):
    plan = search_plan(inspection_root, sampler=name, trials=14, prune=0.1, seeds=3)
    run_search(plan, tmp_path / "peace")
    begun = []
    for dies_at in (0, 5, 1, 30, 13, 22, None):
        bench = ScoredBench(dies_at=dies_at)
        with contextlib.suppress(Killed):
            found, _ = run_search(plan, tmp_path / "war", bench=bench)
        begun += bench.ran
    assert len(begun) == len(set(begun)), "a cell ran twice"
    assert stored(plan, tmp_path / "war") == stored(plan, tmp_path / "peace")
    assert {trial.state for trial in found.study.get_trials()} <= {COMPLETE, PRUNED}


def test_more_trials_of_the_same_search_go_on(inspection_root, tmp_path):
    plan = search_plan(inspection_root)
    run_search(plan, tmp_path / "parts", trials=3)
    _, second = run_search(plan, tmp_path / "parts", trials=8)
    _, whole = run_search(plan, tmp_path / "whole", trials=8)
    assert stored(plan, tmp_path / "parts") == stored(plan, tmp_path / "whole")
    assert len(second.ran) == len(whole.ran) - 3 * 8
    assert run_search(plan, tmp_path / "parts", trials=5)[1].ran == []


@pytest.mark.parametrize("name", ["tpe", "nsga2"])
def test_optuna_is_told_the_same_live_and_from_the_records(name, inspection_root, tmp_path):
    plan = search_plan(inspection_root, sampler=name, trials=20, prune=0.1, seeds=3)
    live, _ = run_search(plan, tmp_path, bench=ScoredBench(fails=lambda cell: cell.config.n_anomaly_suffixes == 7))
    again, bench = run_search(plan, tmp_path)
    assert bench.ran == []
    assert told(again) == told(live)
    assert {trial.state for trial in live.study.get_trials()} == {COMPLETE, PRUNED, FAIL}
    for trial in live.study.get_trials():
        known = [*(trial.values or []), *trial.intermediate_values.values()]
        assert all(map(math.isfinite, known))


def test_a_stopped_trial_is_told_its_running_means_and_enters_no_mean(inspection_root, tmp_path):
    plan = search_plan(inspection_root, trials=20, prune=0.1, seeds=3)
    found, bench = run_search(plan, tmp_path)
    pruned = [record for record in found.records.values() if record.state == "pruned"]
    assert pruned
    assert len(bench.ran) < 20 * 12
    for record in pruned:
        assert record.values is None
        assert "worse than the best trial on the same" in record.reason
        assert len(record.steps) == len(record.cells) < 12
        trial = found.study.trials[record.number]
        assert trial.state == PRUNED
        means = [step.value for step in record.steps]
        assert trial.intermediate_values[len(record.cells) // 2 - 1] == pytest.approx(sum(means) / len(means))
    assert found.best().number not in {record.number for record in pruned}


def test_a_trial_whose_rows_are_gone_is_run_again_and_values_come_from_rows(inspection_root, tmp_path):
    plan = search_plan(inspection_root)
    first, _ = run_search(plan, tmp_path)
    before = stored(plan, tmp_path)
    lost = first.records[3].cells[2]
    forget_rows(tmp_path, {lost})
    record = tmp_path / "searches" / plan.id / "00005.json"
    record.write_text(record.read_text().replace('"values": [\n  0.', '"values": [\n  0.1'))
    damaged = tmp_path / "searches" / plan.id / "00006.json"
    damaged.write_text(damaged.read_text()[:40])
    _, bench = run_search(plan, tmp_path)
    assert bench.ran == [lost]
    assert stored(plan, tmp_path)[0] == before[0]
    # The damaged record's values are lost with it, so that trial may be another one.
    numbers = set(before[1]) - {6}
    assert {n: stored(plan, tmp_path)[1][n] for n in numbers} == {n: before[1][n] for n in numbers}


def test_a_failed_cell_fails_its_trial_with_the_reason(inspection_root, tmp_path):
    plan = search_plan(inspection_root)
    found, bench = run_search(plan, tmp_path, bench=ScoredBench(fails=lambda cell: cell.seed == 1))
    assert {record.state for record in found.records.values()} == {"failed"}
    assert "this cell cannot be computed" in found.records[0].reason
    assert found.best() is None
    assert {trial.state for trial in found.study.get_trials()} == {FAIL}
    # Tried twice in place, then the trial ends.
    assert len(bench.ran) == 8 * (4 + 2)


class Diverging(Objective):
    """An objective whose second value is no number."""

    def values(self, steps, rows):
        return (*super().values(steps, rows), math.nan)


def test_what_is_not_a_number_is_never_told(inspection_root, tmp_path):
    plan = search_plan(inspection_root, sampler="random", trials=2)
    fields = {field.name: getattr(plan.objective, field.name) for field in dataclasses.fields(plan.objective)}
    found, _ = run_search(dataclasses.replace(plan, objective=Diverging(**fields)), tmp_path)
    assert {record.state for record in found.records.values()} == {"failed"}
    assert "a value must be a finite number, but the values are" in found.records[0].reason
    assert [trial.values for trial in found.study.get_trials()] == [None, None]
    assert {trial.state for trial in found.study.get_trials()} == {FAIL}


def test_settings_that_come_again_cost_nothing(inspection_root, tmp_path):
    plan = search_plan(inspection_root, space=SMALL, sampler="random", trials=3)
    found, bench = run_search(plan, tmp_path)
    settings = {tuple(sorted(record.params.items())) for record in found.records.values()}
    assert len(bench.ran) == len(set(bench.ran)) == 8 * len(settings)
    assert len(found.records) == 3


def test_only_active_parameters_are_recorded(inspection_root, tmp_path):
    plan = search_plan(inspection_root, space=FULL, sampler="random", trials=10)
    found, _ = run_search(plan, tmp_path)
    for record in found.records.values():
        assert record.params.keys() == record.distributions.keys()
        assert ("anomaly_prompts" in record.params) == record.params["sc"]
        assert ("memory" in record.params) == record.params["vad"]
        assert ("L" in record.params) == (record.params.get("anomaly_prompts") in ("both", "learnable"))


def test_the_front_of_several_objectives(inspection_root, tmp_path):
    plan = search_plan(inspection_root, objective="pareto", sampler="nsga2", trials=6)
    found, _ = run_search(plan, tmp_path)
    assert found.best() is None
    # Image, pixel, and seconds without those for features.
    assert {len(record.values) for record in found.records.values()} == {3}
    assert {record.values[2] for record in found.records.values()} == {0.75}
    assert found.study.directions == [optuna.study.StudyDirection.MAXIMIZE] * 2 + [optuna.study.StudyDirection.MINIMIZE]


def test_time_that_is_up_leaves_the_rest_for_the_next_run(inspection_root, tmp_path):
    plan = search_plan(inspection_root)
    found, bench = run_search(plan, tmp_path, timeout=1e-9)
    assert bench.ran == []
    assert found.records == {}
    run_search(plan, tmp_path)
    run_search(plan, tmp_path / "whole")
    assert stored(plan, tmp_path) == stored(plan, tmp_path / "whole")


def test_the_export_is_a_storage_that_optuna_opens(inspection_root, tmp_path):
    plan = search_plan(inspection_root, trials=12, prune=0.1, seeds=3)
    found, _ = run_search(plan, tmp_path / "study")
    (tmp_path / "journal").write_bytes(journal(found))
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(tmp_path / "journal")))
    study = optuna.load_study(study_name=plan.id, storage=storage)
    assert [(trial.state, trial.values, trial.params) for trial in study.trials] == [
        (trial.state, trial.values, trial.params) for trial in found.study.trials
    ]
    assert study.user_attrs["objective"] == "AUROC on pseudo-anomalies"


def test_a_search_with_trials_in_flight_exports_those_that_ended(inspection_root, tmp_path):
    plan = search_plan(inspection_root)
    ledger = Ledger(str(tmp_path))
    found = Search(plan, ledger, SearchLog(ledger.folder, plan.id), trials=3)
    first, second = found.ask(), found.ask()
    assert (first.number, second.number) == (0, 1)
    assert set(found.running) == {0, 1}
    found.fail(1, "its worker died")
    again = Search(plan, ledger, SearchLog(ledger.folder, plan.id), trials=3)
    assert [dataclasses.asdict(record)["state"] for record in again.records.values()] == ["failed"]
    reopened = again.ask()
    assert (reopened.number, reopened.params) == (0, first.params)


def test_an_accelerators_precision_is_refused_on_a_cpu_before_any_trial(inspection_root, tmp_path):
    base = PromptADConfig(epochs=3, map_size=48, precision="tf32")
    plan = search_plan(inspection_root, space=SMALL, trials=2, base=base)
    bench = ScoredBench()
    with pytest.raises(DeviceError, match="configs that ask for it: 1, and no GPU is used here"):
        run_search(plan, tmp_path, bench=bench)
    assert bench.ran == []
