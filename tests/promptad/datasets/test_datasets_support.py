"""Drawing supports, and the identity of a category's data."""

import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from promptad.datasets import Category, DatasetError, Sample, data_digest, draw_support, named_support


def category(count=10) -> Category:
    train = tuple(
        Sample(name=f"train/good/{i:03d}.png", path=Path("x"), anomalous=False, kind="good") for i in range(count)
    )
    return Category(name="leather", train=train, test=(), has_masks=False)


def test_supports_of_one_seed_are_nested():
    supports = [draw_support(category(), shots, np.random.default_rng(3)) for shots in (1, 2, 4, 10)]
    for smaller, larger in pairwise(supports):
        assert larger[: len(smaller)] == smaller
    assert sorted(sample.name for sample in supports[-1]) == [sample.name for sample in category().train]


def test_support_is_the_permutation_of_sorted_names():
    order = np.random.default_rng(7).permutation(10)
    drawn = draw_support(category(), 4, np.random.default_rng(7))
    assert [sample.name for sample in drawn] == [f"train/good/{i:03d}.png" for i in order[:4]]
    shuffled = replace(category(), train=category().train[::-1])
    assert draw_support(shuffled, 4, np.random.default_rng(7)) == drawn


def test_supports_differ_between_seeds_and_are_uniform():
    first = [draw_support(category(4), 1, np.random.default_rng(seed))[0].name for seed in range(400)]
    counts = [first.count(sample.name) for sample in category(4).train]
    assert min(counts) > 70  # 100 expected each, standard deviation 8.7


@pytest.mark.parametrize(
    ("shots", "message"),
    [
        (0, "shots must be at least 1, but got 0"),
        (-2, "shots must be at least 1, but got -2"),
        (8, "shots must be at most the 4 normal images of leather, but got 8: ask for fewer"),
    ],
)
def test_impossible_shots_are_errors(shots, message):
    with pytest.raises(DatasetError, match=message):
        draw_support(category(4), shots, np.random.default_rng(0))


def test_named_support_keeps_the_users_order():
    names = ["train/good/003.png", "train/good/001.png"]
    assert [sample.name for sample in named_support(category(), names)] == names


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "must name at least 1 normal image"),
        (
            ["train/good/999.png"],
            r"such as train/good/000.png\), but train/good/999.png is not a normal image of leather",
        ),
        (["train/good/001.png"] * 2, "train/good/001.png is named 2 times"),
        (["a", "b"], "a is not a normal image of leather; b is not"),
    ],
)
def test_named_support_errors(names, message):
    with pytest.raises(DatasetError, match=message):
        named_support(category(), names)


def small(root: Path) -> Category:
    root.mkdir()
    for index, name in enumerate(("a", "b", "c", "d", "m", "n")):
        Image.new("L", (4, 4), index).save(root / f"{name}.png")

    def sample(name, anomalous=False, masks=()):
        kind = "crack" if anomalous else "good"
        return Sample(name=name, path=root / f"{name}.png", anomalous=anomalous, kind=kind, masks=masks)

    masks = (root / "m.png", root / "n.png")
    test = (sample("c"), sample("d", anomalous=True, masks=masks))
    return Category(name="gear", train=(sample("a"), sample("b")), test=test, has_masks=True)


def test_digest_is_independent_of_place_and_order(tmp_path):
    here = small(tmp_path / "here")
    digest = data_digest(here)
    assert len(digest) == 32
    assert int(digest, 16) >= 0
    assert data_digest(small(tmp_path / "there")) == digest
    masks = here.test[1].masks[::-1]
    reordered = replace(here, train=here.train[::-1], test=(replace(here.test[1], masks=masks), here.test[0]))
    assert data_digest(reordered) == digest
    shutil.copy(tmp_path / "here/m.png", tmp_path / "here/renamed.png")
    renamed = replace(here.test[1], masks=(tmp_path / "here/renamed.png", masks[0]))
    assert data_digest(replace(here, test=(here.test[0], renamed))) == digest


@pytest.mark.parametrize("file", ["a", "c", "m", "n"])
def test_digest_depends_on_every_byte(tmp_path, file):
    here = small(tmp_path / "here")
    digest = data_digest(here)
    path = tmp_path / f"here/{file}.png"
    path.write_bytes(path.read_bytes() + b"\0")
    assert data_digest(here) != digest


def test_digest_depends_on_names_labels_kinds_and_split(tmp_path):
    here = small(tmp_path / "here")
    normal, defect = here.test
    variants = [
        here,
        replace(here, test=(replace(normal, name="z"), defect)),
        replace(here, test=(replace(normal, anomalous=True), defect)),
        replace(here, test=(normal, replace(defect, kind="dent"))),
        replace(here, test=(normal, replace(defect, masks=defect.masks[:1]))),
        replace(here, train=(), test=(*here.train, *here.test)),
        replace(here, train=here.train[:1]),
        replace(here, test=(replace(normal, path=here.train[0].path), defect)),
    ]
    assert len({data_digest(variant) for variant in variants}) == len(variants)
