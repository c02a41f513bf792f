"""What a fault of a document says."""

import functools
import itertools
import math

import pytest

from reports.reading.shapes import (
    DocumentError,
    anything,
    by_name,
    check,
    each,
    either,
    flag,
    maybe,
    moment,
    number,
    one_of,
    record,
    text,
    whole,
)

COLUMN = either(one_of("full", "own"), whole)


def fault(value, shape):
    with pytest.raises(DocumentError) as error:
        check({"shots": value}, record({"shots": shape}), "plan")
    return str(error.value)


@pytest.mark.parametrize("good", ["full", "own", 0, 4])
def test_a_value_of_several_kinds_may_be_of_each(good):
    check({"shots": good}, record({"shots": COLUMN}), "plan")


@pytest.mark.parametrize("bad", [-1, "half", 1.5, None, True, [1]])
def test_a_value_of_none_of_several_kinds_is_told_all_of_them(bad):
    assert fault(bad, COLUMN).startswith("plan: shots must be one of full, own or a whole number from 0, but is ")


def test_a_list_or_a_value_is_told_which_item_is_wrong():
    shape = either(each(either(one_of("full"), whole)), whole)
    assert fault([1, "x"], shape) == "plan: shots[1] must be full or a whole number from 0, but is 'x'"
    assert fault("x", shape) == "plan: shots must be a list or a whole number from 0, but is 'x'"
    both = either(by_name(each(text)), each(text))
    assert fault({"a": [1]}, both) == "plan: shots.'a'[0] must be text, but is 1"
    assert fault([1], both) == "plan: shots[0] must be text, but is 1"
    assert fault(1, both) == "plan: shots must be an object or a list, but is 1"


def test_what_may_be_absent_says_what_it_is_where_it_is_there():
    check({"shots": None}, record({"shots": maybe(COLUMN)}), "plan")
    assert "must be one of full, own or a whole number from 0" in fault(-1, maybe(COLUMN))


def test_a_glance_says_the_same_as_the_search_for_faults():
    """`fits` is a second way to the same answer, so it must give it for every kind of value."""
    values = [None, True, 0, -1, 2**70, 1.5, math.nan, math.inf, "a", "\ud800", "ü", [], [1], ["a"], [None], {}, ()]
    values += [{"a": 1}, {"a": "b"}, {"\ud800": 1}, {1: 2}, {"a": 1, "b": [1, "c"]}, [[[["deep"]]]], {"a": None}]
    values.append(functools.reduce(lambda inner, _: [inner], range(30), 0))
    shapes = [text, whole, number, flag, moment, anything, one_of(1, "a"), maybe(text), each(number), by_name(anything)]
    shapes += [record({"a": whole}, {"b": each(anything)}), either(text, each(whole)), each(either(flag, maybe(text)))]
    answers = set()
    for shape, value in itertools.product(shapes, values):
        assert shape.fits(value) == (list(shape(value, "x")) == []), (shape.rule, value)
        answers.add(shape.fits(value))
    assert answers == {True, False}
