"""A search in progress: proposes trials, receives their cells' rows, and reports to Optuna. It knows no processes.

The ledger is the truth: Optuna's study lives in memory, is rebuilt from records and rows whenever a search begins,
and receives a trial only after its record is stored.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import optuna
from optuna.distributions import distribution_to_json
from optuna.storages import InMemoryStorage
from optuna.trial import Trial, TrialState, create_trial

from ablations.spaces import Params
from promptad.configs.method_config import ConfigError
from study.records.cell import Cell
from study.records.ledger import Ledger
from study.records.row import Row
from study.search.objectives import Step, pair_values, step_of
from study.search.pruning import is_worse
from study.search.samplers import distributions, named_sampler, sampler, suggest
from study.search.search_plan import SearchPlan
from study.search.trial_records import SearchLog, State, TrialRecord

STATES: Mapping[State, TrialState] = {
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}

OnTrial = Callable[[TrialRecord], None]


@dataclass(slots=True, kw_only=True)
class Running:
    """A trial that has not ended. ``steps`` belong to the cells that have rows, a prefix of ``cells``."""

    trial: Trial
    params: Params
    distributions: Mapping[str, str]
    cells: tuple[Cell, ...]
    steps: list[Step] = field(default_factory=list)
    rows: dict[str, Row] = field(default_factory=dict)

    @property
    def number(self) -> int:
        """Optuna's number."""
        return int(self.trial.number)

    @property
    def missing(self) -> Cell | None:
        """The first cell without a row."""
        return self.cells[len(self.steps)] if len(self.steps) < len(self.cells) else None


