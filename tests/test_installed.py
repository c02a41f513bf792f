"""What is installed is enough: the wheel without its checkout, and the library without the study's packages."""

import re
import subprocess
import sys
import tomllib
import zipfile

import pytest
from helpers.places import ROOT
from helpers.small_models import image_files

from study.run import EXTRA

pytestmark = pytest.mark.slow

# What the extra "study" brings, but for what torch and open_clip need too.
STUDY_ALONE = ("cmaes", "joblib", "matplotlib", "optuna", "pandas", "ray", "seaborn", "sklearn")


def run(code, *arguments, **options):
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, check=False, **options
    )


def test_a_detector_needs_nothing_of_the_study(tmp_path):
    good = image_files(tmp_path, [1, 2])
    code = f"""
import sys
sys.modules.update(dict.fromkeys({STUDY_ALONE}))
from promptad import Detector, PromptADConfig, load_backbone
config = PromptADConfig(epochs=1)
detector = Detector.fit(load_backbone("tiny"), sys.argv[1:2], category="screw", config=config)
detector.save(sys.argv[3])
print(Detector.load(sys.argv[3]).score(sys.argv[2:3]).maps.shape)
"""
    ran = run(code, *good, tmp_path / "screw.safetensors", cwd=ROOT)
    assert ran.stdout.strip() == "(1, 240, 240)", ran.stderr


@pytest.mark.parametrize("missing", STUDY_ALONE)
def test_a_study_without_its_packages_says_what_to_install(missing, tmp_path):
    code = f"""
import importlib.util, sys
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == {missing!r} else found(name, *rest)
from study.run import main
sys.argv = ["run.py", "plan", "--list"]
sys.exit(main())
"""
    ran = run(code, cwd=ROOT, env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)})
    assert ran.returncode == 2
    assert "Traceback" not in ran.stderr
    assert f'No module named {missing}. The project and its extra "study" must be installed' in ran.stderr


def test_every_package_of_the_extra_is_looked_for():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    named = {re.split(r"[^A-Za-z0-9_-]", package)[0] for extra in ("study", "report") for package in extras[extra]}
    modules = {"scikit-learn": "sklearn", "promptad-study": None}
    assert {modules.get(name, name) for name in named} - {None} == set(EXTRA)


@pytest.mark.slow
def test_the_wheel_runs_from_an_empty_folder(tmp_path):
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    copy = tmp_path / "checkout"
    # Building leaves files beside the sources.
    subprocess.run(["git", "clone", "--quiet", "--depth=1", f"file://{ROOT}", str(copy)], check=True)
    built = subprocess.run(
        [*build, "--wheel-dir", str(tmp_path), str(copy)], capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    packages, empty = tmp_path / "packages", tmp_path / "empty"
    empty.mkdir()
    with zipfile.ZipFile(wheel) as stored:
        stored.extractall(packages)
    code = "import sys, study; from study.run import main; print(study.__file__); sys.exit(main())"
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(packages), "PROMPTAD_CACHE": str(tmp_path / "cache")}
    options = ("--categories", "leather", "--seeds", "1", "--set", "epochs=1", "--executor", "serial")
    ran = run(code, "run", "table10", *options, cwd=empty, env=environment | {"HOME": str(tmp_path)})
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith(str(packages)), "the test must run what was built"
    assert (empty / "results" / "report" / "index.html").is_file()
