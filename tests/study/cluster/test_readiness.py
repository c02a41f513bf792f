import dataclasses
import shutil

import pytest
from helpers.plans import request

from promptad.datasets import open_category
from study.cluster.readiness import lacks, needs_of
from study.planning.plan import plan_study
from study.records.group import Group

pytestmark = pytest.mark.slow


@pytest.fixture
def root(inspection_root, tmp_path):
    return shutil.copytree(inspection_root, tmp_path / "data")


@pytest.fixture
def groups(root):
    plan = plan_study(request(root))
    return plan.groups(plan.cells)


def test_a_machine_with_everything_lacks_nothing(groups):
    needs = needs_of(groups)
    # 3 train, 6 test images and 3 masks each.
    assert {name: len(files.sizes) for name, files in needs.categories.items()} == {"plate": 12, "disc": 12}
    assert lacks(needs) == []


def test_missing_and_cut_files_are_named(groups, root):
    needs = needs_of(groups)
    (root / "plate" / "test" / "good" / "001.png").unlink()
    mask = root / "plate" / "ground_truth" / "spot" / "002_mask.png"
    size = mask.stat().st_size
    mask.write_bytes(mask.read_bytes()[:10])
    shutil.rmtree(root / "disc")
    assert sorted(lacks(needs)) == [
        f"{root}/disc is not there",
        f"{root}/plate lacks 2 of 12 files: test/good/001.png (No such file or directory), "
        f"ground_truth/spot/002_mask.png (10 bytes, not {size})",
    ]
    assert lacks(needs.only(["plate"], "tiny")) == [problem for problem in lacks(needs) if "/plate" in problem]


def test_many_missing_files_are_counted(groups, root):
    needs = needs_of(groups)
    shutil.rmtree(root / "plate" / "test")
    [problem] = lacks(needs)
    assert problem.endswith("and 3 more")
    assert problem.count(".png") == 3


def test_other_weights_and_missing_checkpoints_are_named(groups):
    needs = needs_of(groups)
    [planned] = needs.backbones.values()
    wrong = type(needs)(categories={}, backbones={"tiny": "0" * 32, "ViT-B-32:/nowhere/weights.pt": planned})
    assert lacks(wrong) == [
        f"the weights of tiny are {planned}, not {'0' * 32} as planned: use the same checkpoint",
        "checkpoint of ViT-B-32 missing: /nowhere/weights.pt is not a file",
    ]


@pytest.mark.slow
def test_the_synthetic_set_is_rendered_where_it_is_missing(groups, tmp_path, monkeypatch):
    from promptad.tiny.render import benchmark
    from promptad.tiny.render.benchmark import write_benchmark

    # One product shows it as well as all.
    monkeypatch.setattr(benchmark, "BENCHMARK", [each for each in benchmark.BENCHMARK if each.name == "screw"])
    root = tmp_path / "cache" / "synthetic"
    write_benchmark(root)
    screw = open_category("mvtec", root, "screw")
    cells = tuple(dataclasses.replace(cell, dataset="synthetic") for cell in groups[0].cells)
    needs = needs_of([Group(categories=(screw,), cells=cells)])
    shutil.rmtree(root)
    assert lacks(needs) == []
    assert open_category("mvtec", root, "screw") == screw
    shutil.rmtree(root)
    root.parent.joinpath("synthetic").write_text("in the way")
    [problem] = lacks(needs)
    assert problem.startswith(f"the synthetic set cannot be written to {root}: ")
