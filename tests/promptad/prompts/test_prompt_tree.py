"""The prompt tree against open_clip's ``encode_text``, one prompt at a time."""

import copy

import pytest
import torch
from helpers.small_models import small_model
from open_clip.tokenizer import SimpleTokenizer

from promptad.prompts.prompt_tree import build_tree, encode_tree
from promptad.prompts.sequences import Learned, PromptForm, Word, build_prompts

TOKENIZER = SimpleTokenizer(context_length=32)
FIRST_UNUSED = 20000
"""Vocabulary rows that stand in for learned tokens in the oracle; no prompt here uses them otherwise."""


def prompt_set(**changes):
    options = {
        "semantic_concatenation": True,
        "manual_suffixes": ("broken {}", "{} with flaw"),
        "n_normal_prompts": 2,
        "n_normal_tokens": 3,
        "n_anomaly_suffixes": 2,
        "n_anomaly_tokens": 2,
        "suffix_position": "after_object",
        "pairing": "all",
        "full_stop": False,
    } | changes
    return build_prompts(TOKENIZER, "bottle", PromptForm(**options))


def tree_of(prompts, prefixes, suffixes):
    return build_tree(
        prompts,
        prefix_shape=tuple(prefixes.shape[:2]),
        suffix_shape=tuple(suffixes.shape[:2]),
        device=prefixes.device,
        dtype=prefixes.dtype,
    )


def draw(prefixes, suffixes, dtype=torch.float64):
    generator = torch.Generator().manual_seed(4)
    return (
        torch.randn(*prefixes, 32, generator=generator, dtype=dtype).requires_grad_(),
        torch.randn(*suffixes, 32, generator=generator, dtype=dtype).requires_grad_(),
    )


def one_by_one(model, prompts, prefixes, suffixes):
    """Each prompt through open_clip's ``encode_text``; learned tokens are put into unused vocabulary rows first."""
    model = copy.deepcopy(model)
    learned = torch.cat([prefixes.flatten(0, 1), suffixes.flatten(0, 1)])
    rows = FIRST_UNUSED + torch.arange(len(learned))
    table = model.token_embedding.weight.index_copy(0, rows, learned)
    del model.token_embedding.weight
    model.token_embedding.weight = table
    features = []
    for prompt in prompts:
        ids = torch.zeros(1, 32, dtype=torch.long)
        for place, symbol in enumerate(prompt):
            if isinstance(symbol, Word):
                ids[0, place] = symbol.token
            elif symbol.role == "prefix":
                ids[0, place] = FIRST_UNUSED + symbol.index * prefixes.shape[1] + symbol.position
            else:
                offset = prefixes.shape[0] * prefixes.shape[1]
                ids[0, place] = FIRST_UNUSED + offset + symbol.index * suffixes.shape[1] + symbol.position
        features.append(model.encode_text(ids)[0])
    return torch.stack(features)


@pytest.fixture(scope="module")
def model():
    return copy.deepcopy(small_model()).double()


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"suffix_position": "before_object", "full_stop": True},
        {"pairing": "modulo", "n_normal_prompts": 3},
        {"semantic_concatenation": False},
        {"manual_suffixes": ()},
        {"manual_suffixes": ("{} with flaw", "broken {}", "{} with flaw")},
        {"n_anomaly_suffixes": 0},
    ],
    ids=lambda changes: ",".join(changes) or "default",
)
def test_tree_equals_encoding_each_prompt_alone(model, changes):
    prompts = prompt_set(**changes).all
    prefixes, suffixes = draw((changes.get("n_normal_prompts", 2), 3), (changes.get("n_anomaly_suffixes", 2), 2))
    found = encode_tree(model, tree_of(prompts, prefixes, suffixes), prefixes, suffixes)
    expected = one_by_one(model, prompts, prefixes, suffixes)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)
    weights = torch.randn(found.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    ours = torch.autograd.grad((found * weights).sum(), [prefixes, suffixes], allow_unused=True)
    theirs = torch.autograd.grad((expected * weights).sum(), [prefixes, suffixes], allow_unused=True)
    for mine, reference in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, reference, rtol=1e-8, atol=1e-10)


