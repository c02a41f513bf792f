"""Files of a report, written into a folder aside and then renamed: a reader never sees half a file."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from promptad.user_error import UserError


class ReportError(UserError):
    """A report that cannot be written to its folder."""


class Staging:
    """Collects files, and renames them to their places in the order in which they were added."""

    def __init__(self, out: Path, folder: Path) -> None:
        self._out, self._folder = out, folder
        self.sums: dict[str, str] = {}
        """SHA-256 of each file that was added, by name."""

    def add(self, name: str, content: bytes | str) -> None:
        """Keep a file under its name relative to the report; the same name again replaces it."""
        path = self._folder / name
        with _writing(self._out):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content := content.encode() if isinstance(content, str) else content)
        self.sums[name] = hashlib.sha256(content).hexdigest()

    def holds(self, name: str) -> bool:
        """True if a file of that name was added."""
        return name in self.sums

    def publish(self) -> None:
        """Rename every file to its place."""
        with _writing(self._out):
            for name in self.sums:
                target = self._out / name
                target.parent.mkdir(parents=True, exist_ok=True)
                (self._folder / name).replace(target)


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ReportError(
            f"the report cannot be written to {out}: {error}; free the disk, check rights, or name another folder with "
            "run.py report --out FOLDER; every row is kept, and the report is written from them"
        ) from error


@contextmanager
def staging(out: Path) -> Iterator[Staging]:
    """A stage for a report in `out`, published unless an error is raised; two at a time do not disturb each other.

    Raises:
        ReportError: the folder, or a file in it, cannot be written.
    """
    with _writing(out):
        out.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".writing-", dir=out))
    try:
        stage = Staging(out, folder)
        yield stage
        stage.publish()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def compact_json(value: object) -> str:
    """JSON in ASCII that is safe inside a script element: no "<", no "&", no line separators."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
