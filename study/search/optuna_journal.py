"""A search as an Optuna storage, for optuna-dashboard and for Optuna's own plots."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from study.search.engine import Search


def journal(search: Search) -> bytes:
    """Every ended trial, as a journal of Optuna's; ``optuna-dashboard FILE`` opens it.

    This project writes it and never reads it. Its trials are numbered without gaps, in our order.
    """
    with tempfile.TemporaryDirectory(prefix="promptad-journal-") as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        path = Path(scratch) / "journal"
        objective = search.plan.document["objective"]
        study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(path))),
            study_name=search.plan.id,
            directions=objective["directions"],
        )
        study.set_metric_names(objective["metrics"])
        study.set_user_attr("objective", objective["label"])
        study.set_user_attr("tuned on", objective["tuned_on"])
        ended = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
        study.add_trials(search.study.get_trials(deepcopy=False, states=ended))
        return path.read_bytes()
