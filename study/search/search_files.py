"""Files of searches in a study folder: a document, a file per trial, and the importances made from them."""

from __future__ import annotations

from typing import Any

from reports.reading.shapes import DocumentError, json_object
from reports.searches.search_reading import SearchFiles
from study.records.folder import StudyFolder

SENSITIVITY = ".sensitivity"


def search_names(folder: StudyFolder) -> list[str]:
    """Names of the searches of a study, sorted."""
    return [name for name in folder.names("searches", ".json") if not name.endswith(SENSITIVITY)]


def sensitivity_name(search: str) -> str:
    """The file name of a search's importances."""
    return f"searches/{search}{SENSITIVITY}.json"


def read_search_files(folder: StudyFolder, search: str) -> SearchFiles:
    """All files of one search, as JSON; a file that is not JSON is named in `damaged`.

    Without a readable document, `document` is empty.
    """
    name = f"searches/{search}.json"
    trials = [f"searches/{search}/{number}.json" for number in folder.names(f"searches/{search}", ".json")]
    contents = folder.read_all([name, sensitivity_name(search), *trials])
    found: dict[str, Any] = {}
    damaged: dict[str, str] = {}
    for file, content in contents.items():
        try:
            found[file] = json_object(content)
        except DocumentError as error:
            damaged[file] = str(error)
    # Importances that cannot be read are computed again.
    damaged.pop(sensitivity_name(search), None)
    return SearchFiles(
        name=search,
        document=found.pop(name, {}),
        sensitivity=found.pop(sensitivity_name(search), None),
        trials={file: found[file] for file in trials if file in found},
        damaged=damaged,
    )
