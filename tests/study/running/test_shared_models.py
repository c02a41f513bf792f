"""One model for all categories from the command line: executors agree, and what stops it costs time alone."""

import os
import subprocess
import sys

import pytest
from helpers.places import RUN
from helpers.stored_rows import forget_rows, row_texts, stored_rows

pytestmark = pytest.mark.slow


def run(folder, root, *more):
    arguments = ["run", "multi_class", "--data", f"mvtec:{root}", "--study", str(folder), "--seeds", "1"]
    small = ["--set", "epochs=4", "--set", "map_size=48"]
    done = subprocess.run(
        [sys.executable, str(RUN), *arguments, *small, *more],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def finished(folder):
    """Everything of rows that must not depend on how they were computed."""
    kept = ("digest", "cell", "status", "scores", "support_images", "test_images")
    return [{name: row[name] for name in kept} for _, row in sorted(stored_rows(folder).items())]


def tables(folder):
    return {path.name: path.read_bytes() for path in sorted((folder / "report" / "tables").iterdir())}


@pytest.fixture(scope="module")
def serial(inspection_root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("serial")
    run(folder, inspection_root, "--executor", "serial")
    return folder


def test_each_training_is_done_once_and_its_rows_say_which_did_it(serial):
    rows = stored_rows(serial).values()
    # Three methods in two settings, two categories, two tasks.
    assert len(rows) == 24
    pooled = [row for row in rows if row["cell"]["config"]["setting"] == "multi_class"]
    assert len(pooled) == 12
    assert all([each["category"] for each in row["cell"]["pool"]] == ["disc", "plate"] for row in pooled)
    assert sorted(row["provenance"]["fit_seconds_in"] for row in pooled) == ["an earlier cell"] * 6 + ["this row"] * 6
    assert not any("pool" in row["cell"] or "fit_shared_by" in row["provenance"] for row in rows if row not in pooled)


def test_the_table_tells_its_rows_apart(serial):
    text = next(text for name, text in tables(serial).items() if name.endswith(".md")).decode()
    for method in ("PromptAD", "MaPLe", "AnoPLe, rebuilt"):
        assert f"| {method} |" in text or f"| {method} (baseline) |" in text
        assert f"{method}, one model for 2 categories" in text
    assert "have one model for all of disc and plate at a seed" in text
    assert "No other row that runs here shares what it learned between categories" in text
    page = (serial / "report" / "index.html").read_text(encoding="utf-8")
    assert "one model for 2 categories" in page


def test_ray_gives_the_same_rows_and_tables(serial, inspection_root, tmp_path):
    run(tmp_path, inspection_root)
    assert finished(tmp_path) == finished(serial)
    assert tables(tmp_path) == tables(serial)


def test_what_is_missing_between_two_categories_of_a_training_is_learned_again(serial, inspection_root, tmp_path):
    """As after a death between them: the rows that were there stay, and the others are those of one run."""
    run(tmp_path, inspection_root, "--executor", "serial")
    lost = {digest for digest, row in stored_rows(tmp_path).items() if row["cell"]["category"] == "plate"}
    before = row_texts(tmp_path)
    forget_rows(tmp_path, lost)
    run(tmp_path, inspection_root, "--executor", "serial")
    assert finished(tmp_path) == finished(serial)
    after = row_texts(tmp_path)
    assert {digest: after[digest] for digest in before if digest not in lost} == {
        digest: text for digest, text in before.items() if digest not in lost
    }
    again = [row["provenance"].get("fit_seconds_in") for digest, row in stored_rows(tmp_path).items() if digest in lost]
    assert again.count("this row") == 6


def test_the_plan_and_a_row_say_it(serial, inspection_root):
    shown = subprocess.run(
        [sys.executable, str(RUN), "plan", "multi_class", "--data", f"mvtec:{inspection_root}", "--study", str(serial)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "arm promptad, multi_class: 20 cells (setting=multi_class, one model for 2 categories)" in shown
    digest = next(digest for digest, row in stored_rows(serial).items() if "pool" in row["cell"])
    text = subprocess.run(
        [sys.executable, str(RUN), "show", digest, "--study", str(serial)], capture_output=True, text=True, check=True
    ).stdout
    assert "one model for 2 categories" in text
    assert "disc, plate" in text
    assert "and those of the pool's other categories" in text
