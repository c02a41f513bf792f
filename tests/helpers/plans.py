"""What a user asks for, in the smallest form that can be planned."""

from ablations.paper.tables import TABLE3
from promptad.configs.promptad_config import PromptADConfig
from study.planning.data_source import DataSource
from study.planning.request import StudyRequest


def request(root, **changes):
    values = {
        "ablations": (TABLE3,),
        "backbone": "tiny",
        "source": DataSource(name="mvtec", layout="mvtec", root=str(root)),
        "base": PromptADConfig(),
        "seeds": 2,
    }
    return StudyRequest(**values | changes)
