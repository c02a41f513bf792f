"""Which anomalies are in view, and what is said where none is; the workbench's rows with images wider than high."""

import dataclasses

import numpy as np
import pytest
from helpers.benches import FAST, run_all
from helpers.plans import request
from PIL import Image

from promptad.configs.promptad_config import PromptADConfig
from promptad.datasets import Sample
from promptad.images.preparation import Preprocessing
from study.bench.seen_anomalies import UnseenError, View, check_view, vanished, view_of
from study.planning.data_source import DataSource
from study.planning.plan import plan_study

CROPPED = Preprocessing(size=32)
WHOLE = Preprocessing(size=32, resize="squash")


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def picture(number, box=None):
    """A wide image, 128 x 64, of which the centre square is columns 32 to 95, and its mask; ``box``: left, right."""
    pixels = np.random.default_rng(number).integers(100, 156, (64, 128, 3), dtype=np.uint8)
    mask = np.zeros((64, 128), dtype=np.uint8)
    if box is not None:
        pixels[20:40, slice(*box)] = 0
        mask[20:40, slice(*box)] = 255
    return pixels, mask


def wide_set(root, boxes, *, masks=True):
    """A data set in folders with one category, ``part``, and a defect for each box."""
    for number in range(3):
        save(root / "part" / "normal" / f"{number}.png", picture(number)[0])
        save(root / "part" / "test" / "good" / f"{number}.png", picture(10 + number)[0])
    for number, box in enumerate(boxes):
        pixels, mask = picture(20 + number, box)
        save(root / "part" / "test" / "cut" / f"{number}.png", pixels)
        if masks:
            save(root / "part" / "masks" / "cut" / f"{number}.png", mask)
    return root


def samples(tmp_path, boxes, *, masks=True):
    found = [Sample(name="good/0.png", path=tmp_path / "none.png", anomalous=False, kind="good")]
    for number, box in enumerate(boxes):
        pixels, mask = picture(number, box)
        paths = (save(tmp_path / "mask" / f"{number}.png", mask),) if masks else ()
        image = save(tmp_path / f"{number}.png", pixels)
        found.append(Sample(name=f"cut/{number}.png", path=image, anomalous=True, kind="cut", masks=paths))
    return found


LEFT, INSIDE, BORDER, RIGHT, NOWHERE = (0, 32), (40, 60), (20, 33), (96, 128), (5, 5)


def test_images_without_an_anomalous_pixel_in_view_are_named(tmp_path):
    found = samples(tmp_path, [LEFT, INSIDE, BORDER, RIGHT, NOWHERE])
    unseen = ("cut/0.png", "cut/3.png", "cut/4.png")
    assert view_of(found, CROPPED) == View(anomalous=5, with_mask=5, unseen=unseen)
    assert view_of(found, WHOLE).unseen == ("cut/4.png",)


def test_without_masks_nothing_is_known(tmp_path):
    view = view_of(samples(tmp_path, [LEFT, INSIDE], masks=False), CROPPED)
    assert view.recorded(None) == {"anomalous": 2, "with_mask": 0, "unseen": []}


def test_what_sampling_loses_is_counted_apart(tmp_path):
    found = samples(tmp_path, [LEFT, INSIDE, BORDER])
    view = view_of(found, CROPPED)
    lost = vanished(found, view, {"good/0.png", "cut/0.png", "cut/2.png"})
    assert lost == ["cut/2.png"]
    assert view.recorded(lost)["vanished"] == ["cut/2.png"]
    assert "vanished" not in view.recorded(None)
    check_view("part", found, view, lost, preprocessing=CROPPED, size=16)


@pytest.mark.parametrize(
    ("boxes", "lost", "said"),
    [
        (
            [LEFT, RIGHT],
            [],
            "resize=shorter_edge crops the defects of 2 away: see whole images with --set resize=squash",
        ),
        ([INSIDE], ["cut/0.png"], "those of 1 fall between the pixels of maps of 16 x 16: raise map_size"),
        ([NOWHERE], [], "the masks of 1 are all zero: check the masks"),
        (
            [LEFT, NOWHERE, INSIDE],
            ["cut/2.png"],
            "crops the defects of 1 away: .*; those of 1 fall between .*; the masks of 1 are all zero",
        ),
    ],
)
def test_where_nothing_is_left_the_error_says_what_took_it(tmp_path, boxes, lost, said):
    found = samples(tmp_path, boxes)
    with pytest.raises(UnseenError, match=f"of part need .* none of {len(boxes)} anomalous images has one: .*{said}"):
        check_view("part", found, view_of(found, CROPPED), lost, preprocessing=CROPPED, size=16)


def planned(root, **changes):
    source = DataSource(name="folder", layout="folder", root=str(root))
    base = PromptADConfig().with_changes(FAST | {"epochs": 1} | changes)
    plan = plan_study(request(root, source=source, base=base, seeds=1))
    (group,) = plan.groups(plan.cells)
    return group


def views(group):
    rows = [outcome.row for outcome in run_all(group).values()]
    return {task: [row.view for row in rows if row.cell.task == task] for task in ("image", "pixel")}


@pytest.mark.slow
def test_rows_hold_what_was_not_seen_under_their_own_geometry(tmp_path):
    root = wide_set(tmp_path, [LEFT, INSIDE])
    known = {"anomalous": 2, "with_mask": 2}
    for resize, unseen in (("shorter_edge", ["test/cut/0.png"]), ("squash", [])):
        found = views(planned(root, resize=resize))
        assert found["image"] == [known | {"unseen": unseen}] * 5
        assert found["pixel"] == [known | {"unseen": unseen, "vanished": []}] * 5


@pytest.mark.slow
def test_a_defect_that_falls_between_the_pixels_of_a_map_is_in_a_row(tmp_path):
    # Maps of 16 pixels read every fourth column of the square: 34, 38 ... 94.
    root = wide_set(tmp_path, [INSIDE, (35, 37)])
    found = views(planned(root, map_size=16))
    assert found["pixel"][0]["vanished"] == ["test/cut/1.png"]
    assert found["pixel"][0]["unseen"] == []


@pytest.mark.slow
def test_images_without_masks_have_no_unseen_ones(tmp_path):
    group = planned(wide_set(tmp_path, [LEFT, INSIDE], masks=False))
    cells = tuple(cell for cell in group.cells if cell.task == "image")
    (view,) = views(dataclasses.replace(group, cells=cells[:1]))["image"]
    assert view == {"anomalous": 2, "with_mask": 0, "unseen": []}


@pytest.mark.slow
def test_pixel_cells_fail_with_the_geometry_that_crops_every_defect(tmp_path):
    root = wide_set(tmp_path, [LEFT, RIGHT])
    with pytest.raises(UnseenError, match=r"resize=shorter_edge crops the defects of 2 away: .* --set resize=squash"):
        views(planned(root))
    assert views(planned(root, resize="squash"))["pixel"][0]["unseen"] == []


@pytest.mark.slow
def test_masks_are_looked_at_once_for_all_cells_of_a_geometry(tmp_path, monkeypatch):
    calls = []

    def counting(samples, preprocessing):
        calls.append(preprocessing.resize)
        return view_of(samples, preprocessing)

    monkeypatch.setattr("study.bench.workbench.view_of", counting)
    run_all(planned(wide_set(tmp_path, [LEFT, INSIDE])))
    assert calls == ["shorter_edge"]
