"""Where the checkout's files lie: tests in every room name them by these."""

from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
ROOT = TESTS.parent
DOCS = ROOT / "docs"
FIXTURES = TESTS / "fixtures"
RUN = ROOT / "study" / "run.py"
