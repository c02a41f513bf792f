"""Which images a pixel cell keeps, on maps whose order is known by construction."""

import numpy as np
import pytest
import torch
from helpers.inspection_set import write_inspection_set
from helpers.plans import request
from PIL import Image

from ablations.catalogue import CATALOGUE
from promptad.configs.promptad_config import PromptADConfig
from promptad.datasets import Sample
from promptad.images.preparation import Preprocessing
from promptad.methods import Scores
from promptad.scoring.maps import FinishedMaps
from study.bench.example_maps import COMPARED, compared_images, example_maps, scored_examples
from study.bench.ground_truth import MaskedMaps, MaskSet
from study.bench.workbench import Workbench
from study.planning.plan import plan_study

SIZE = 16


def anomalous_samples(folder, kinds, areas):
    """Images whose defect is ``area`` pixels of the first row."""
    samples = []
    for number, (kind, area) in enumerate(zip(kinds, areas, strict=True)):
        picture, mask = folder / f"{number}.png", folder / f"{number}_mask.png"
        Image.fromarray(np.full((SIZE, SIZE, 3), 128, np.uint8)).save(picture)
        pixels = np.zeros((SIZE, SIZE), np.uint8)
        pixels[0, :area] = 255
        Image.fromarray(pixels).save(mask)
        samples.append(Sample(name=f"{number}", path=picture, anomalous=True, kind=kind, masks=(mask,)))
    return samples


def examples_of(folder, kinds, areas, *, reverse=False, **options):
    """The map of image i ranks i pixels of the last row above its defect: image 0 is located best, reversed: worst."""
    samples = anomalous_samples(folder, kinds, areas)
    masks = np.zeros((len(samples), SIZE, SIZE), bool)
    maps = np.zeros((len(samples), SIZE, SIZE), np.float32)
    for number, area in enumerate(areas):
        masks[number, 0, :area] = True
        maps[number, 0, :area] = 0.5
        maps[number, -1, : len(areas) - number if reverse else number] = 1.0
    result = Scores(image=None, maps=torch.from_numpy(maps), branches={})
    truth = MaskSet(samples, lambda sample: masks[int(sample.name)])
    finished = FinishedMaps(torch.from_numpy(maps), size=SIZE, smoothing=0)
    return example_maps(samples, MaskedMaps(truth, finished), result, Preprocessing(size=SIZE), **options)


def test_best_worst_smallest_and_logical_defects_are_kept(tmp_path):
    kinds = ["scratch"] * 4 + ["misplaced", "cable_swap", "scratch", "scratch"]
    found = examples_of(tmp_path, kinds, [4, 4, 3, 1, 4, 4, 2, 4])
    # 0 and 1 best, 6 and 7 worst; of the others 3 has the smallest defect, and 4 is the better located logical one.
    assert list(found["names"]) == ["0", "1", "6", "7", "3", "4"]
    assert list(found["chosen_as"]) == ["best", "best", "worst", "worst", "smallest", "logical"]
    np.testing.assert_allclose(found["defect_area"], np.array([4, 4, 2, 4, 1, 4]) / SIZE**2)
    assert found["fused"].shape == (6, SIZE, SIZE)


def test_few_images_are_kept_once(tmp_path):
    found = examples_of(tmp_path, ["misplaced"] * 3, [4, 4, 1])
    assert list(found["names"]) == ["0", "1", "2"]
    assert list(found["chosen_as"]) == ["best", "best", "worst"]


def test_a_logical_image_is_marked_whatever_it_was_chosen_for(tmp_path):
    found = examples_of(tmp_path, ["misplaced", "scratch", "missing"], [4, 4, 1])
    assert list(found["chosen_as"]) == ["best", "best", "worst"]
    assert list(found["logical"]) == [True, False, True]
    assert not any(name.startswith("compared/") for name in found)


KINDS = ["scratch", "scratch", "crack", "misplaced", "misplaced", "cable_swap", "hole"]
AREAS = [4, 3, 4, 2, 1, 4, 2]


