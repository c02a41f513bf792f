import json
from pathlib import Path

import pytest

from promptad.configs.promptad_config import PromptADConfig
from study.planning.promoted import MethodConfig, MethodError, read_method, write_method
from study.records.folder import StudyFolder

METHOD = MethodConfig(
    name="mine",
    config=PromptADConfig(align_weight=0.1),
    provenance={"search": "s", "label": "mean", "tuned_on": "nothing", "on_test": False, "trial": 3},
)


@pytest.mark.parametrize("form", ["name", "path"])
def test_a_method_is_read_as_it_was_written(form, tmp_path):
    where = "mine" if form == "name" else str(tmp_path / "elsewhere" / "mine.json")
    place = write_method(METHOD, where, StudyFolder(str(tmp_path / "study")))
    assert json.loads(Path(place).read_text())["config"]["align_weight"] == 0.1
    found = read_method(where, str(tmp_path / "study"))
    assert found.config == METHOD.config
    assert found.provenance == {"name": "mine", **METHOD.provenance}


def test_what_is_no_method_is_an_error(tmp_path):
    study = str(tmp_path)
    with pytest.raises(MethodError, match="has no method other; it has none"):
        read_method("other", study)
    write_method(METHOD, "mine", StudyFolder(study))
    with pytest.raises(MethodError, match=r"has no method other; it has mine; a path must end with \.json"):
        read_method("other", study)
    with pytest.raises(MethodError, match="a method's name must be letters"):
        read_method("../mine", study)
    with pytest.raises(MethodError, match=r"method file /no/such\.json cannot be read"):
        read_method("/no/such.json", study)
    path = tmp_path / "methods" / "mine.json"
    text = path.read_text()
    for wrong, message in (
        (text[:30], "is damaged"),
        (text.replace('"schema": 1', '"schema": 2'), "must have schema 1, but has 2"),
        (text.replace("align_weight", "lambda"), "config has no field lambda"),
        ("[]", "is damaged"),
    ):
        path.write_text(wrong)
        with pytest.raises(MethodError, match=message):
            read_method("mine", study)
