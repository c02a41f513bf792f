"""An ablation of your own: python study/run.py run docs/examples/my_ablation.py."""

from ablations import Ablation, Factor, OneFactorAtATime

PREFIX = Ablation(
    name="prefix",
    title="Length and spread of the learnable prefix",
    question="Do longer prefixes, or other initial tokens, find more anomalies?",
    design=OneFactorAtATime(
        factors=(
            Factor.of("n_normal_tokens", 4, 2, 8, label="tokens of a prefix"),
            Factor.of("initial_deviation", 0.02, 0.2, label="initial deviation"),
        )
    ),
    note="4 tokens are the paper's; it prints no deviation, and 0.02 is the released code's.",
)
