"""Which images a pixel cell keeps, on maps whose order is known by construction."""

import numpy as np
import torch
from PIL import Image

from promptad.datasets import Sample
from promptad.images import Preprocessing
from promptad.maps import FinishedMaps
from promptad.methods import Scores
from study.examples import example_maps
from study.truth import MaskedMaps, MaskSet

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


def examples_of(folder, kinds, areas):
    """The map of image i ranks i pixels of the last row above its defect: image 0 is located best."""
    samples = anomalous_samples(folder, kinds, areas)
    masks = np.zeros((len(samples), SIZE, SIZE), bool)
    maps = np.zeros((len(samples), SIZE, SIZE), np.float32)
    for number, area in enumerate(areas):
        masks[number, 0, :area] = True
        maps[number, 0, :area] = 0.5
        maps[number, -1, :number] = 1.0
    result = Scores(image=None, maps=torch.from_numpy(maps), branches={})
    truth = MaskSet(samples, lambda sample: masks[int(sample.name)])
    finished = FinishedMaps(torch.from_numpy(maps), size=SIZE, smoothing=0)
    return example_maps(samples, MaskedMaps(truth, finished), result, Preprocessing(size=SIZE))


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