def test_single_precision_is_equal_to_1e_5():
    model = small_model()
    prompts = prompt_set().all
    prefixes, suffixes = draw((2, 3), (2, 2), torch.float32)
    found = encode_tree(model, tree_of(prompts, prefixes, suffixes), prefixes, suffixes)
    torch.testing.assert_close(found, one_by_one(model, prompts, prefixes, suffixes), rtol=1e-5, atol=1e-5)


def test_words_alone_equal_the_tokenized_text(model):
    texts = ["bottle with flaw", "bottle", "a broken bottle"]
    start, end = Word(TOKENIZER.sot_token_id), Word(TOKENIZER.eot_token_id)
    prompts = [(start, *map(Word, TOKENIZER.encode(text)), end) for text in texts]
    prefixes, suffixes = draw((1, 1), (1, 1))
    found = encode_tree(model, tree_of(prompts, prefixes, suffixes), prefixes, suffixes)
    torch.testing.assert_close(found, model.encode_text(TOKENIZER(texts)), rtol=1e-9, atol=1e-10)


def test_linear_projection_is_applied_with_its_bias(model):
    projected = copy.deepcopy(model)
    layer = torch.nn.Linear(32, 24, dtype=torch.float64)
    del projected.text_projection
    projected.text_projection = layer
    plain = copy.deepcopy(model)
    plain.text_projection = None
    prompts = prompt_set().all
    prefixes, suffixes = draw((2, 3), (2, 2))
    tree = tree_of(prompts, prefixes, suffixes)
    expected = layer(encode_tree(plain, tree, prefixes, suffixes))
    torch.testing.assert_close(encode_tree(projected, tree, prefixes, suffixes), expected)
    assert expected.shape[-1] == 24


def test_number_of_nodes_is_the_trie_counted_by_hand():
    # The start; below it per prefix: 3 learned, bottle, end, "broken bottle end", "with flaw end", and twice
    # "suffix suffix end": 3 + 1 + 1 + 3 + 3 + 2 * 3 = 17.
    prefixes, suffixes = draw((2, 3), (2, 2))
    tree = tree_of(prompt_set().all, prefixes, suffixes)
    assert len(tree.tokens) == 1 + 2 * 17
    assert len(tree.ends) == len(set(tree.ends.tolist())) == 2 * (1 + 2 + 2)
    assert len(tree.learned_nodes) == 2 * (3 + 2 * 2)
    # Before the object a suffix leads to its own "bottle end": 3 + 2 + 3 + 3 + 2 * 4 = 19.
    assert len(tree_of(prompt_set(suffix_position="before_object").all, prefixes, suffixes).tokens) == 1 + 2 * 19


def test_tree_of_two_prompts_by_hand():
    a, b, c = Word(5), Word(6), Word(7)
    learned = Learned("suffix", 1, 0)
    prefixes, suffixes = torch.zeros(1, 2, 32), torch.zeros(2, 1, 32)
    tree = tree_of([(a, Learned("prefix", 0, 1), b), (a, learned, b), (a, learned, c)], prefixes, suffixes)
    assert tree.tokens.tolist() == [5, 0, 6, 0, 6, 7]
    assert tree.depths.tolist() == [0, 1, 2, 1, 2, 2]
    assert tree.learned_nodes.tolist() == [1, 3]
    assert tree.learned_rows.tolist() == [1, 2 + 1]
    assert tree.ends.tolist() == [2, 4, 5]
    visible = [[1, 0, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0], [1, 1, 1, 0, 0, 0], [1, 0, 0, 1, 0, 0]]
    visible += [[1, 0, 0, 1, 1, 0], [1, 0, 0, 1, 0, 1]]
    assert (tree.mask == 0).int().tolist() == visible
    assert torch.isneginf(tree.mask[tree.mask != 0]).all()


def test_a_repeated_prompt_is_one_path_with_two_ends(model):
    prompts = prompt_set(pairing="modulo", n_normal_prompts=2, n_anomaly_suffixes=2)
    prefixes, suffixes = draw((2, 3), (2, 2))
    tree = tree_of(prompts.learnable, prefixes, suffixes)
    assert tree.ends[0] == tree.ends[2]
    features = encode_tree(model, tree, prefixes, suffixes)
    assert features.shape[0] == 4
    torch.testing.assert_close(features[0], features[2], rtol=0, atol=0)
