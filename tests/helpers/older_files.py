"""Files of rows and arrays as older versions wrote them: each row in a file of its own."""

from pathlib import Path

from reports.reading.kept import Arrays
from study.records.arrays import archive
from study.records.folder import StudyFolder
from study.records.row import Row


def write_older_row(folder: StudyFolder, row: Row) -> Path:
    """Write a row; where it is, in a local folder."""
    name = f"rows/{row.cell.digest}.json"
    folder.write(name, row.to_json().encode())
    return Path(str(folder.local_root)) / name


def write_older_arrays(folder: StudyFolder, digest: str, arrays: Arrays) -> Path:
    """Write the arrays of a cell; where they are, in a local folder."""
    name = f"examples/{digest}.npz"
    folder.write(name, archive(arrays))
    return Path(str(folder.local_root)) / name
