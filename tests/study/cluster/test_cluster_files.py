"""The shipped cluster files fit Ray's schema, and carry what a study needs on real machines."""

import re
import tomllib

import pytest
import yaml
from helpers.places import ROOT
from ray.autoscaler._private.util import prepare_config, validate_config

FILES = ("cluster.yaml", "docs/cluster/aws.yaml")


def config(file):
    return yaml.safe_load((ROOT / file).read_text())


def commands(file, role):
    """The lines that start Ray on the head or on workers."""
    return config(file)[f"{role}_start_ray_commands"]


def starting(file, role):
    found = [line for line in commands(file, role) if "ray start" in line]
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize("file", FILES)
def test_a_file_fits_the_schema(file):
    validate_config(prepare_config(config(file)))


def test_an_unknown_key_does_not_fit_the_schema():
    with pytest.raises(Exception, match="worker_adresses"):
        validate_config(prepare_config({**config("cluster.yaml"), "worker_adresses": []}))


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES)
def test_all_that_makes_the_package_is_brought_there(file):
    mounts = config(file)["file_mounts"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = {name.rstrip("*") for name in project["tool"]["setuptools"]["packages"]["find"]["include"]}
    needed |= {"pyproject.toml", project["project"]["readme"], *project["project"]["license-files"]}
    assert {f"~/promptad-study/{name}": name for name in needed}.items() <= mounts.items()
    assert all((ROOT / name).exists() for name in needed)
    # Ray reads every mounted file to see whether it changed: no environment, no results, no repository.
    assert not {".", "./"} & set(mounts.values())
    assert {".venv", ".git", "results"} <= set(config(file)["rsync_exclude"])
    assert any("pip install" in line and "$HOME/promptad-study[" in line for line in config(file)["setup_commands"])


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("role", ["head", "worker"])
def test_only_who_has_the_token_may_talk_to_ray(file, role):
    # Without it, the token that 'ray start --head' finds makes the head demand what workers do not send.
    assert "export RAY_AUTH_MODE=token" in starting(file, role)
    assert config(file)["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"


@pytest.mark.parametrize("file", FILES)
def test_the_dashboard_is_not_open_to_the_network(file):
    assert "--dashboard-host=127.0.0.1" in starting(file, "head")
    assert "0.0.0.0" not in (ROOT / file).read_text()


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("role", ["head", "worker"])
def test_rays_shells_do_not_choose_the_number_of_threads(file, role):
    assert re.search(r"unset OMP_NUM_THREADS;.*ray start", starting(file, role))


@pytest.mark.parametrize("file", FILES)
def test_python_of_the_environment_is_the_one_that_submit_calls(file):
    setup = "\n".join(config(file)["setup_commands"])
    assert """echo 'export PATH="$HOME/promptad-venv/bin:$PATH"' >> ~/.bashrc""" in setup


def test_own_machines_get_all_their_workers():
    # The newer autoscaler counts the head among the workers of this provider.
    assert re.search(r"export .*RAY_enable_autoscaler_v2=0.*ray start --head", starting("cluster.yaml", "head"))


@pytest.mark.parametrize("role", ["head", "worker"])
def test_other_studies_on_own_machines_are_left_alone(role):
    lines = commands("cluster.yaml", role)
    assert not [line for line in lines if "ray stop" in line]
    patterns = [line for line in lines if line.startswith("pkill")]
    assert patterns
    assert all("-u $(id -u)" in line and "6379" in line for line in patterns)
    # A pattern that matched the shell it stands in would end that shell.
    assert all(re.search(r"-f ['\"]\[\w\]", line) for line in patterns)


def test_own_machines_await_addresses_a_user_and_a_key():
    text = (ROOT / "cluster.yaml").read_text()
    assert text.count("# <-") == 4
    assert config("cluster.yaml")["provider"] == {
        "type": "local",
        "head_ip": "HEAD_ADDRESS",
        "worker_ips": ["WORKER_ADDRESS"],
    }


def test_aws_scales_spot_machines_with_gpus_from_none_to_eight():
    types = config("docs/cluster/aws.yaml")["available_node_types"]
    assert types["gpu"]["min_workers"] == 0
    assert types["gpu"]["max_workers"] == config("docs/cluster/aws.yaml")["max_workers"] == 8
    assert types["gpu"]["resources"]["GPU"] == 1
    assert types["gpu"]["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert "GPU" not in types["head"]["resources"]
    assert "InstanceMarketOptions" not in types["head"]["node_config"]
    assert all("IamInstanceProfile" in kind["node_config"] for kind in types.values())
