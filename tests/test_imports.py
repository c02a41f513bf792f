"""Imports point one way: promptad <- ablations <- study, reports beside them; and what needs no torch loads none."""

import ast
import collections
import os
import re
import subprocess
import sys

import pytest
from helpers.places import DOCS, ROOT

PACKAGES = ("promptad", "ablations", "study", "reports")

ROOMS = (
    "promptad.user_error",
    *("promptad.randomness", "promptad.flops", "promptad.texts", "promptad.datasets", "promptad.configs"),
    *("promptad.tiny.render", "promptad.tiny", "promptad.backbones", "promptad.tiny.training", "promptad.images"),
    *("promptad.scoring", "promptad.features", "promptad.prompts", "promptad.anople", "promptad.networks"),
    *("promptad.inside", "promptad.methods", "promptad.detector_file", "promptad.detector"),
    *("ablations.shots", "ablations.arms", "ablations.published", "ablations.designs", "ablations.fractions"),
    *("ablations.domains", "ablations.spec", "ablations.spaces", "ablations.sobol", "ablations.paper"),
    *("ablations.ours", "ablations.catalogue", "ablations.loading"),
    *("study.codebase", "study.records", "study.bench", "study.planning", "study.running", "study.cluster"),
    *("study.search", "study.command", "study.run"),
    *(
        "reports.statistics",
        "reports.reading",
        "reports.view_table",
        "reports.made",
        "reports.lettering",
        "reports.style",
        "reports.figure_files",
        "reports.staging",
        "reports.tables",
        "reports.outputs",
    ),
    *("reports.views", "reports.searches", "reports.page", "reports.sections", "reports.report"),
)
"""Every room, from the bottom up: a module may import those of its own room and of rooms before it."""

TORCH_ROOMS = (
    *("promptad.randomness", "promptad.flops", "promptad.tiny", "promptad.backbones", "promptad.tiny.training"),
    *("promptad.images", "promptad.scoring", "promptad.features", "promptad.prompts", "promptad.anople"),
    *("promptad.networks", "promptad.inside", "promptad.methods", "promptad.detector_file", "promptad.detector"),
    "study.bench",
)

LARGEST_ROOM = 17
"""Modules that a folder may have, beside its ``__init__``."""


def room_of(module):
    """The longest room that the module lies in; the package itself for its ``__init__``."""
    rooms = [room for room in ROOMS if module == room or module.startswith(f"{room}.")]
    return max(rooms, key=len, default=module.split(".")[0])


def module_name(path, root):
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path, root):
    """Names of the modules that a file imports anywhere in it, ``from a import b`` as both a and a.b."""
    module = module_name(path, root).split(".")
    package = module if path.name == "__init__.py" else module[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            found.add(origin)
            found.update(f"{origin}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and isinstance(node.func, (ast.Name, ast.Attribute)):
            name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            literal = node.args and isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str)
            if name in ("import_module", "__import__") and literal:
                found.add(node.args[0].value)
    return found


def imports_of(package, root=ROOT):
    """File (relative) -> imported modules, for every file of a package."""
    files = sorted((root / package).rglob("*.py"))
    assert files, f"no files in {package}"
    return {path.relative_to(root).as_posix(): imported(path, root) for path in files}


def offences(imports, forbidden):
    """``file imports module`` for every import of a forbidden package or of something inside it."""
    return [
        f"{file} imports {module}"
        for file, modules in imports.items()
        for module in sorted(modules)
        if any(module == name or module.startswith(f"{name}.") for name in forbidden)
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("promptad", ("study", "ablations", "reports", "ray", "optuna")),
        ("ablations", ("study", "reports", "ray", "optuna", "torch", "open_clip")),
        ("reports", ("study", "ray", "optuna", "torch", "open_clip")),
    ],
)
def test_packages_know_only_what_is_below_them(package, forbidden):
    assert offences(imports_of(package), forbidden) == []


RAY_ROOMS = {
    *(
        f"study/cluster/{name}.py"
        for name in ("connection", "dispatcher_process", "executor", "group_trial", "nodes", "ray_parts")
    ),
    *(f"study/search/{name}.py" for name in ("ray_search", "ray_trial")),
}
OPTUNA_ROOMS = {f"study/search/{name}.py" for name in ("engine", "samplers", "optuna_journal", "importances")}


@pytest.mark.slow
@pytest.mark.parametrize(("library", "homes"), [("ray", RAY_ROOMS), ("optuna", OPTUNA_ROOMS)])
def test_ray_and_optuna_have_their_files(library, homes):
    found = {offence.split()[0] for package in PACKAGES for offence in offences(imports_of(package), (library,))}
    assert found == homes


@pytest.mark.slow
@pytest.mark.parametrize(
    ("libraries", "rooms"),
    [
        (("torch", "open_clip", "timm"), set(TORCH_ROOMS)),
        (("matplotlib", "seaborn"), {"reports.lettering", "reports.style", "reports.views", "reports.searches"}),
    ],
)
def test_heavy_libraries_have_their_rooms(libraries, rooms):
    found = {
        room_of(offence.split()[0].removesuffix(".py").replace("/", "."))
        for package in PACKAGES
        for offence in offences(imports_of(package), libraries)
    }
    assert found == rooms


@pytest.mark.slow
@pytest.mark.parametrize("package", PACKAGES)
def test_a_room_imports_only_rooms_below_it(package):
    order = [room for room in ROOMS if room.split(".")[0] == package]
    wrong = []
    for file, modules in imports_of(package).items():
        room = room_of(module_name(ROOT / file, ROOT))
        if room == package:
            continue
        for module in modules:
            other = room_of(module)
            if other in order and order.index(other) > order.index(room):
                wrong.append(f"{file} of {room} imports {module} of {other}")
    assert sorted(wrong) == []


