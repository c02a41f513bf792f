import dataclasses

import pytest
from helpers.cells import make_cell

from promptad.configs.promptad_config import PromptADConfig
from study.records.cell import Cell, CellError, CellFamily, PoolMember, company_of

POOLED = PromptADConfig(memory_layers=(2, 3), setting="multi_class")
POOL = tuple(PoolMember(category=name, data=f"normal {name}") for name in ("disc", "plate", "tile"))


def pooled(**changes):
    return make_cell(**{"config": POOLED, "pool": POOL, **changes})


def test_every_field_that_can_change_a_score_changes_the_digest():
    changes = [
        {"method": "other"},
        {"config": PromptADConfig(memory_layers=(2, 4))},
        {"architecture": "ViT-B-32"},
        {"weights": "w1"},
        {"category": "disc"},
        {"data": "d1"},
        {"shots": 2},
        {"seed": 1},
        {"task": "pixel"},
        {"support": ("train/good/000.png",)},
        {"numerics": 3},
        {"activation": "quick_gelu"},
        {"artefacts": ("attention",)},
        {"query": "synthetic"},
        {"kinds": ("scratch",)},
    ]
    assert {name for change in changes for name in change} == {
        field.name for field in dataclasses.fields(Cell) if field.init
    } - {"backbone", "dataset", "pool"}
    digests = {make_cell(**change).digest for change in changes} | {make_cell().digest}
    assert len(digests) == len(changes) + 1


@pytest.mark.parametrize("change", [{"backbone": "tiny-by-another-name"}, {"dataset": "a copy"}])
def test_names_that_people_give_are_no_part_of_the_identity(change):
    assert make_cell(**change).digest == make_cell().digest


def test_the_digest_is_stable_across_processes_and_versions():
    # If it changes, every stored study is computed again.
    assert make_cell().digest == "2b4dc283a92edd2433f64dbe719b9d23"
    assert make_cell(activation="gelu").digest == "3a1923ed02bbfb6d9373e988dddf0a13"


def test_fields_at_their_default_are_no_part_of_the_digest():
    cell = make_cell()
    spelled_out = {**PromptADConfig().as_dict(), **cell.config.as_dict()}
    assert make_cell(config=PromptADConfig.from_dict(spelled_out)).digest == cell.digest
    reduced = {name: value for name, value in cell.config.as_dict().items() if name == "memory_layers"}
    assert make_cell(config=PromptADConfig.from_dict(reduced)).digest == cell.digest


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"support": ("a.png", "b.png")},
        {"artefacts": ("embedding",)},
        {"query": "synthetic"},
        {"query": "synthetic", "kinds": ("cut_paste", "stripe")},
        {"activation": "gelu"},
    ],
)
def test_json_form_round_trips(changes):
    cell = make_cell(**changes)
    assert Cell.from_dict(cell.as_dict()) == cell
    assert Cell.from_dict(cell.as_dict()).digest == cell.digest


@pytest.mark.parametrize("later", ["artefacts", "query", "activation"])
def test_rows_from_before_there_was_a_field_are_read(later):
    values = make_cell().as_dict()
    del values[later]
    assert Cell.from_dict(values) == make_cell()


def test_the_pool_is_part_of_the_digest_by_names_and_normal_images():
    changes = [
        {},
        {"pool": POOL[:2]},
        {"pool": (dataclasses.replace(POOL[0], category="cup"), *POOL[1:])},
        {"pool": (*POOL[:2], dataclasses.replace(POOL[2], data="other images"))},
        {"pool": (POOL[0], dataclasses.replace(POOL[1], data="other images"), POOL[2])},
        {"category": "disc"},
    ]
    digests = {pooled(**change).digest for change in changes} | {make_cell().digest}
    assert len(digests) == len(changes) + 1
    # If it changes, every stored study with such cells is computed again.
    assert pooled().digest == "728cd0f67147c2bd9b0eb802796299ba"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"config": POOLED}, r"if and only if setting is multi_class, but it is multi_class and the pool is \[\]"),
        ({"pool": POOL}, r"but it is not multi_class and the pool is \['disc', 'plate', 'tile'\]"),
        ({"config": POOLED, "pool": POOL[1:2]}, "a pool must be 2 or more different categories sorted by name, plate"),
        ({"config": POOLED, "pool": POOL[::-1]}, "but got tile, plate, disc"),
        ({"config": POOLED, "pool": (*POOL[:2], POOL[1])}, "but got disc, plate, plate"),
        ({"config": POOLED, "pool": POOL, "category": "cup"}, "cup among them, but got disc, plate, tile"),
    ],
)
def test_a_pool_that_contradicts_its_cell_is_an_error(changes, message):
    with pytest.raises(CellError, match=message):
        make_cell(**changes)


def test_a_pool_goes_through_json_and_families():
    cell = pooled(seed=3, shots=2)
    assert Cell.from_dict(cell.as_dict()) == cell
    assert "pool" not in make_cell().as_dict()
    family = CellFamily.from_dict(CellFamily(pooled()).as_dict())
    assert family.member(shots=2, seed=3, support=None) == cell
    assert family.member(shots=2, seed=3, support=None).digest == cell.digest


def test_cells_of_one_training_say_so():
    one, other = pooled(category="disc", data="d1"), pooled()
    assert one.training == other.training is not None
    for change in ({"seed": 1}, {"task": "pixel"}, {"shots": 2}, {"pool": POOL[:2]}):
        assert pooled(**change).training != one.training
    assert pooled(config=POOLED.with_changes({"epochs": 5})).training != one.training
    assert make_cell().training is None
    assert (one.allowance, make_cell().allowance) == (3, 1)
    assert company_of(one, mixed=True) is None
    assert str(one).startswith("disc image 1-shot seed 0, one model for 3 categories (")
