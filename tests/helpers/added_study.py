"""A study of a user's own table of one row, from the command line to its page."""

from html import unescape
from pathlib import Path

from study.command.cli import main

TABLE = """
from ablations import Ablation, Arm, PaperTable

MINE = Ablation(
    name="mine",
    title="My table",
    question="Does it run?",
    design=PaperTable(rows=(Arm(name="full", label="my row", {arm}),), baseline=None),
    {options}
)
"""


def page_of(
    folder: Path,
    source: str,
    *options: str,
    arm: str = 'changes={"pad": False}',
    table: str = 'metrics=("pixel_auroc",)',
) -> str:
    """The text of the page after ``run`` on one category at one seed; ``table`` and ``arm`` are Python."""
    file = folder / "mine.py"
    file.write_text(TABLE.format(arm=arm, options=table), encoding="utf-8")
    study = folder / "study"
    arguments = ["run", str(file), "--data", source, "--categories", "plate", "--seeds", "1", "--study", str(study)]
    quick = ["--executor", "serial", "--set", "epochs=1", "--set", "map_size=48"]
    assert main([*arguments, *quick, *options]) == 0
    return unescape((study / "report" / "index.html").read_text(encoding="utf-8"))
