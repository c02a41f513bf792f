"""What a user asks for, in the smallest form that can be planned."""

from pathlib import Path
from typing import Any

from ablations.paper.tables import TABLE3
from promptad.configs.promptad_config import PromptADConfig
from study.planning.data_source import DataSource
from study.planning.request import StudyRequest


def request(root: Path, **changes: Any) -> StudyRequest:
    values: dict[str, Any] = {
        "ablations": (TABLE3,),
        "backbone": "tiny",
        "source": DataSource(name="mvtec", layout="mvtec", root=str(root)),
        "base": PromptADConfig(),
        "seeds": 2,
    }
    return StudyRequest(**values | changes)