class Search:
    """The trials of one search, up to ``trials`` of them.

    ``study`` is Optuna's, on ``storage`` under the search's id; ``on_trial`` is called with each new record.
    """

    def __init__(
        self, plan: SearchPlan, ledger: Ledger, log: SearchLog, *, trials: int, on_trial: OnTrial | None = None
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.plan = plan
        self.records: dict[int, TrialRecord] = {}
        self._ledger, self._log, self._trials, self.on_trial = ledger, log, trials, on_trial
        self.running: dict[int, Running] = {}
        self._open: list[Trial] = []
        self._tried: set[str] = set()
        request = plan.request
        self.storage, self.sampler = InMemoryStorage(), sampler(request.sampler, request.space, request.seed)
        self.study = optuna.create_study(
            storage=self.storage,
            sampler=self.sampler,
            study_name=plan.id,
            directions=list(plan.objective.directions),
        )
        self._rebuild()

    def take_open(self) -> Trial | None:
        """An earlier trial that has not ended or must run again; each is returned once."""
        return self._open.pop(0) if self._open else None

    @property
    def full(self) -> bool:
        """Whether the search has all its trials."""
        return not self._open and len(self.study.get_trials(deepcopy=False)) >= self._trials

    def ask(self) -> Running | None:
        """The next trial that has a cell to run, or None. Trials that need no work end here."""
        while not self.full:
            running = self.begin(self.take_open() or self.study.ask())
            if running is not None:
                return running
        return None

    def propose(self, trial: Trial) -> dict[str, object]:
        """The values of one of Optuna's trials."""
        return suggest(trial, self.plan.request.space)

    def begin(self, trial: Trial) -> Running | None:
        """Begin a trial that Optuna numbered; None if all its rows exist already, or it cannot run."""
        params = self.propose(trial)
        distributions = {name: distribution_to_json(domain) for name, domain in trial.distributions.items()}
        running = Running(trial=trial, params=params, distributions=distributions, cells=())
        self._log.propose(running.number, params)
        try:
            running.cells = self.plan.cells(params)
        except ConfigError as error:
            self._end(running, "failed", str(error))
            return None
        self.running[running.number] = running
        return None if self.advance(running.number) else running

    def ran(self, number: int, digest: str | None) -> bool:
        """Process the new row of a trial's cell (None: no cell to run); returns whether the trial ended."""
        if number not in self.running:
            return True
        self._tried |= {digest} if digest else {cell.digest for cell in self.running[number].cells}
        return self.advance(number)

    def advance(self, number: int) -> bool:
        """Process the rows that a trial's cells have by now, in order; returns whether the trial ended."""
        running = self.running[number]
        missing = [cell.digest for cell in running.cells[len(running.steps) :]]
        # All cells are checked when a trial begins; later mostly one row is new.
        rows = self._ledger.rows(missing if not running.steps else missing[:1])
        while (cell := running.missing) is not None:
            row = rows.get(cell.digest) or self._ledger.row(cell.digest)
            if row is None or (row.status != "ok" and cell.digest not in self._tried):
                return False
            if row.status != "ok":
                self._end(running, "failed", f"{cell}: {row.reason}")
                return True
            running.steps.append(step_of(row))
            running.rows[cell.digest] = row
            if self._is_worse(running):
                pairs = len(pair_values(running.steps))
                self._end(running, "pruned", f"worse than the best trial on the same {pairs} categories and seeds")
                return True
        self._end(running, "complete", None)
        return True

    def fail(self, number: int, reason: str) -> None:
        """End a trial that cannot continue."""
        if number in self.running:
            self._end(self.running[number], "failed", reason)

    def best(self) -> TrialRecord | None:
        """The complete trial with the best value, the first of equals; None with several objectives or without one."""
        complete = [record for record in self.records.values() if record.state == "complete"]
        if not complete or not self.plan.objective.single:
            return None
        return max(complete, key=lambda record: (record.values or (-math.inf,), -record.number))

    def _is_worse(self, running: Running) -> bool:
        threshold, following = self.plan.request.prune, running.missing
        if threshold is None or following is None:
            return False
        last = running.steps[-1]
        if (following.category, following.seed) == (last.category, last.seed):
            return False
        best = self.best()
        if best is None:
            return False
        values, reference = pair_values(running.steps), pair_values(best.steps)
        places = {pair: place for place, pair in enumerate(reference)}
        return is_worse(
            {places[pair]: value for pair, value in values.items() if pair in places},
            {places[pair]: value for pair, value in reference.items()},
            threshold=threshold,
        )

    def _end(self, running: Running, state: State, reason: str | None) -> None:
        values = self.plan.objective.values(running.steps, running.rows) if state == "complete" else None
        if values is not None and not all(map(math.isfinite, values)):
            state, reason, values = "failed", f"a value must be a finite number, but the values are {values}", None
        record = TrialRecord(
            number=running.number,
            params=dict(running.params),
            distributions=dict(running.distributions),
            state=state,
            values=values,
            steps=tuple(running.steps),
            cells=tuple(step.cell for step in running.steps),
            reason=reason,
            seconds=math.fsum(row.seconds.get("total", 0.0) for row in running.rows.values()),
        )
        self._log.finish(record)
        self._tell(running.trial, record)
        self.running.pop(running.number, None)
        self.records[record.number] = record
        if self.on_trial is not None:
            self.on_trial(record)

    def _tell(self, trial: Trial, record: TrialRecord) -> None:
        for place, value in self._intermediate(record).items():
            trial.report(value, place)
        if record.state == "complete":
            self.study.tell(trial, list(record.values or ()))
        else:
            self.study.tell(trial, state=STATES[record.state])

    def _intermediate(self, record: TrialRecord) -> dict[int, float]:
        """The running mean after each (category, seed) pair: the value of a trial that stops there."""
        if not self.plan.objective.single:
            return {}
        values = list(pair_values(record.steps).values())
        return {place: math.fsum(values[: place + 1]) / (place + 1) for place in range(len(values))}

    def _rebuild(self) -> None:
        """Rebuild Optuna's study from records whose rows exist; other trials run again with their values."""
        # From an altered file, only values that the space has can run again.
        space = self.plan.request.space
        records = {number: record for number, record in self._log.records().items() if space.holds(record.params)}
        proposals = {number: params for number, params in self._log.proposals().items() if space.holds(params)}
        rows = self._ledger.rows({digest for record in records.values() for digest in record.cells})
        for number in range(max([*records, *proposals], default=-1) + 1):
            record = self._confirmed(records.get(number), rows)
            known = records.get(number)
            if record is None or named_sampler(self.plan.request.sampler).stateful:
                params = proposals.get(number) if known is None else known.params
                if params is not None:
                    self.study.enqueue_trial(dict(params))
                trial = self.study.ask()
                self.propose(trial)
                if record is None:
                    self._open.append(trial)
                    continue
                self._tell(trial, record)
            else:
                self.study.add_trial(self._frozen(record))
            self.records[number] = record
        if not records and not proposals and (defaults := self.plan.request.space.paper_values()) is not None:
            # The trial with which all others are compared is first.
            self.study.enqueue_trial(defaults)
            self._open.append(self.study.ask())
            self.propose(self._open[0])
        self._open = [trial for trial in self._open if trial.number < self._trials]

    def _confirmed(self, record: TrialRecord | None, rows: Mapping[str, Row]) -> TrialRecord | None:
        """A record with the numbers of its rows; None if the trial must run (again)."""
        if record is None or record.state == "failed":
            return record
        cells = [cell.digest for cell in self.plan.cells(record.params)]
        expected = cells if record.state == "complete" else cells[: len(record.cells)]
        if list(record.cells) != expected or any(
            digest not in rows or rows[digest].status != "ok" for digest in expected
        ):
            return None
        steps = tuple(step_of(rows[digest]) for digest in expected)
        values = self.plan.objective.values(steps, rows) if record.state == "complete" else None
        confirmed = TrialRecord(
            number=record.number,
            params=record.params,
            distributions=record.distributions,
            state=record.state,
            values=values,
            steps=steps,
            cells=record.cells,
            reason=record.reason,
            seconds=math.fsum(rows[digest].seconds.get("total", 0.0) for digest in expected),
        )
        if confirmed != record:
            self._log.finish(confirmed)
        return confirmed

    def _frozen(self, record: TrialRecord) -> optuna.trial.FrozenTrial:
        intermediate = self._intermediate(record)
        value = {"values": list(record.values)} if record.values is not None else {}
        if record.state == "pruned" and intermediate:
            # The value that Optuna gives a trial that it receives as pruned.
            value = {"values": [intermediate[max(intermediate)]]}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return create_trial(
                state=STATES[record.state],
                params=dict(record.params),
                distributions=distributions(record.params, self.plan.request.space),
                intermediate_values=intermediate,
                **value,
            )
