"""Searches as the study keeps them, read into typed values; what cannot be used is named."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from promptad.scoring.metric_table import METRICS
from reports.reading.forms import SEARCH, SENSITIVITY, TRIAL
from reports.reading.given import Given
from reports.reading.shapes import Document, DocumentError, check, is_number, shown
from reports.searches.search import Fresh, HeldOut, Objective, Parameter, Search, Step, Trial

KINDS = ("float", "int", "choice")
SCHEMA = 1
OLD_MEASURES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "mean_auroc": ("Mean AUROC", ("image", "pixel")),
    "image_auroc": (METRICS["image_auroc"].title, ("image",)),
    "pixel_auroc": (METRICS["pixel_auroc"].title, ("pixel",)),
    "seconds": ("Seconds of a cell", ()),
}
"""Title and tasks of the measures that were there before documents said them."""
MARK = "TUNED ON TEST: "
"""How documents begin what a search on test labels looked at, which they say by ``on_test`` as well."""
OLD_INDEPENDENT = ("random", "sobol", "grid")
"""Samplers that did not look at earlier trials, before documents said so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchFiles:
    """The JSON of one search: its document, trials and `damaged` files by file name, and its importances if made."""

    name: str
    document: Document
    trials: Mapping[str, Document]
    sensitivity: Document | None = None
    damaged: Mapping[str, str] = field(default_factory=dict)


def read_search(files: SearchFiles) -> Search:
    """The JSON of a search as typed values; a trial that cannot be used is named in `damaged`.

    Raises:
        DocumentError: if the document lacks a key, is of another schema, or contradicts itself.
    """
    raw = files.document
    if raw.get("schema") != SCHEMA:
        raise DocumentError(
            f"search schema must be {SCHEMA}, but {files.name} has {shown(raw.get('schema'))}: it is another version's"
        )
    check(raw, SEARCH, f"search {files.name} must have every key of schema {SCHEMA}, but")
    objective = raw["objective"]
    parameters = tuple(_parameter(item) for item in raw["space"])
    objectives = _objectives(objective, raw.get("measures"))
    names = [parameter.name for parameter in parameters]
    if len(set(names)) < len(names):
        raise DocumentError(f"parameters must have different names, but are {', '.join(names)}")
    if strange := [each.when[0] for each in parameters if each.when is not None and each.when[0] not in names]:
        raise DocumentError(f"a parameter depends on {', '.join(strange)}, which the space does not have")
    search = Search(
        name=files.name,
        space=str(raw["name"]),
        title=str(raw.get("title") or ""),
        parameters=parameters,
        objective=str(objective["label"]),
        tuned_on=str(objective["tuned_on"]).removeprefix(MARK),
        on_test=bool(objective["on_test"]),
        on_test_images=objective["query"] == "test",
        objectives=objectives,
        sampler=str(raw["sampler"]),
        adaptive=raw["sampler"] not in OLD_INDEPENDENT if raw.get("adaptive") is None else bool(raw["adaptive"]),
        asked=int(raw["trials"]),
        backbone=str(raw["backbone"]),
        random_weights=_random_weights(raw),
        weights=str(raw["weights"]),
        dataset=str(raw.get("dataset_title") or raw["dataset"]),
        given=Given.from_json(raw.get("given")),
        categories=tuple(map(str, raw["categories"])),
        shots=", ".join(map(str, raw["shots"])) if isinstance(raw["shots"], list) else str(raw["shots"]),
        seeds=tuple(map(int, raw["seeds"])),
        trials=(),
        fresh=_fresh(raw.get("fresh")),
        held_out=_held_out(raw.get("report")),
        damaged={},
        sensitivity=usable_importances(files) or {},
    )
    trials: dict[int, Trial] = {}
    damaged = dict(files.damaged)
    for file, item in sorted(files.trials.items()):
        try:
            trial = _trial(item, parameters, len(objectives))
            if trial.number in trials:
                raise DocumentError(f"trial {trial.number} is there twice")
            trials[trial.number] = trial
        except DocumentError as error:
            damaged[file] = str(error)
    return replace(search, trials=tuple(trial for _, trial in sorted(trials.items())), damaged=damaged)


def _random_weights(raw: Document) -> bool:
    """Whether the search ran on random weights; documents from before they said so have it in the backbone's name."""
    said = raw.get("random_weights")
    return bool(str(raw["backbone"]).endswith(":random") if said is None else said)


