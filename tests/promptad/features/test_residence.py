"""Features that stay on a device: whole views, within a budget, for as long as their features."""

import gc

import torch

from promptad.features.residence import AT_ONCE, Residence, residence_on

CPU = torch.device("cpu")


def images(number, width=8):
    return [torch.full((3, width), float(each)) for each in range(number)]


def test_a_view_arrives_whole_and_in_order():
    for number in (1, AT_ONCE, 2 * AT_ONCE, 2 * AT_ONCE + 3):
        whole = Residence(10**6).moved(images(number), CPU)
        assert torch.equal(whole, torch.stack(images(number)))


def test_what_has_no_room_stays_away_and_room_comes_back():
    size = 10 * images(1)[0].nbytes
    room = Residence(2 * size)
    first, second = room.moved(images(10), CPU), room.moved(images(10), CPU)
    assert room.used == 2 * size
    assert room.moved(images(1), CPU) is None
    del second
    gc.collect()
    assert room.used == size
    assert room.moved(images(10), CPU) is not None
    assert first is not None


def test_a_cpu_keeps_nothing():
    assert residence_on(CPU, 1.0) is None
