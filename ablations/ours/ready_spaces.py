"""The search spaces of the project, by name."""

from __future__ import annotations

from ablations.arms import Depths
from ablations.designs import Level
from ablations.domains import Choice, FloatRange, IntRange
from ablations.spaces import Parameter, Space, When

_LAMBDA = Parameter(
    name="lambda", label="alignment weight λ", domain=FloatRange(low=1e-5, high=1.0, log=True), fields=("align_weight",)
)
_N = Parameter(
    name="N",
    label="normal prompts N",
    domain=IntRange(low=1, high=4),
    fields=("n_normal_prompts_image", "n_normal_prompts_pixel"),
)
_L = Parameter(name="L", label="learnable suffixes L", domain=IntRange(low=1, high=8), fields=("n_anomaly_suffixes",))
_E_N = Parameter(
    name="E_N", label="tokens of a prefix E_N", domain=IntRange(low=1, high=8), fields=("n_normal_tokens",)
)
_E_A = Parameter(
    name="E_A", label="tokens of a suffix E_A", domain=IntRange(low=1, high=4), fields=("n_anomaly_tokens",)
)

PAPER = Space(
    name="paper",
    title="What the paper tunes: λ, N and L (Figures 4 and 5)",
    parameters=(_LAMBDA, _N, _L),
)

PROMPT = Space(
    name="prompt",
    title="Everything that is learned: sizes of prompts and their optimisation",
    parameters=(
        _LAMBDA,
        _N,
        _L,
        _E_N,
        _E_A,
        Parameter(
            name="rate",
            label="learning rate",
            domain=FloatRange(low=1e-4, high=1e-1, log=True),
            fields=("learning_rate",),
        ),
        Parameter(name="epochs", label="epochs", domain=IntRange(low=10, high=200, step=10), fields=("epochs",)),
    ),
)

_WITH_SC = When(parent="sc", values=(True,))
_WITH_LAPS = When(parent="anomaly_prompts", values=("both", "learnable"))

FULL = Space(
    name="full",
    title="Sizes, optimisation, temperature, transformation, memory layers, and the toggles of the parts",
    parameters=(
        Parameter(name="sc", label="semantic concatenation", domain=Choice.of("sc", True, False)),
        Parameter(
            name="anomaly_prompts",
            label="manual and learnable anomaly prompts",
            domain=Choice(
                levels=(
                    Level(value="both", changes={"maps": True, "laps": True}),
                    Level(value="manual", changes={"maps": True, "laps": False}),
                    Level(value="learnable", changes={"maps": False, "laps": True}),
                )
            ),
            when=_WITH_SC,
        ),
        Parameter(name="eam", label="explicit anomaly margin", domain=Choice.of("eam", True, False)),
        Parameter(name="vad", label="vision-guided branch", domain=Choice.of("vad", True, False)),
        Parameter(
            name="memory",
            label="layers of the visual memory (of 12)",
            domain=Choice(
                levels=(
                    Level(value="default", changes={"memory_layers": None}),
                    Level(value="3", changes={"memory_layers": Depths((3,), of=12)}),
                    Level(value="6", changes={"memory_layers": Depths((6,), of=12)}),
                    Level(value="9", changes={"memory_layers": Depths((9,), of=12)}),
                    Level(value="12", changes={"memory_layers": Depths((12,), of=12)}),
                    Level(value="3+6+9", changes={"memory_layers": Depths((3, 6, 9), of=12)}),
                )
            ),
            when=When(parent="vad", values=(True,)),
        ),
        Parameter(
            name="lambda",
            label="alignment weight λ",
            domain=FloatRange(low=1e-5, high=1.0, log=True),
            fields=("align_weight",),
            when=When(parent="anomaly_prompts", values=("both",)),
        ),
        _N,
        Parameter(name="L", label=_L.label, domain=_L.domain, fields=_L.fields, when=_WITH_LAPS),
        _E_N,
        Parameter(name="E_A", label=_E_A.label, domain=_E_A.domain, fields=_E_A.fields, when=_WITH_LAPS),
        Parameter(
            name="transformation",
            label="transformation of the local branch",
            domain=Choice.of("transformation", "vv", "clip", "maskclip"),
        ),
        Parameter(
            name="temperature",
            label="temperature of the logits",
            domain=Choice.of("temperature", "exponential", "raw_parameter"),
        ),
        Parameter(
            name="rate",
            label="learning rate",
            domain=FloatRange(low=1e-4, high=1e-1, log=True),
            fields=("learning_rate",),
        ),
        Parameter(name="epochs", label="epochs", domain=IntRange(low=10, high=200, step=10), fields=("epochs",)),
    ),
)

SPACES: dict[str, Space] = {space.name: space for space in (PAPER, PROMPT, FULL)}
"""Every space by the name that ``search --space`` takes."""
