"""Trainings in company: to the bit what each is alone, whatever befalls its neighbours."""

import functools
import itertools

import pytest
import torch
from helpers.small_models import small_backbone, small_features

from promptad.configs.promptad_config import PromptADConfig
from promptad.methods import Fitting
from promptad.methods.promptad import PromptAD
from promptad.prompts import company as company_module
from promptad.prompts.company import companies, learn_together
from promptad.prompts.prompt_learning import PromptTraining, begin_training

STRONG = PromptADConfig(learning_rate=0.05, initial_deviation=0.5, align_weight=0.5, epochs=5)
ARMS = (
    {},
    {"align_weight": 0.0},
    {"eam": False, "momentum": 0.0},
    {"learning_rate": 0.2, "learning_rate_schedule": "cosine"},
    {"margin_distance": "squared_over_second_axis"},
    {"alignment": "means_of_normalised", "tau": 0.1},
    {"epochs": 3},
    {"epochs": 0},
)


@pytest.fixture(scope="module")
def backbone():
    return small_backbone()


@pytest.fixture(scope="module")
def supports(backbone):
    views = ["global", "local/vv", "local/clip", "stream", "block/2", "block/3"]
    return [small_features(backbone, images, views) for images in ([1], [2, 3], [4, 5, 6])]


def begun(backbone, supports, number, task="image", **changes):
    config = STRONG.with_changes(changes)
    support = supports[number % len(supports)]
    return begin_training(backbone, support, config, task=task, category="bottle", seed=number)


def tokens(training):
    return [training.prefixes, training.suffixes, *([] if training.layers is None else [training.layers])]


def same_bits(one, other):
    return all(torch.equal(mine, theirs) for mine, theirs in zip(tokens(one), tokens(other), strict=True))


def learned_alone(training):
    for _ in range(training.epochs):
        training.step()
    return training


@pytest.mark.parametrize(
    "form", [{}, {"n_normal_prompts_image": 3, "n_normal_prompts_pixel": 3}, {"sc": False}, {"laps": False}]
)
@pytest.mark.parametrize("number", [2, 5, 16])
def test_a_company_of_arms_tasks_shots_and_seeds_has_the_bits_of_each_alone(
    backbone, supports, form, number, monkeypatch
):
    """Where a form of prompts makes a loss idle, the arms of that loss are equal; the others are not."""

    monkeypatch.setattr(company_module, "_proven", {})

    def make():
        kinds = itertools.cycle(itertools.product(("image", "pixel"), ARMS))
        return [
            begun(backbone, supports, seed, task, **form, **changes)
            for seed, (task, changes) in zip(range(number), kinds, strict=False)
        ]

    together = make()
    for company in companies(together):
        assert learn_together(company) == {}
    if "sc" not in form:
        # Two texts alone are so few rows that more of them are multiplied by another kernel.
        assert all(company_module._proven.values())
    for mine, alone in zip(together, map(learned_alone, make()), strict=True):
        assert same_bits(mine, alone)
    assert not same_bits(together[0], make()[0])


def test_learned_layers_of_the_local_branch_join_a_company(backbone, supports):
    def make():
        return [begun(backbone, supports, seed, "pixel", transformation="linear") for seed in range(3)]

    together = make()
    learn_together(together)
    assert all(same_bits(mine, alone) for mine, alone in zip(together, map(learned_alone, make()), strict=True))


def test_one_that_diverges_ends_alone_and_its_neighbours_keep_their_bits(backbone, supports):
    def make():
        rates = {1: 1e30, 3: 1e25}
        return [begun(backbone, supports, seed, learning_rate=rates.get(seed, 0.05)) for seed in range(5)]

    together = make()
    ended = learn_together(together)
    assert set(ended) == {1, 3}
    assert all("lower learning_rate" in str(error) for error in ended.values())
    alone = make()
    for number, training in enumerate(alone):
        if number in ended:
            with pytest.raises(FloatingPointError) as found:
                learned_alone(training)
            assert str(found.value) == str(ended[number])
        else:
            assert same_bits(together[number], learned_alone(training))


def test_what_is_raised_after_an_epoch_ends_that_training_alone(backbone, supports):
    together = [begun(backbone, supports, seed) for seed in range(3)]
    seen = []

    def after(number, epoch):
        seen.append((number, epoch))
        if seen[-1] == (1, 2):
            raise ValueError("no luck")

    listeners = [functools.partial(after, number) for number in range(3)]
    assert {number: str(error) for number, error in learn_together(together, listeners).items()} == {1: "no luck"}
    assert sorted(seen) == [(0, epoch) for epoch in range(1, 6)] + [(1, 1), (1, 2)] + [
        (2, epoch) for epoch in range(1, 6)
    ]


