"""docs/protocols.md says of every field of the config whether the paper prints its default."""

import re
import typing

import pytest
from helpers.places import DOCS

from promptad.configs.promptad_config import PromptADConfig
from promptad.configs.protocol import DEVIATIONS

DOCUMENT = (DOCS / "protocols.md").read_text(encoding="utf-8")
LABELS = ("printed", "silent, ours", "contradicted")


def table(heading: str) -> list[list[str]]:
    """The rows of the table below a heading, without its head, as cells."""
    section = DOCUMENT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = [line.strip().strip("|").split(" | ") for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in row] for row in rows[1:]]


FIELDS = table("Every field")
CHOICES = table("Choices without a field")


def shown(value: object) -> str:
    return f"`{str(value).lower() if value is None or isinstance(value, bool) else value}`"


def options(hint: object) -> list[str]:
    return [str(option) for option in typing.get_args(hint)] if typing.get_origin(hint) is typing.Literal else []


@pytest.mark.parametrize("name", PromptADConfig.field_names())
def test_every_field_has_one_row_with_its_default_a_label_and_every_choice(name):
    rows = [row for row in FIELDS if row[0] == f"`{name}`"]
    assert len(rows) == 1, f"docs/protocols.md must have one row for {name}, but has {len(rows)}"
    _, default, label, text = rows[0]
    assert default == shown(getattr(PromptADConfig(), name))
    assert label in LABELS
    choices = options(typing.get_type_hints(PromptADConfig)[name])
    assert [choice for choice in choices if f"`{choice}`" not in default + text] == []


def test_no_row_is_there_twice_and_all_have_four_cells():
    assert all(len(row) == 4 for row in FIELDS)
    assert len({row[0] for row in FIELDS}) == len(FIELDS) >= len(PromptADConfig.field_names())


@pytest.mark.parametrize("row", [row for row in FIELDS if row[2] == "contradicted"], ids=lambda row: row[0])
def test_a_contradiction_quotes_both_sides(row):
    assert len(re.findall(r'"[^"]+"', row[3])) >= 2


@pytest.mark.parametrize("row", [row for row in FIELDS if row[2] == "printed"], ids=lambda row: row[0])
def test_what_is_printed_names_its_place(row):
    assert re.search(r"[Ss]ection \d|[Ee]q\. \d|Figure \d|Table \d|[Ss]upplement [A-G]|by the same sentence", row[3])


def test_choices_without_a_field_have_a_label():
    assert len(CHOICES) > 10
    assert {row[1] for row in CHOICES} <= set(LABELS)


def test_every_departure_has_a_row_of_its_own():
    rows = re.findall(r"^\| (D\d+) \|", DOCUMENT, flags=re.MULTILINE)
    assert rows == [f"D{number}" for number in range(1, 22)]
    assert {deviation.number for deviation in DEVIATIONS} <= set(rows)
