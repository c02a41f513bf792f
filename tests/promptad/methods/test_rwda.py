"""RWDA by hand, its texts word by word, and its training against plain Adam in float64."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from helpers.memory_methods import fitted, some_features
from helpers.slow_text import encode_slowly
from helpers.small_models import small_backbone
from torch.nn.functional import normalize

from promptad.configs.method_config import ConfigError
from promptad.configs.method_configs import RWDAConfig
from promptad.features.extraction import Features
from promptad.methods.rwda import RWDA, FittedRWDA, trained_network
from promptad.prompts.linear_layers import Linear
from promptad.prompts.random_words import random_word_texts, vocabulary_words
from promptad.prompts.sequences import PromptError
from promptad.randomness import numpy_generator, torch_generator
from promptad.texts.templates import ANOMALY_STATES, NORMAL_STATES

SMALL = RWDAConfig(n_texts=6, hidden_width=5, steps=4, step_size=0.05)


def rwda(features, config=SMALL, category="bottle", seed=0):
    return RWDA().fit(small_backbone(), features, config, task="image", category=category, seed=seed)


def test_the_score_by_hand():
    # (3, 4) - (3, 0) = (0, 4), normalised (0, 1); relu of (-1, 2) is (0, 2); logits 1 and 2 * 2 - 1 = 3.
    method = FittedRWDA(
        backbone=small_backbone(),
        config=SMALL,
        network=(
            Linear(weight=torch.tensor([[5.0, -1.0], [0.0, 2.0]]), bias=torch.zeros(2)),
            Linear(weight=torch.tensor([[7.0, 0.0], [0.0, 2.0]]), bias=torch.tensor([1.0, -1.0])),
        ),
        shift=torch.tensor([-3.0, 0.0]),
    )
    query = Features(views={"global": [torch.tensor([3.0, 4.0])]}, device=torch.device("cpu"))
    result = method.score(query)
    assert result.image.tolist() == pytest.approx([1 / (1 + math.exp(-2))])
    assert (result.maps, dict(result.branches)) == (None, {})


def test_texts_are_a_state_of_random_words_and_the_object():
    words = ("one", "two", "three", "four", "five")
    normal, anomaly = random_word_texts(words, "bottle", number=300, most_words=3, draws=np.random.default_rng(0))
    assert len(normal) == len(anomaly) == 300
    counts, seen = [], {"normal": set(), "anomaly": set(), "words": set()}
    for pair in zip(normal, anomaly, strict=True):
        inside = []
        for text, kind, states in zip(pair, ("normal", "anomaly"), (NORMAL_STATES, ANOMALY_STATES), strict=True):
            assert text.startswith("a photo of a ")
            assert text.endswith(".")
            about = text.removeprefix("a photo of a ").removesuffix(".")
            # The plain state "{}" fits every text; the longest that fits is the one.
            state = max((s for s in states if fits(about, s)), key=len)
            before, after = state.split("{}")
            inside.append(about.removeprefix(before).removesuffix(after))
            seen[kind].add(state)
        assert inside[0] == inside[1]
        *random, last = inside[0].split()
        assert last == "bottle"
        assert set(random) <= set(words)
        seen["words"] |= set(random)
        counts.append(len(random))
    assert set(counts) == {1, 2, 3}
    assert [counts.count(n) / 300 for n in (1, 2, 3)] == pytest.approx([1 / 3] * 3, abs=0.1)
    assert seen == {"normal": set(NORMAL_STATES), "anomaly": set(ANOMALY_STATES), "words": set(words)}


def fits(about, state):
    before, after = state.split("{}")
    return about.startswith(before) and about.endswith(after)


def test_texts_without_words_or_without_an_object():
    options = {"number": 20, "draws": np.random.default_rng(0)}
    normal, _ = random_word_texts(("one",), "bottle", most_words=0, **options)
    assert "a photo of a flawless bottle." in normal
    assert not any("one" in text for text in normal)
    normal, _ = random_word_texts(("one",), "", most_words=1, **options)
    assert "a photo of a flawless one." in normal


def test_words_are_single_tokens_of_the_vocabulary():
    tokenizer = small_backbone().tokenizer
    words = vocabulary_words(tokenizer)
    assert len(words) == len(set(words)) > 20000
    assert {"bottle", "photo", "the"} <= set(words)
    for word in words[::500]:
        assert len(word) >= 3
        assert word.isalpha()
        assert len(tokenizer.encode(word)) == 1


def test_training_against_adam_written_out():
    generator = torch.Generator().manual_seed(3)
    normal, anomaly = torch.randn(7, 6, generator=generator), torch.randn(9, 6, generator=generator)
    found = trained_network(normal, anomaly, 4, 5, 0.05, torch_generator(0, "net"))
    draws = torch_generator(0, "net")
    layers = [Linear.draw(6, 4, draws), Linear.draw(4, 2, draws)]
    learned = [part.double().requires_grad_() for layer in layers for part in layer.parameters()]
    first, second = ([torch.zeros_like(part) for part in learned] for _ in range(2))
    for step in range(1, 6):
        w1, b1, w2, b2 = learned
        losses = []
        for label, side in ((0, normal), (1, anomaly)):
            for x in side.double():
                logits = w2 @ (w1 @ x + b1).clamp(min=0) + b2
                losses.append(torch.log(torch.exp(logits).sum()) - logits[label])
        gradients = torch.autograd.grad(torch.stack(losses).mean(), learned)
        for part, m, v, gradient in zip(learned, first, second, gradients, strict=True):
            m.mul_(0.9).add_(0.1 * gradient)
            v.mul_(0.999).add_(0.001 * gradient**2)
            part.data.sub_(0.05 * (m / (1 - 0.9**step)) / ((v / (1 - 0.999**step)).sqrt() + 1e-8))
    parts = [part for layer in found for part in layer.parameters()]
    for part, expected in zip(parts, learned, strict=True):
        torch.testing.assert_close(part.double(), expected.detach(), rtol=1e-3, atol=1e-4)


def test_a_fit_is_its_texts_encoded_one_by_one():
    support, query = some_features()
    backbone = small_backbone()
    texts = random_word_texts(
        vocabulary_words(backbone.tokenizer),
        "bottle",
        number=6,
        most_words=4,
        draws=numpy_generator(0, "bottle", "random words"),
    )
    none = [torch.zeros(0, 32)]
    normal, anomaly = (
        torch.stack([normalize(encode_slowly(backbone, text, none), dim=0) for text in side]) for side in texts
    )
    network = trained_network(normal, anomaly, 5, 4, 0.05, torch_generator(0, "bottle", "network"))
    method = rwda(support)
    for found, expected in zip(method.network, network, strict=True):
        torch.testing.assert_close(found.weight, expected.weight, rtol=1e-3, atol=1e-4)
    shift = normal.mean(dim=0) - support.stack("global").mean(dim=0)
    torch.testing.assert_close(method.shift, shift, rtol=1e-4, atol=1e-5)
    nothing = rwda(Features(views={"global": []}, device=support.device))
    assert torch.equal(nothing.shift, torch.zeros(24))
    assert torch.equal(nothing.network[0].weight, method.network[0].weight)
    assert not torch.allclose(nothing.score(query).image, method.score(query).image, rtol=1e-3)


def test_the_network_learns_to_tell_the_classes():
    network = rwda(some_features()[0], RWDAConfig(n_texts=64)).network
    backbone = small_backbone()
    for label, state in enumerate(("flawless {}", "{} with defect")):
        feature = encode_slowly(backbone, f"a photo of a {state.format('bottle')}.", [torch.zeros(0, 32)])
        hidden = torch.relu(network[0](normalize(feature, dim=0)))
        assert network[1](hidden).argmax().item() == label


def test_seeds_and_categories_draw_words_and_network():
    support, _ = some_features()
    one, same, other, cable = (
        rwda(support, seed=seed, category=category).tensors()
        for seed, category in ((0, "bottle"), (0, "bottle"), (1, "bottle"), (0, "cable"))
    )
    assert all(torch.equal(one[name], same[name]) for name in one)
    for different in (other, cable):
        assert not any(torch.equal(one[name], different[name]) for name in one)


def test_without_names_one_network_serves_all_categories():
    support, _ = some_features()
    nameless = SMALL.with_changes({"names_object": False})
    bottle, cable = (rwda(support, nameless, category).tensors() for category in ("bottle", "cable"))
    assert all(torch.equal(bottle[name], cable[name]) for name in bottle)
    assert not torch.equal(bottle["network/0/weight"], rwda(support).network[0].weight)


def test_names_are_the_protocols():
    support, _ = some_features()
    mapped = SMALL.with_changes({"prompt_text": "mapped_with_full_stop"})
    assert torch.equal(rwda(support, mapped).shift, rwda(support).shift)
    assert not torch.equal(rwda(support, mapped, "pcb1").shift, rwda(support, category="pcb1").shift)
    assert RWDAConfig(names_object=False).inert("image") >= {"prompt_text", "map_size"}
    assert "prompt_text" not in RWDAConfig().inert("image")


def test_half_precision_features_train_a_network_in_single():
    method = RWDA().fit(
        small_backbone(precision="fp16"),
        Features(views={"global": [torch.ones(24).half()]}, device=torch.device("cpu")),
        SMALL.with_changes({"precision": "fp16"}),
        task="image",
        category="bottle",
        seed=0,
    )
    assert {value.dtype for value in method.tensors().values()} == {torch.float32}


def test_more_images_than_are_scored_at_once(monkeypatch):
    support, query = some_features()
    expected = rwda(support).score(query).image
    monkeypatch.setattr("promptad.methods.rwda.CHUNK", 3)
    torch.testing.assert_close(rwda(support).score(query).image, expected)


def test_views():
    assert RWDA().views(SMALL, "image", small_backbone()) == {"global"}
    only = Features(views={"global": some_features()[0].views["global"]}, device=torch.device("cpu"))
    assert torch.equal(fitted(only, SMALL, "image").shift, rwda(only).shift)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_texts": 0, "steps": 0}, "n_texts must be at least 1, but got 0; steps must be at least 1, but got 0"),
        ({"hidden_width": 0}, "hidden_width must be at least 1, but got 0"),
        ({"random_words": 17}, "random_words must be between 0 and 16, but got 17"),
        ({"step_size": 0.0}, "step_size must be positive and finite, but got 0.0"),
        ({"random_words": 0, "names_object": False}, "random_words must be at least 1 where names_object is false"),
        ({"selection": "best_on_test"}, "selection must be last where nothing is learned in epochs"),
    ],
)
def test_values_out_of_their_domain(changes, message):
    with pytest.raises(ConfigError, match=message):
        RWDAConfig(**changes)


def test_a_text_that_is_too_long():
    long = " ".join(["bottle"] * 20)
    with pytest.raises(PromptError, match="a prompt must have at most 32 tokens, but one about 'bottle bottle"):
        rwda(some_features()[0], dataclasses.replace(SMALL, random_words=16), long)