@pytest.mark.parametrize("broken", ["features", "gradients"])
def test_where_a_bit_would_differ_each_goes_alone(backbone, supports, monkeypatch, broken):
    """As a processor may round a larger product otherwise: here it is made to."""
    real = PromptTraining.pass_tower

    def rounding(self, prefixes, suffixes):
        features = real(self, prefixes, suffixes)
        if prefixes.dim() < 4:
            return features
        if broken == "features":
            return features * (1 + 1e-6)
        features.register_hook(lambda gradient: gradient * (1 + 1e-6))
        return features

    monkeypatch.setattr(company_module, "_proven", {})
    monkeypatch.setattr(PromptTraining, "pass_tower", rounding)
    together = [begun(backbone, supports, seed) for seed in range(4)]
    learn_together(together)
    assert list(company_module._proven.values()) == [False]
    assert all(same_bits(mine, learned_alone(begun(backbone, supports, seed))) for seed, mine in enumerate(together))


def test_companies_are_of_prompts_of_one_form_and_not_too_large(backbone, supports, monkeypatch):
    trainings = [begun(backbone, supports, seed, n_anomaly_suffixes=4 + seed % 2) for seed in range(6)]
    assert [[trainings.index(each) for each in company] for company in companies(trainings)] == [[0, 2, 4], [1, 3, 5]]
    assert [len(company) for company in companies(trainings, 2)] == [2, 2, 1, 1]
    monkeypatch.setattr(company_module, "NODES", 2 * len(trainings[1].tree.tokens))
    assert [len(company) for company in companies(trainings)] == [2, 2, 1, 1]
    monkeypatch.setattr(company_module, "NODES", 1)
    assert [len(company) for company in companies(trainings)] == [1] * 6
    other = begin_training(backbone, supports[0], STRONG, task="image", category="cable", seed=0)
    assert not trainings[0].can_join(other)


FORMS = (
    *({}, {"sc": False}, {"maps": False}, {"laps": False}, {"eam": False}, {"generic_suffixes": "reference"}),
    *({"n_normal_prompts_image": 2}, {"n_normal_prompts_pixel": 2}, {"n_normal_tokens": 3}, {"n_anomaly_suffixes": 3}),
    *({"n_anomaly_tokens": 2}, {"pairing": "modulo"}, {"pairing": "modulo", "n_normal_prompts_image": 2}),
    *({"learnable_suffix_position": "before_object"}, {"prompt_text": "mapped_with_full_stop"}, {"training": "joint"}),
    *({"own_suffixes": ("worn {}",)}, {"transformation": "clip"}, {"vad": False}, {"align_weight": 0.0}, {"tau": 0.1}),
)


def test_equal_keys_promise_prompts_of_one_form(backbone, supports):
    """So a group's cells can be handed out by their configs alone."""
    pairs = [
        (PromptADConfig().with_changes(changes).canonical(task), task)
        for changes in FORMS
        for task in ("image", "pixel")
    ]
    trees = {}
    for config, task in pairs:
        training = begin_training(backbone, supports[0], config, task=task, category="cable", seed=0)
        trees.setdefault(config.company_key(task), []).append(training)
    assert any(len(alike) > 10 for alike in trees.values())
    for alike in trees.values():
        assert all(training.can_join(alike[0]) for training in alike)
    # Neither is the key so fine that equal forms are kept apart.
    firsts = [alike[0] for alike in trees.values()]
    assert not any(one.can_join(other) for one, other in itertools.combinations(firsts, 2))
    for without in ({"pad": False}, {"prompts": "ensemble"}):
        assert PromptADConfig().with_changes(without).company_key("image") is None


def test_fits_together_are_those_of_each_alone(backbone, supports):
    """Also of configs that learn nothing, and with an error among them."""
    method = PromptAD()
    changes = ({}, {"vad": False}, {"pad": False}, {"prompts": "ensemble"}, {"learning_rate": 1e30}, {"eam": False})
    heard = {number: [] for number in range(len(changes))}
    fittings = [
        Fitting(
            support=supports[number % 3],
            config=STRONG.with_changes({"memory_layers": (2, 3), **change}),
            task="image",
            category="bottle",
            seed=number,
            on_epoch=lambda epoch, fitted, number=number: heard[number].append((epoch, fitted.prototypes)),
        )
        for number, change in enumerate(changes)
    ]
    together = method.fit_together(backbone, fittings, 16)
    found = [each.result for each in together]
    # Those that learn have one form of prompts; what learns nothing was in no company.
    assert [each.company for each in together] == [4, 4, 1, 1, 4, 4]
    assert [number for number, each in enumerate(found) if isinstance(each, Exception)] == [4]
    assert [[epoch for epoch, _ in heard[number]] for number in (0, 1, 2, 3, 5)] == [
        *([1, 2, 3, 4, 5], [1, 2, 3, 4, 5], [], []),
        [1, 2, 3, 4, 5],
    ]
    for each, fitting in zip(found, fittings, strict=True):
        options = {"task": fitting.task, "category": fitting.category, "seed": fitting.seed}
        if isinstance(each, Exception):
            with pytest.raises(FloatingPointError):
                method.fit(backbone, fitting.support, fitting.config, **options)
            continue
        alone = method.fit(backbone, fitting.support, fitting.config, **options)
        assert each.config == alone.config
        mine, theirs = each.tensors(), alone.tensors()
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)
