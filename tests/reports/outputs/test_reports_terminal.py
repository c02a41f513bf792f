from helpers.documents import table_of
from helpers.report_study import damaged_rows, make_plan, make_rows, spoil

from reports.outputs.terminal import to_text


def test_a_table_on_a_terminal_has_a_line_per_arm_and_aligned_columns():
    plan = make_plan()
    lines = to_text(table_of(plan, make_rows(plan))).splitlines()
    assert lines[0] == plan["title"]
    assert lines[1] == "Synthetic inspection set, embedded tiny CLIP, protocol paper, 1-shot, 3 seeds"
    assert len(lines) == 2 + 1 + 5
    assert len({len(line) for line in lines[2:]}) == 1
    assert all(line.count(" ci ") == 4 for line in lines[3:])


def test_missing_is_a_word_and_warnings_are_shown():
    plan = make_plan(weights_label="RANDOM weights")
    text = to_text(table_of(plan, damaged_rows(plan)))
    assert "*** RANDOM WEIGHTS ***" in text
    assert "missing" in text
    assert "unavailable" in text


def test_an_average_over_fewer_categories_says_so():
    plan = make_plan()
    rows = make_rows(plan)
    spoil(plan, rows, "unavailable", "gear has no ground-truth masks", category="gear", task="pixel")
    text = to_text(table_of(plan, rows))
    assert text.count("pixel metrics: 5 of 6 categories (gear has no ground-truth masks)") == 1
