"""Trials and the devices of nodes: what fits which node, and a worker whose promised GPU is not there."""

import dataclasses

import pytest
import torch

from promptad.datasets import Category
from study.cluster import group_trial
from study.cluster.executor import ResourceError, check_resources, idle_nodes, room
from study.cluster.group_trial import GroupTrial, TrialResources, TrialSetup
from study.cluster.nodes import Node
from study.cluster.readiness import Needs
from study.records.group import Group
from study.running.execution_options import CacheSettings
from study.running.row_desk import Worker


def node(cpus, gpus):
    return Node(identity=f"{cpus}/{gpus}", name="n", alive=True, cpus=cpus, gpus=gpus)


def asked(cpus, gpus):
    return TrialResources(cpus=cpus, gpus=gpus, threads=cpus)


def test_a_trial_must_fit_one_node_not_the_largest_of_each_kind():
    nodes = [node(64, 0), node(4, 1)]
    check_resources(asked(4, 0.25), nodes)
    check_resources(asked(64, 0), nodes)
    with pytest.raises(ResourceError, match=r"none has 8 CPUs and 0\.25 of a GPU together"):
        check_resources(asked(8, 0.25), nodes)
    with pytest.raises(ResourceError, match="more than the 64 CPUs of its largest node"):
        check_resources(asked(65, 0), nodes)
    with pytest.raises(ResourceError, match="more than the 0 GPUs of its largest node"):
        check_resources(asked(1, 0.25), nodes[:1])


def test_how_many_trials_have_room_at_the_same_time():
    nodes = [node(64, 0), node(4, 1), node(6, 2)]
    assert room(asked(4, 0), nodes) == 16 + 1 + 1
    # Three CPUs of a share: one on the node with 4, two on that with 6, though its cards have room for eight.
    assert room(asked(3, 0.25), nodes) == 1 + 2
    assert room(asked(1, 0.25), nodes) == 4 + 6
    assert room(asked(100, 0), nodes) == 1
    assert [room(asked(1, share), [node(64, 1)]) for share in (0.1, 0.2, 0.3)] == [10, 5, 3]


def test_nodes_that_no_trial_can_use_are_named():
    nodes = [node(64, 0), node(4, 1), node(8, 0)]
    nodes = [dataclasses.replace(each, name=name) for each, name in zip(nodes, ("big", "card", "small"), strict=True)]
    said = idle_nodes(asked(1, 0.25), nodes)
    assert said.startswith("without work: node big, small: trials ask for 0.25 of a GPU")
    assert idle_nodes(asked(1, 0), nodes) is None
    assert idle_nodes(asked(1, 0.25), nodes[1:2]) is None


class Source:
    """Stands in for the dispatcher."""

    def __init__(self, _):
        self.parked = []

    def begin(self, _, __):
        return Group(categories=(Category(name="plate", train=(), test=(), has_masks=True),), cells=())

    def park(self, number):
        self.parked.append(number)
        return True


class Bench:
    """A workbench that says with what it was opened."""

    opened = ()

    def __init__(self, **options):
        type(self).opened += (options,)

    def start_group(self, _, __):
        """Nothing to prepare."""


@pytest.fixture
def trial(monkeypatch, tmp_path):
    """A worker as Tune makes it, by its share of a GPU."""
    worker = Worker(node="here", name="here", process=1)
    monkeypatch.setattr(group_trial, "own_worker", lambda: worker)
    monkeypatch.setattr(group_trial, "RemoteSource", Source)
    monkeypatch.setattr(group_trial, "PARKED_SECONDS", 0.0)
    monkeypatch.setattr(GroupTrial, "bench", Bench)
    monkeypatch.setattr(Bench, "opened", ())

    def made(gpus):
        found = object.__new__(GroupTrial)
        setup = TrialSetup(
            dispatcher=None,
            resources=TrialResources(cpus=1, gpus=gpus, threads=1),
            cache=CacheSettings(root=tmp_path),
            limit=None,
            needs=Needs(categories={}, backbones={}),
            fit=frozenset({"here"}),
        )
        found.setup({"group": 3}, setup)
        return found

    return made


def test_a_worker_without_its_gpu_says_that_its_node_is_unfit(trial, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    worker = trial(0.25)
    said = worker.step()
    assert said["done"]
    assert said["unfit"][0] == "here"
    assert "0.25 of a GPU was assigned, but torch" in said["unfit"][1]
    assert Bench.opened == ()


@pytest.mark.parametrize(("gpus", "device"), [(0.25, "cuda"), (0.0, "cpu")])
def test_a_worker_opens_its_workbench_on_its_device_with_its_share(trial, monkeypatch, gpus, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    trial(gpus)
    assert [(opened["device"], opened["gpus"], opened["threads"]) for opened in Bench.opened] == [(device, gpus, 1)]
