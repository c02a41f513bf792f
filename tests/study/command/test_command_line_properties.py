"""Whatever is written on the command line, it ends in a plan or in one error that says what to do."""

import contextlib
import io
import json
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ablations.catalogue import CATALOGUE, GROUPS
from promptad.configs.promptad_config import PromptADConfig
from study.command.cli import main

pytestmark = pytest.mark.slow

thoroughly = settings(
    max_examples=500,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much],
)

NASTY = ["", " ", "=", ",", ":", "\x00", "\udcff", "-", "--", "nan", "inf", "-inf", "1e999", "0x1", "١", "full", "none"]
"""Texts that parsers trip over: empty, separators alone, half a character, not a number, another script's digit."""
NUMBERS = st.integers(-3, 3) | st.integers(min_value=10**4 + 1) | st.floats() | st.decimals()
WORDS = st.sampled_from(NASTY) | st.text(max_size=12) | NUMBERS.map(str)
LISTS = st.lists(WORDS, max_size=4).map(",".join)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["plate", "disc", "x"]), inner),
    max_leaves=6,
)


def of_two(first, second):
    """Mostly what has a meaning, now and then anything."""
    return st.one_of(first, first, second)


def the_options(files):
    """Each option of ``plan`` with values; nothing that the network or the whole disk would be asked for."""
    data = [f"{layout}:{files / 'data'}" for layout in ("mvtec", "mvtec", "mvtec", "folder", "visa", "loco", "mpdd")]
    named_files = st.sampled_from([str(path) for path in sorted((files / "given").iterdir())])
    lists = st.lists(st.sampled_from(["plate", "disc", "cup"]), min_size=1, max_size=3)
    return {
        "--data": of_two(
            st.sampled_from(data), st.builds("{}:{}".format, st.sampled_from(["mvtec", "folder", "x"]), WORDS) | WORDS
        ),
        "--backbone": of_two(
            st.just("tiny"),
            st.sampled_from(["ViT-B-16", "ViT-B-16:random", "tiny:x", "timm/resnet18", "RN50:no"]) | WORDS,
        ),
        "--categories": of_two(lists.map(",".join), LISTS),
        "--shots": of_two(st.lists(st.sampled_from("0124"), max_size=3, unique=True).map(",".join), LISTS),
        "--seeds": of_two(st.sampled_from("123"), WORDS),
        "--protocol": of_two(st.sampled_from(["paper", "reference"]), WORDS),
        "--method": WORDS | named_files,
        "--set": st.builds("{}={}".format, of_two(st.sampled_from(PromptADConfig.field_names()), WORDS), WORDS | LISTS)
        | WORDS,
        "--support": named_files | WORDS,
        "--suffixes": named_files | WORDS,
        "--study": st.sampled_from(["results", "a" * 300, "memory://study", "nope://study", "::", "no/such"]) | WORDS,
    }


@pytest.fixture(scope="module")
def files(tmp_path_factory, inspection_root):
    root = tmp_path_factory.mktemp("given_files")
    (root / "data").symlink_to(inspection_root)
    (root / "given").mkdir()
    contents = {
        "not.json": b"{",
        "latin.json": "{é}".encode("latin-1"),
        "list.json": b"[1, 2]",
        "numbers.json": b'{"plate": [1]}',
        "empty.json": b"",
        "suffixes.json": json.dumps({"plate": ["{} with a scratch", "torn {}"]}).encode(),
        "support.json": json.dumps({"plate": ["train/good/000.png"]}).encode(),
        "deep.json": b"[" * 5000,
    }
    for name, content in contents.items():
        (root / "given" / name).write_bytes(content)
    (root / "given" / "folder.json").mkdir()
    return root


def ended(arguments):
    """The exit code of a command, and what it printed as results and as errors."""
    out, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        try:
            code = main(arguments)
        except SystemExit as end:
            code = end.code
    return code, out.getvalue(), error.getvalue()


def assert_answered(arguments):
    code, out, error = ended(arguments)
    assert code in (0, 2), (code, error)
    assert "Traceback" not in error
    if code == 0:
        assert out.strip()
    else:
        said = [line for line in error.splitlines() if "error: " in line]
        assert len(said) == 1, error
        assert said[0].partition("error: ")[2].strip(), error
    return code


@thoroughly
@given(given_=st.data())
def test_every_command_line_of_plan_ends_in_a_plan_or_in_one_error(files, tmp_path, monkeypatch, given_):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PROMPTAD_CACHE", str(files / "cache"))
    values = the_options(files)
    chosen = given_.draw(st.lists(st.sampled_from(sorted(values)), max_size=3))
    names = st.sampled_from(["table3", "table3", "figure1", *CATALOGUE, *GROUPS]) | WORDS.filter(os.path.basename)
    arguments = ["plan", *given_.draw(st.lists(names, max_size=1))]
    # The embedded set would be rendered, and five seeds take longer.
    arguments += [] if "--data" in chosen else [f"--data=mvtec:{files / 'data'}"]
    arguments += [] if "--seeds" in chosen else ["--seeds=1"]
    for option in chosen:
        arguments.append(f"{option}={given_.draw(values[option])}")
    assert_answered(arguments)