def _parameter(raw: Document) -> Parameter:
    kind = str(raw["kind"])
    if kind not in KINDS:
        raise DocumentError(f"a parameter's kind must be one of {', '.join(KINDS)}, but {raw['name']} has {kind!r}")
    numeric = kind != "choice"
    if numeric and not (is_number(raw.get("low")) and is_number(raw.get("high"))):
        raise DocumentError(f"the range of {raw['name']} must have a low and a high end")
    if not numeric and not raw.get("values"):
        raise DocumentError(f"choice {raw['name']} must have values")
    low, high = (float(raw["low"]), float(raw["high"])) if numeric else (0.0, 1.0)
    if not low <= high or (raw.get("log") and low <= 0):
        raise DocumentError(f"the range of {raw['name']} must be finite and ordered, but is {low} to {high}")
    when = raw.get("when")
    return Parameter(
        name=str(raw["name"]),
        label=str(raw.get("label") or raw["name"]),
        kind=kind,
        low=low,
        high=high,
        log=numeric and bool(raw.get("log")),
        step=float(raw["step"]) if numeric and raw.get("step") else None,
        values=tuple(_frozen(value) for value in raw.get("values") or ()),
        when=None if not when else (str(when["parent"]), tuple(_frozen(value) for value in when["values"])),
        default=_frozen(raw.get("paper")),
    )


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


def _objectives(raw: Document, said: Sequence[Document] | None) -> tuple[Objective, ...]:
    """One objective per direction; a single one has the name of the whole. ``said`` are the document's measures."""
    metrics, directions = [str(name) for name in raw["metrics"]], list(raw["directions"])
    if not directions or any(direction not in ("maximize", "minimize") for direction in directions):
        raise DocumentError(f"directions must be maximize or minimize, but are {directions}")
    if len(metrics) != len(directions):
        raise DocumentError(f"{len(directions)} directions need as many metrics, but there are {len(metrics)}")
    measures = OLD_MEASURES if said is None else {each["name"]: (each["title"], tuple(each["tasks"])) for each in said}
    if strange := [name for name in metrics if name not in measures]:
        raise DocumentError(f"metrics must be some of {', '.join(measures)}, but {', '.join(strange)} are not")
    single = str(raw["label"]) if len(metrics) == 1 else None
    return tuple(
        Objective(
            label=single or measures[name][0],
            metric=name,
            maximize=direction == "maximize",
            tasks=measures[name][1],
        )
        for name, direction in zip(metrics, directions, strict=True)
    )


def _trial(raw: Document, parameters: tuple[Parameter, ...], objectives: int) -> Trial:
    check(raw, TRIAL, "not a trial")
    state = raw["state"]
    unknown = sorted(set(raw["params"]) - {parameter.name for parameter in parameters})
    if unknown:
        raise DocumentError(f"parameters of a trial must be in its search's space, but {', '.join(unknown)} are not")
    if wrong := [each.name for each in parameters if not _holds(each, raw["params"])]:
        raise DocumentError(f"parameters of a trial must have values of their kind, but {', '.join(wrong)} have not")
    values = (raw["values"] or ()) if state == "complete" else ()
    if state == "complete" and len(values) != objectives:
        raise DocumentError(
            f"a complete trial must have a value for each of {objectives} objectives, but has {len(values)}"
        )
    return Trial(
        number=int(raw["number"]),
        params={str(name): _frozen(value) for name, value in raw["params"].items()},
        state=state,
        values=tuple(map(float, values)),
        steps=_steps(raw.get("steps")),
        cells=tuple(map(str, raw.get("cells") or ())),
        reason=str(raw.get("reason") or ""),
        seconds=float(raw.get("seconds") or 0.0),
    )


def _holds(parameter: Parameter, params: Document) -> bool:
    """True if a trial's value is one that the parameter can have, or it has none."""
    if parameter.name not in params:
        return True
    value = params[parameter.name]
    if parameter.numeric:
        return is_number(value) and (value > 0 or not parameter.log)
    return _frozen(value) in parameter.values


def _steps(raw: Sequence[Document] | None) -> tuple[Step, ...]:
    return tuple(
        Step(category=step["category"], seed=step["seed"], task=step["task"], value=float(step["value"]))
        for step in raw or ()
    )


def usable_importances(files: SearchFiles) -> Document | None:
    """The importances that lie beside a search; None if they are damaged, so that they are made again."""
    if files.sensitivity is None:
        return None
    try:
        check(files.sensitivity, SENSITIVITY, "importances")
    except DocumentError:
        return None
    return files.sensitivity


def _held_out(raw: Document | None) -> HeldOut | None:
    if not raw:
        return None
    values = [float(raw[who]["value"]) if is_number(raw[who]["value"]) else None for who in ("winner", "base")]
    return HeldOut(
        categories=tuple(map(str, raw["held_out"])),
        winner=tuple(map(str, raw["winner"]["cells"])),
        base=tuple(map(str, raw["base"]["cells"])),
        winner_value=values[0],
        base_value=values[1],
    )


def _fresh(raw: Document | None) -> Fresh | None:
    if not raw:
        return None
    if wrong := [number for number in raw["trials"] if not (number.isascii() and number.isdigit())]:
        raise DocumentError(f"trials on fresh seeds must be named by their numbers, but are {', '.join(wrong)}")
    return Fresh(
        seeds=tuple(map(int, raw["seeds"])),
        trials={int(number): tuple(map(str, digests)) for number, digests in raw["trials"].items()},
        default=tuple(map(str, raw.get("default") or ())),
    )
