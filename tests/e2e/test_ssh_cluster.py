"""The headline command as printed, on two machines made of namespaces: see ssh_cluster.py."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("ssh_cluster.py")


def why_not():
    spec = importlib.util.spec_from_file_location("ssh_cluster", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.missing()


@pytest.mark.slow
@pytest.mark.faults
def test_from_ray_up_to_ray_down(tmp_path):
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    log = tmp_path / "log.txt"
    with log.open("w") as file:
        done = subprocess.run([sys.executable, str(SCRIPT)], stdout=file, stderr=file, timeout=1500, check=False)
    print(log.read_text())
    assert done.returncode == 0
