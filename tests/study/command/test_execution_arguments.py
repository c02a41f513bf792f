import dataclasses
from pathlib import Path

import pytest

from study.command.arguments import UsageError
from study.command.cli import build_parser
from study.command.execution_arguments import execution_options, search_options
from study.running.execution_options import CacheSettings, ClusterOptions, ExecutionOptions


def parsed(*words):
    return build_parser().parse_args(words)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PROMPTAD_CACHE", str(tmp_path))
    return tmp_path


def test_an_execution_without_options_is_the_documented_one(cache):
    assert execution_options(parsed("run")) == ExecutionOptions(
        cache=CacheSettings(root=cache), cell_timeout=7200.0, cluster=ClusterOptions(embedded=True)
    )


def test_every_option_of_an_execution_arrives():
    words = (
        "--executor serial --cpus-per-trial 3 --gpus-per-trial 0.5 --cache-gb 0.5 --address head:6379 --nodes 4 "
        "--nodes-timeout 7 --cell-timeout 0 --require-data all --data mvtec:/data"
    )
    options = execution_options(parsed("run", *words.split()))
    assert (options.executor, options.cpus, options.gpus, options.require_data) == ("serial", 3, 0.5, "all")
    assert options.cache.cap == 2**29
    assert options.cell_timeout is None
    assert options.cluster == ClusterOptions(address="head:6379", nodes=4, wait_seconds=7.0, embedded=False)


def test_the_root_of_the_cache_is_absolute_for_workers_that_have_another_folder(monkeypatch):
    monkeypatch.setenv("PROMPTAD_CACHE", "here")
    assert execution_options(parsed("run")).cache.root == Path("here").absolute()


def test_the_options_of_a_search_arrive():
    options = search_options(
        parsed("search", *["--trials", "7", "--timeout", "9", "--fresh", "2", "--promote", "best", "--nodes", "3"])
    )
    assert (options.trials, options.timeout, options.fresh, options.promote) == (7, 9.0, 2, "best")
    assert options.execution.cluster.nodes == 3


def test_options_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        execution_options(parsed("run")).cpus = 2


def test_every_option_out_of_its_domain_is_named_at_once():
    words = "--cpus-per-trial 0 --gpus-per-trial -1 --cache-gb 0 --nodes 0 --nodes-timeout -1 --cell-timeout -1"
    with pytest.raises(UsageError) as error:
        execution_options(parsed("run", *words.split()))
    assert all(word in str(error.value) for word in words.split() if word.startswith("--"))
