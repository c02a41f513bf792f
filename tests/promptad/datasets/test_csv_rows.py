"""Readers of comma-separated text: a right result, or an error that names file and line."""

import codecs
import csv
import functools
import io

import pytest
from helpers.data_sets import visa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ablations.published
from ablations.published import COLUMNS, PublishedError, parsed_tables, published_tables
from promptad.datasets import DatasetError, category_names, open_category
from promptad.datasets.csv_rows import CSVError, csv_rows

thoroughly = settings(
    max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
TABLE = b"a,b,c\n1,2,3\n"
PRINTED = (
    b"table,method,dataset,shots,metric,value,std,factors,note\n"
    b"table1,PromptAD,mvtec,1,image_auroc,94.6,1.7,,\n"
    b'table3,PromptAD,visa,full,pixel_auroc,96.7,,sc=1;eam=0,"as printed, twice"\n'
)
SPLIT = (
    b"object,split,label,image,mask\n"
    b"candle,train,normal,candle/Data/Images/Normal/0002.JPG,\n"
    b"candle,train,normal,candle/Data/Images/Normal/0000.JPG,\n"
    b"candle,test,normal,candle/Data/Images/Normal/0001.JPG,\n"
    b"candle,test,anomaly,candle/Data/Images/Anomaly/000.JPG,candle/Data/Masks/Anomaly/000.png\n"
)


@pytest.mark.parametrize(
    "content",
    [
        TABLE,
        codecs.BOM_UTF8 + TABLE,
        b"c , b,a\r\n3,2,1\r\n",
        b'a,b,c,d\n"1",2,3,4\n',
        b"\na,b,c\n\n1,2,3",
        b"a,b,c\r1,2,3",
    ],
)
def test_what_can_be_read_is(content):
    ((line, row),) = csv_rows(content, "x.csv", ("a", "b", "c"))
    assert row == {"a": "1", "b": "2", "c": "3"}
    assert line in (2, 4)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"x\.csv must begin with the columns a,b,c, but it is empty"),
        (b"a,c\n1,2\n", r"x\.csv must have the columns a,b,c, but lacks b"),
        (b"a,b,b,c\n1,2,3,4\n", r"x\.csv must have each column once, but has b twice"),
        (TABLE + b"1,2,3,4\n", r"x\.csv must have 3 fields in a line, .* but line 3 has 4"),
        (TABLE + b"1,\0,3\n", r"x\.csv must be text, but line 3 holds a null byte"),
        (TABLE + b"1,caf\xe9,3\n", r"x\.csv must be UTF-8 text, but line 3 holds the byte 0xe9"),
        (TABLE.decode().encode("utf-16"), r"x\.csv must be UTF-8 text, but is UTF-16: save it as UTF-8"),
        (TABLE + b'1,"2,3\n4,5,6\n', r"x\.csv must be comma-separated text, but line 4 is not: unexpected end"),
        (TABLE + b"1,2," + b"x" * 200_000, r"x\.csv must be comma-separated text, but line 3 is not: field larger"),
    ],
)
def test_what_cannot_be_read_names_file_and_line(content, message):
    with pytest.raises(CSVError, match=message):
        csv_rows(content, "x.csv", ("a", "b", "c"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.encode("utf-16"), r"1cls\.csv must be UTF-8 text, but is UTF-16"),
        (lambda text: text.replace("0001", "caf\xe9").encode("latin-1"), r"1cls\.csv .*line 4 holds the byte 0xe9"),
        (lambda text: (text + "x" * 200_000).encode(), r"1cls\.csv .*line 6 is not: field larger than field limit"),
        (lambda text: (text + ',train,normal,a,\n,test,normal,b,"\n').encode(), r"1cls\.csv .*unexpected end of data"),
        (lambda text: (text + ",train,normal,a,\n,test,normal,b,\n").encode(), r"must name an object, .*: 6, 7"),
        (lambda text: (text + "candle,test,normal,a,b,c\n").encode(), r"1cls\.csv .*line 6 has 6"),
    ],
)
def test_a_damaged_split_names_file_and_line(tmp_path, change, message):
    visa(tmp_path)
    path = tmp_path / "split_csv/1cls.csv"
    path.write_bytes(change(SPLIT.decode()))
    with pytest.raises(DatasetError, match=message):
        open_category("visa", tmp_path, "candle")


