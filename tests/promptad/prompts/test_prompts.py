"""Prompts of eq. 9-11, symbol by symbol."""

import pytest
from open_clip.tokenizer import SimpleTokenizer

from promptad.prompts.sequences import Learned, PromptForm, build_prompts

TOKENIZER = SimpleTokenizer(context_length=32)


def spelled(prompt):
    """``[`` and ``]`` for start and end, P0.1 and A0.1 for learned tokens (number, position), words as they are."""
    symbols = []
    for symbol in prompt:
        if isinstance(symbol, Learned):
            symbols.append(f"{'P' if symbol.role == 'prefix' else 'A'}{symbol.index}.{symbol.position}")
        else:
            ends = {TOKENIZER.sot_token_id: "[", TOKENIZER.eot_token_id: "]"}
            symbols.append(ends.get(symbol.token) or TOKENIZER.decode([symbol.token]).strip())
    return " ".join(symbols)


def build(object_name="bottle", **changes):
    options = {
        "semantic_concatenation": True,
        "manual_suffixes": ("broken {}", "{} with flaw"),
        "n_normal_prompts": 2,
        "n_normal_tokens": 2,
        "n_anomaly_suffixes": 2,
        "n_anomaly_tokens": 1,
        "suffix_position": "after_object",
        "pairing": "all",
        "full_stop": False,
    } | changes
    return build_prompts(TOKENIZER, object_name, PromptForm(**options))


def test_prompts_of_equations_9_to_11():
    prompts = build()
    assert [spelled(prompt) for prompt in prompts.normal] == ["[ P0.0 P0.1 bottle ]", "[ P1.0 P1.1 bottle ]"]
    assert [spelled(prompt) for prompt in prompts.manual] == [
        "[ P0.0 P0.1 broken bottle ]",
        "[ P1.0 P1.1 broken bottle ]",
        "[ P0.0 P0.1 bottle with flaw ]",
        "[ P1.0 P1.1 bottle with flaw ]",
    ]
    assert [spelled(prompt) for prompt in prompts.learnable] == [
        "[ P0.0 P0.1 bottle A0.0 ]",
        "[ P0.0 P0.1 bottle A1.0 ]",
        "[ P1.0 P1.1 bottle A0.0 ]",
        "[ P1.0 P1.1 bottle A1.0 ]",
    ]
    assert prompts.anomaly == prompts.manual + prompts.learnable
    assert prompts.all == prompts.normal + prompts.manual + prompts.learnable


def test_suffix_before_the_object():
    prompts = build(suffix_position="before_object", n_normal_prompts=1, n_anomaly_tokens=2)
    assert [spelled(prompt) for prompt in prompts.learnable] == [
        "[ P0.0 P0.1 A0.0 A0.1 bottle ]",
        "[ P0.0 P0.1 A1.0 A1.1 bottle ]",
    ]
    assert [spelled(prompt) for prompt in prompts.normal] == ["[ P0.0 P0.1 bottle ]"]


@pytest.mark.parametrize(
    ("position", "learnable"),
    [("after_object", "[ P0.0 P0.1 metal nut A0.0 . ]"), ("before_object", "[ P0.0 P0.1 A0.0 metal nut . ]")],
)
def test_full_stop_ends_every_prompt(position, learnable):
    prompts = build("metal nut", full_stop=True, suffix_position=position, n_normal_prompts=1, n_anomaly_suffixes=1)
    assert [spelled(prompt) for prompt in prompts.all] == [
        "[ P0.0 P0.1 metal nut . ]",
        "[ P0.0 P0.1 broken metal nut . ]",
        "[ P0.0 P0.1 metal nut with flaw . ]",
        learnable,
    ]


def pairs(prompts):
    learned = [[symbol for symbol in prompt if isinstance(symbol, Learned)] for prompt in prompts.learnable]
    return [(symbols[0].index, symbols[-1].index) for symbols in learned]


ALL_3_4 = [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1), (1, 2), (1, 3), (2, 0), (2, 1), (2, 2), (2, 3)]
MODULO_3_4 = [(0, 0), (1, 1), (2, 2), (0, 3), (1, 0), (2, 1), (0, 2), (1, 3), (2, 0), (0, 1), (1, 2), (2, 3)]
ALL_2_4 = [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1), (1, 2), (1, 3)]
MODULO_2_4 = [(0, 0), (1, 1), (0, 2), (1, 3), (0, 0), (1, 1), (0, 2), (1, 3)]


@pytest.mark.parametrize(
    ("prefixes", "pairing", "expected"),
    [(3, "all", ALL_3_4), (3, "modulo", MODULO_3_4), (2, "all", ALL_2_4), (2, "modulo", MODULO_2_4)],
)
def test_pairing(prefixes, pairing, expected):
    assert pairs(build(n_normal_prompts=prefixes, n_anomaly_suffixes=4, pairing=pairing)) == expected


def test_modulo_repeats_pairs_unless_coprime():
    assert sorted(MODULO_3_4) == ALL_3_4
    assert len(set(MODULO_2_4)) == 4


def test_without_semantic_concatenation_there_are_two_classes_and_no_suffixes():
    prompts = build(semantic_concatenation=False)
    assert [spelled(prompt) for prompt in prompts.all] == [
        "[ P0.0 P0.1 normal bottle ]",
        "[ P1.0 P1.1 normal bottle ]",
        "[ P0.0 P0.1 abnormal bottle ]",
        "[ P1.0 P1.1 abnormal bottle ]",
    ]
    assert len(prompts.normal) == len(prompts.manual) == 2
    assert prompts.learnable == ()
    assert spelled(build(semantic_concatenation=False, full_stop=True).manual[0]) == "[ P0.0 P0.1 abnormal bottle . ]"


def test_no_manual_or_no_learnable_prompts():
    assert build(manual_suffixes=()).manual == ()
    assert len(build(manual_suffixes=()).learnable) == 4
    for pairing in ("all", "modulo"):
        assert build(n_anomaly_suffixes=0, pairing=pairing).learnable == ()


def test_a_prompt_must_fit_the_context():
    # start + 28 + bottle + with + flaw + end = 33; without the MAPs start + 28 + bottle + suffix + end = 32 just fit.
    with pytest.raises(ValueError, match=r"at most 32 tokens, but one about 'bottle' has 33: use fewer learnable"):
        build(n_normal_tokens=28)
    assert len(build(n_normal_tokens=28, manual_suffixes=()).learnable[0]) == 32
    with pytest.raises(ValueError, match=r"at most 32 tokens, but one about 'bottle' has 33"):
        build(n_normal_tokens=29, semantic_concatenation=True, manual_suffixes=())