def test_images_to_compare_are_chosen_by_kind_and_area_whatever_their_scores(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    one = examples_of(tmp_path / "one", KINDS, AREAS, compared=True)
    other = examples_of(tmp_path / "other", KINDS, AREAS, compared=True, reverse=True)
    # The first misplaced one and the swap; 4 has the smallest defect of all others; then scratch, crack and hole.
    assert list(one["compared/names"]) == list(other["compared/names"]) == ["3", "5", "4", "0", "2", "6"]
    assert list(one["compared/chosen_as"]) == ["logical", "logical", "smallest", "kind", "kind", "kind"]
    assert list(one["compared/logical"]) == [True, True, True, False, False, False]
    assert list(one["names"]) != list(other["names"])
    # Of image i, i pixels of the last row lie above its defect, and the rest below.
    negatives = SIZE**2 - np.array([AREAS[int(name)] for name in one["compared/names"]])
    np.testing.assert_allclose(one["compared/pixel_auroc"], 1 - np.array([3, 5, 4, 0, 2, 6]) / negatives)
    np.testing.assert_allclose(one["compared/defect_area"] * SIZE**2, [2, 4, 1, 4, 4, 2])
    assert one["compared/fused"].shape == (6, SIZE, SIZE)
    assert np.isnan(one["compared/textual"]).all()


def test_an_image_without_a_defect_in_view_is_no_image_to_compare(tmp_path):
    found = examples_of(tmp_path, ["crack", "crack", "misplaced"], [0, 4, 0], compared=True)
    assert list(found["compared/names"]) == ["1"]


def test_few_images_are_compared_however_many_kinds_there_are(tmp_path):
    samples = anomalous_samples(tmp_path, [f"kind {number}" for number in range(9)], [4] * 9)
    reasons = compared_images(samples, dict.fromkeys(range(9), 0.1))
    assert reasons == {"logical": [], "smallest": [0], "kind": [1, 2, 3, 4, 5]}
    assert sum(map(len, reasons.values())) == COMPARED


@pytest.mark.slow
def test_cells_of_figure_8_keep_the_same_images_each_with_its_own_maps(inspection_root):
    base = PromptADConfig(epochs=2, map_size=48)
    asked = request(inspection_root, base=base, categories=("plate",), ablations=(CATALOGUE["figure8"],))
    plan = plan_study(asked)
    (group,) = plan.groups(plan.cells)
    bench = Workbench(cache=None, device="cpu", threads=1)
    bench.start_group(group.cells, group.categories)
    kept = {cell.method: bench.run(cell).examples for cell in group.cells if cell.seed == 0}
    assert set(kept) == {"promptad", "patchcore", "winclip_plus"}
    names = [list(arrays["compared/names"]) for arrays in kept.values()]
    assert names[0] == names[1] == names[2] != []
    assert not np.allclose(kept["promptad"]["compared/fused"], kept["patchcore"]["compared/fused"])
    # The map is the cell's own: where an image is among its examples too, it has the same map and AUROC there.
    shared = 0
    for arrays in kept.values():
        for index, name in enumerate(arrays["names"]):
            for place in np.flatnonzero(arrays["compared/names"] == name):
                shared += 1
                assert arrays["compared/pixel_auroc"][place] == arrays["pixel_auroc"][index]
                np.testing.assert_array_equal(arrays["compared/fused"][place], arrays["fused"][index])
    assert shared


def test_without_masks_the_highest_and_lowest_scores_are_kept_and_normal_images_that_look_anomalous(tmp_path):
    samples = anomalous_samples(tmp_path, ["scratch"] * 5, [4] * 5)
    normal = [
        Sample(name=f"n{number}", path=samples[0].path, anomalous=False, kind="good", masks=()) for number in range(3)
    ]
    scores = [0.5, 0.1, 0.9, 0.9, 0.2, 0.3, 0.8, 0.4]
    found = scored_examples([*samples, *normal], scores, Preprocessing(size=SIZE))
    assert list(found["scored/names"]) == ["2", "3", "1", "4", "n1", "n2"]
    assert list(found["scored/chosen_as"]) == ["highest"] * 2 + ["lowest"] * 2 + ["normal"] * 2
    assert list(found["scored/score"]) == [0.9, 0.9, 0.1, 0.2, 0.8, 0.4]
    assert found["scored/thumbnails"].shape == (6, 160, 160, 3)
    few = scored_examples([samples[0], normal[0]], [0.5, 0.3], Preprocessing(size=SIZE))
    assert list(few["scored/chosen_as"]) == ["highest", "normal"]


@pytest.mark.slow
def test_image_level_cells_keep_pictures_only_where_a_set_has_no_masks(inspection_root, tmp_path):
    for root, has_pictures in (
        (write_inspection_set(tmp_path / "bare", ("plate",), masks=False), True),
        (inspection_root, False),
    ):
        asked = request(root, base=PromptADConfig(epochs=1), categories=("plate",), seeds=1)
        plan = plan_study(asked)
        cell = next(cell for cell in plan.cells.values() if cell.task == "image")
        bench = Workbench(cache=None, device="cpu", threads=1)
        bench.start_group((cell,), (plan.categories["plate"],))
        outcome = bench.run(cell)
        assert (outcome.examples is not None) == has_pictures
        if outcome.examples is not None:
            tests = outcome.row.test_images
            scores = dict(zip(tests["name"], tests["score"], strict=True))
            names, kept = outcome.examples["scored/names"], outcome.examples["scored/score"]
            assert [scores[name] for name in names] == list(kept)