def test_every_module_has_a_room_and_every_room_a_sentence_and_a_size():
    modules = [module_name(path, ROOT) for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    assert {room_of(module) for module in modules} == {*ROOMS, *PACKAGES}
    folders = {module for module in modules if (ROOT / module.replace(".", "/")).is_dir()}
    sizes = collections.Counter(module.rpartition(".")[0] for module in modules if module not in folders)
    assert {folder: size for folder, size in sizes.items() if size > LARGEST_ROOM} == {}
    for room in ROOMS:
        folder = ROOT / room.replace(".", "/")
        if folder.is_dir():
            docstring = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))) or ""
            assert len(docstring) > 60, f"{room}/__init__.py says too little of what lives there"


@pytest.mark.slow
@pytest.mark.parametrize("package", PACKAGES)
def test_no_file_and_no_class_has_the_name_of_another(package):
    files, classes = collections.Counter(), collections.Counter()
    for path in (ROOT / package).rglob("*.py"):
        if path.name != "__init__.py":
            files[path.name] += 1
        tree = ast.parse(path.read_text(encoding="utf-8"))
        classes.update(node.name for node in tree.body if isinstance(node, ast.ClassDef))
    assert [name for name, count in (files + classes).items() if count > 1] == []


def test_the_docs_have_the_same_rooms_in_the_same_order():
    text = (DOCS / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| `([\w/.]+)` \|", text.partition("\n## Rooms\n")[2].partition("\n## ")[0], flags=re.MULTILINE
    )
    assert [row.removesuffix("/").removesuffix(".py").replace("/", ".") for row in rows] == list(ROOMS)


def reaches_torch():
    """Modules of promptad that load torch, themselves or through other modules of promptad."""
    imports = {module_name(ROOT / file, ROOT): modules for file, modules in imports_of("promptad").items()}
    reached = {name for name, modules in imports.items() if "torch" in {module.split(".")[0] for module in modules}}
    while True:
        more = {name for name, modules in imports.items() if name not in reached and modules & reached}
        if not more:
            return reached
        reached |= more


@pytest.mark.slow
def test_reports_use_nothing_of_promptad_that_loads_torch():
    heavy = reaches_torch()
    assert {"promptad.prompts.losses", "promptad.detector", "promptad.features.cache", "promptad.methods"} <= heavy
    assert "promptad.configs.promptad_config" not in heavy
    # The package itself imports its modules on first use, so only a name taken from it can load them.
    lazy = ("promptad.Detector", "promptad.load_backbone")
    assert offences(imports_of("reports"), (*sorted(heavy - {"promptad"}), *lazy)) == []


def test_offences_are_found(tmp_path):
    package = tmp_path / "sample"
    package.mkdir()
    (package / "__init__.py").write_text("from . import inner\n")
    (package / "inner.py").write_text(
        "import importlib, rayon\ndef run():\n    from ray import tune\n    importlib.import_module('torch.nn')\n"
    )
    imports = imports_of("sample", tmp_path)
    assert "sample.inner" in imports["sample/__init__.py"]
    assert offences(imports, ("ray", "torch")) == [
        "sample/inner.py imports ray",
        "sample/inner.py imports ray.tune",
        "sample/inner.py imports torch.nn",
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    "module",
    [
        "promptad",
        "promptad.configs.promptad_config",
        "promptad.configs.protocol",
        "ablations.catalogue",
        "reports.report",
    ],
)
def test_a_fresh_interpreter_loads_no_torch(module):
    heavy = ("torch", "open_clip", "ray", "optuna", "study")
    code = f"import sys, {module}; print([name for name in {heavy} if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.stdout.strip() == "[]", ran.stderr


@pytest.mark.slow
def test_what_only_writes_rows_loads_no_torch():
    # The dispatcher has a process of its own beside a Ray driver.
    code = "import sys, study.running.dispatcher, study.records.outcome; print('torch' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.stdout.strip() == "False", ran.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "module", ["study.command.cli", "study.command.status_text", "study.command.driver", "study.running.dispatcher"]
)
def test_looking_at_a_study_loads_neither_torch_nor_ray(module):
    heavy = ("torch", "open_clip", "ray", "optuna")
    code = f"import sys, {module}; print([name for name in {heavy} if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.stdout.strip() == "[]", ran.stderr


HEAVY = (
    *("torch", "open_clip", "timm", "ray", "optuna", "scipy", "pandas", "seaborn", "matplotlib", "sklearn", "jinja2"),
    *("numpy", "PIL"),
)
"""Packages that take long to load."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "call",
    [
        "pass",
        "main(['plan', '--list'])",
        "main(['plan', 'tabel3'])",
        "main(['plan', '--shots', 'x'])",
        "main(['status', '--study', 'no such folder'])",
        "main(['--help'])",
    ],
)
def test_a_command_that_computes_nothing_loads_nothing_that_computes(call, tmp_path):
    code = (
        "import contextlib, sys\n"
        "from study.command.cli import main\n"
        f"with contextlib.suppress(SystemExit): {call}\n"
        f"sys.exit(','.join(name for name in {HEAVY} if name in sys.modules) or 0)"
    )
    path = {"PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=os.environ | path, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr


def test_public_names_come_on_first_use():
    import promptad

    assert promptad.PromptADConfig.__module__ == "promptad.configs.promptad_config"
    assert promptad.Detector.__module__ == "promptad.detector"
    assert promptad.load_backbone.__module__ == "promptad.backbones.backbone"
    with pytest.raises(AttributeError, match="promptad has no attribute 'Detectr'; it has Detector, PromptADConfig"):
        promptad.Detectr  # noqa: B018