def test_a_split_may_name_paths_that_no_file_can_have(tmp_path):
    visa(tmp_path)
    rows = [f"candle,test,normal,candle/{'x' * 5000}.JPG,", "candle,test,normal,candle/a/../../b.JPG,"]
    (tmp_path / "split_csv/1cls.csv").write_bytes(SPLIT + "\n".join(rows).encode())
    with pytest.raises(DatasetError, match=r"(?s)must be files below candle/, but .*line 6 .*but .*line 7"):
        open_category("visa", tmp_path, "candle")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (PRINTED[:70], r"p\.csv must hold the paper's numbers, but line 2: .*: install the project again"),
        (PRINTED.replace(b",note", b""), r"p\.csv must have the columns .*, but lacks note; install"),
        (PRINTED.replace(b"94.6", b"nan").replace(b"96.7", b"960"), r"line 2: value must be .*'nan'; line 3: value"),
        (PRINTED.replace(b"mvtec", b"mvtek"), r"line 2: dataset must be one of mvtec, .*'mvtek'"),
        (PRINTED.replace(b"sc=1", b"sc1"), r"line 3: factors must be NAME=VALUE"),
        (PRINTED.split(b"\n")[0], r"it has no line but the header"),
    ],
)
def test_damaged_printed_numbers_are_said(content, message):
    with pytest.raises(PublishedError, match=message):
        parsed_tables(content, "p.csv")


def test_printed_numbers_with_a_byte_order_mark_are_read():
    assert parsed_tables(codecs.BOM_UTF8 + PRINTED, "p.csv") == parsed_tables(PRINTED, "p.csv")


def test_a_missing_file_of_printed_numbers_is_said(monkeypatch, tmp_path):
    ablations.published._tables.cache_clear()
    monkeypatch.setattr(ablations.published.resources, "files", lambda _: tmp_path)
    with pytest.raises(PublishedError, match=r"published\.csv must be readable, but is not .*: install the project"):
        published_tables()
    ablations.published._tables.cache_clear()


def read_or_refused(read, documented):
    try:
        return read()
    except documented as error:
        return error


@st.composite
def damaged(draw, content):
    """The file with some bytes changed, cut, put in or doubled, or nothing but noise."""
    found = bytearray(content)
    for place, byte in draw(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=4)):
        found[int(place * len(found))] = byte
    cut = draw(st.integers(0, len(found)))
    noise = draw(st.one_of(st.binary(max_size=12), st.sampled_from([b'"', b",", b"\n", b"\r", b"\0", codecs.BOM_UTF8])))
    match draw(st.sampled_from(["as it is", "cut", "doubled", "put in", "noise"])):
        case "cut":
            found = found[:cut]
        case "doubled":
            found = found[:cut] + found
        case "put in":
            found = found[:cut] + noise + found[cut:]
        case "noise":
            found = bytearray(noise)
    return bytes(found)


@pytest.mark.slow
@thoroughly
@given(content=damaged(PRINTED))
def test_printed_numbers_are_read_or_refused_with_their_file(content):
    tables = read_or_refused(lambda: parsed_tables(content, "p.csv"), PublishedError)
    if isinstance(tables, PublishedError):
        assert "p.csv" in str(tables)
        return
    cells = [cell for table in tables.values() for cell in table]
    assert cells
    assert all(0 <= cell.value <= 100 and (cell.std is None or 0 <= cell.std <= 100) for cell in cells)
    # What Python's lenient reader sees of the same bytes.
    rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    assert len(cells) == len(rows)


@pytest.mark.slow
@thoroughly
@given(content=damaged(SPLIT))
def test_a_split_is_read_or_refused_with_its_file(tmp_path_factory, content):
    root = _split_root(tmp_path_factory)
    (root / "split_csv/1cls.csv").write_bytes(content)
    names = read_or_refused(lambda: category_names("visa", root), DatasetError)
    if isinstance(names, DatasetError):
        assert "1cls.csv" in str(names) or "must hold categories" in str(names)
        return
    for name in names:
        read = functools.partial(open_category, "visa", root, name, check_images=False)
        category = read_or_refused(read, DatasetError)
        if isinstance(category, DatasetError):
            assert str(root) in str(category) or name in str(category)
            continue
        assert category.train
        lines = content.count(b"candle,")
        assert len(category.train) + len(category.test) <= lines


@st.composite
def tables(draw):
    """Rows that a writer may write."""
    field = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0\r"), max_size=6)
    width = draw(st.integers(1, 4))
    return draw(st.lists(st.lists(field, min_size=width, max_size=width), min_size=1, max_size=4))


@pytest.mark.slow
@thoroughly
@given(rows=tables(), mark=st.booleans())
def test_what_a_writer_wrote_is_read(rows, mark):
    columns = [f"c{number}" for number in range(len(rows[0]))]
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows([columns, *rows])
    content = (codecs.BOM_UTF8 if mark else b"") + text.getvalue().encode()
    found = csv_rows(content, "x.csv", columns)
    assert [list(row.values()) for _, row in found] == [[field.strip() for field in row] for row in rows]


_ROOTS = []


def _split_root(factory):
    """One root for all examples: its images never change."""
    if not _ROOTS:
        root = factory.mktemp("visa")
        visa(root)
        _ROOTS.append(root)
    return _ROOTS[0]


def test_the_columns_are_those_of_the_file():
    assert tuple(PRINTED.split(b"\n")[0].decode().split(",")) == COLUMNS
