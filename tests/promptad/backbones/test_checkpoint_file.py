"""Checkpoint files of all kinds: their weights are loaded, or it is said in one line why not, before anything runs."""

import pickle

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
from helpers.published_weights import archive_file, openai_address, publish
from helpers.small_models import small_model
from hypothesis import given, settings
from hypothesis import strategies as st

from promptad.backbones.backbone import check_weights, load_backbone, weights_digest
from promptad.backbones.backbone_names import BackboneError, parse_backbone
from promptad.backbones.checkpoint_file import CheckpointError, container_of, read_weights
from study.planning.arm_backbones import PlannedBackbone


@pytest.fixture(scope="module")
def state():
    """The weights of ``small-vit``."""
    return dict(small_model("small-vit", 1).state_dict())


def refusal(text):
    """What is said of a backbone when it is planned: one line that is not long."""
    with pytest.raises(BackboneError) as caught:
        PlannedBackbone.of(text)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 600
    return message


def prefixed(prefix):
    return lambda state: {f"{prefix}{name}": value for name, value in state.items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"state_dict": state, "epoch": 3, "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]}},
        lambda state: {"model": state, "loss": torch.zeros(2)},
        lambda state: {"model_state_dict": prefixed("module.")(state)},
        lambda state: {"model": {"state_dict": prefixed("model.")(state)}},
        lambda state: {"module": state},
        prefixed("module."),
        prefixed("_orig_mod.module."),
        lambda state: state | {name: torch.tensor(1) for name in ("input_resolution", "context_length", "vocab_size")},
        lambda state: state | {"epoch": 3},
        lambda state: state | {"logit_scale": state["logit_scale"].reshape(1)},
        lambda state: {name: value.half() if value.is_floating_point() else value for name, value in state.items()},
        lambda state: {name: value.double() for name, value in state.items()},
    ],
)
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_what_training_programs_write_is_loaded(state, tmp_path, wrap, zipped):
    path = tmp_path / "mine.pt"
    torch.save(wrap(state), path, _use_new_zipfile_serialization=zipped)
    assert container_of(path) == ("zip" if zipped else "legacy")
    found = read_weights(path)
    assert found.keys() == state.keys()
    assert all(
        torch.allclose(found[name].float().reshape(state[name].shape), state[name], 1e-3, 1e-3) for name in state
    )
    planned = PlannedBackbone.of(f"small-vit:{path}")
    loaded = load_backbone(planned.text)
    assert loaded.weights == planned.weights
    assert torch.equal(loaded.model.visual.proj, found["visual.proj"].float())


def test_a_files_name_does_not_say_what_it_is(state, tmp_path):
    path = tmp_path / "weights.pt"
    safetensors.torch.save_file({name: value.contiguous() for name, value in state.items()}, path)
    assert container_of(path) == "safetensors"
    assert torch.equal(load_backbone(f"small-vit:{path}").model.visual.proj, state["visual.proj"])
    other = tmp_path / "weights.safetensors"
    torch.save(state, other)
    assert torch.equal(load_backbone(f"small-vit:{other}").model.visual.proj, state["visual.proj"])


@pytest.mark.slow
def test_torchvisions_older_files_lack_counters_and_have_another_format(tmp_path):
    network = timm.create_model("resnet18", num_classes=5).state_dict()
    old = {name: value for name, value in network.items() if not name.endswith("num_batches_tracked")}
    path = tmp_path / "resnet18-5c106cde.pth"
    torch.save(old, path, _use_new_zipfile_serialization=False)
    loaded = load_backbone(PlannedBackbone.of(f"timm/resnet18:{path}").text).model.visual.network
    assert torch.equal(loaded.layer1[0].conv1.weight, network["layer1.0.conv1.weight"])


def foreign(path, kind, state):
    """Write a file of a kind that gives no weights of ``small-vit``, or not those that are asked for."""
    name = "visual.transformer.resblocks.0.mlp.c_fc.weight"
    match kind:
        case "empty":
            path.touch()
        case "page":
            path.write_text("\n <!DOCTYPE html><html>Sign in to download</html>", encoding="utf-8")
        case "lfs":
            path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 1\n", encoding="utf-8")
        case "text":
            path.write_text("weights", encoding="utf-8")
        case "pickle":
            path.write_bytes(pickle.dumps({"a": 1}))
        case "cut zip" | "cut legacy":
            torch.save(state, path, _use_new_zipfile_serialization=kind == "cut zip")
            path.write_bytes(path.read_bytes()[:-2000])
        case "cut safetensors":
            safetensors.torch.save_file({"a": torch.zeros(100)}, path)
            path.write_bytes(path.read_bytes()[:-100])
        case "cut header":
            safetensors.torch.save_file({"a": torch.zeros(100)}, path)
            path.write_bytes(path.read_bytes()[:20])
        case "list":
            torch.save([1, 2], path)
        case "no tensor":
            torch.save({"epoch": 3, "name": "x"}, path)
        case "scalars":
            torch.save({"state_dict": state, "best": np.float64(0.5)}, path)
        case "several":
            torch.save({"state_dict": state, "state_dict_ema": state}, path)
        case "transformers":
            names = {f"vision_model.encoder.{number}": value for number, value in enumerate(state.values())}
            torch.save(names | {"text_model.a": torch.zeros(1)}, path)
        case "shape":
            torch.save(state | {name: torch.zeros(3, 4)}, path)
        case "image size":
            torch.save(state | {"visual.positional_embedding": torch.zeros(26, 32)}, path)
        case "integers":
            torch.save(state | {name: state[name].to(torch.int8)}, path)
        case "nan" | "inf":
            torch.save(state | {name: torch.full_like(state[name], float(kind))}, path)
        case "large":
            torch.save(state | {name: torch.full_like(state[name], 1e300, dtype=torch.float64)}, path)
        case "missing":
            torch.save({each: value for each, value in state.items() if each != name}, path)
        case "more":
            torch.save(state | {"head.weight": torch.zeros(1)}, path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("empty", "is empty: copy or download it again"),
        ("page", "is a web page: the link leads to a page about the file, download the file itself"),
        ("lfs", "is a pointer of Git LFS: fetch the file behind it"),
        ("text", "must be safetensors or what torch.save writes, but is neither"),
        ("pickle", "is a pickle that torch.save did not write: write its state dict with torch.save"),
        ("cut zip", "is cut short after"),
        ("cut legacy", "is cut short or damaged"),
        ("cut safetensors", "is cut short or damaged"),
        ("cut header", "is cut short after 20 bytes"),
        ("list", "must hold weights by name, but holds a list"),
        ("no tensor", "must hold weights by name, but holds 2 values (epoch, name)"),
        ("scalars", "multiarray.scalar), and to load those can run a program: write its state dict alone"),
        ("several", "holds several sets of weights (state_dict, state_dict_ema): write the one that you mean"),
        ("transformers", "these are the names of transformers, use the file of the same weights that open_clip"),
        ("shape", "has 1 other shape (visual.transformer.resblocks.0.mlp.c_fc.weight 3 x 4 instead of 128 x 32): name"),
        ("image size", "has 1 other shape (visual.positional_embedding 26 x 32 instead of 17 x 32): name the architec"),
        ("integers", "c_fc.weight in torch.int8) that are no plain numbers of half, single or double precision"),
        ("nan", "has NaN or infinite values in 1 weight (visual.transformer.resblocks.0.mlp.c_fc.weight) of"),
        ("inf", "has NaN or infinite values in 1 weight (visual.transformer.resblocks.0.mlp.c_fc.weight) of"),
        ("large", "has NaN or infinite values in 1 weight (visual.transformer.resblocks.0.mlp.c_fc.weight) of"),
        ("missing", "must hold the weights of small-vit, but lacks 1 weight (visual.transformer.resblocks.0.mlp.c_fc"),
        ("more", "must hold the weights of small-vit, but has 1 other (head.weight): name the architecture"),
    ],
)
def test_a_file_without_the_weights_is_refused_when_it_is_planned(state, tmp_path, kind, message):
    path = tmp_path / "mine.pt"
    foreign(path, kind, state)
    said = refusal(f"small-vit:{path}")
    assert said.startswith(f"checkpoint {path} ")
    assert message in said
    with pytest.raises(BackboneError) as caught:
        load_backbone(f"small-vit:{path}")
    assert str(caught.value) == said


def test_a_network_of_timm_is_checked_alike(tmp_path):
    path = tmp_path / "mine.pt"
    torch.save(timm.create_model("test_resnet").state_dict() | {"bn1.weight": torch.full((32,), torch.nan)}, path)
    text = f"timm/test_resnet:{path}"
    said = refusal(text)
    assert "bn1.weight" in said
    torch.save(timm.create_model("resnet18").state_dict(), path)
    assert "must hold the weights of timm/test_resnet, but lacks" in refusal(text)


def test_a_checked_file_is_not_read_again_until_it_changes(state, tmp_path, monkeypatch):
    path = tmp_path / "mine.pt"
    torch.save(state, path)
    name = parse_backbone(f"small-vit:{path}")
    check_weights(name)
    with monkeypatch.context() as patched:
        patched.setattr("promptad.backbones.clip_models.read_weights", None)
        check_weights(name)
    foreign(path, "missing", state)
    with pytest.raises(BackboneError, match="lacks 1 weight"):
        check_weights(name)


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
def test_an_archive_of_another_architecture_is_refused_with_its_name(monkeypatch, tmp_path):
    path = archive_file(tmp_path / "ViT-B-32.pt")
    publish(monkeypatch, {"openai": {"url": openai_address(path), "quick_gelu": True}})
    assert f"it is OpenAI's of small-twin, write small-twin:{path}" in refusal(f"small-vit:{path}")


def test_home_and_relative_paths_mean_one_file(state, tmp_path, monkeypatch):
    torch.save(state, tmp_path / "w.pt")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    digest = weights_digest(parse_backbone(f"small-vit:{tmp_path}/w.pt"))
    for text in ("small-vit:~/w.pt", "small-vit:./w.pt", "small-vit:w.pt"):
        name = parse_backbone(text)
        assert name.source == str(tmp_path / "w.pt")
        assert weights_digest(name) == digest
        assert load_backbone(text).name == name
    with pytest.raises(BackboneError, match=r"missing: ~/no\.pt is not a file"):
        parse_backbone("small-vit:~/no.pt")
    with pytest.raises(BackboneError, match="names nobody's home folder"):
        parse_backbone("small-vit:~nobody-of-this-name/w.pt")


@pytest.mark.parametrize("precision", ["bf16", "float32", None, ""])
def test_a_precision_that_there_is_not_is_refused(precision):
    with pytest.raises(BackboneError, match="precision must be one of fp32, fp16, tf32, but got"):
        load_backbone("tiny", precision=precision)


def test_weights_that_half_precision_cannot_hold(state, tmp_path):
    path = tmp_path / "mine.pt"
    torch.save(state | {"visual.proj": torch.full_like(state["visual.proj"], 1e5)}, path)
    load_backbone(f"small-vit:{path}")
    with pytest.raises(BackboneError, match="has weights that fp16 cannot hold: use precision fp32"):
        load_backbone(f"small-vit:{path}", precision="fp16")


@pytest.fixture(scope="module")
def wholes(tmp_path_factory):
    """One small file of each container, as bytes."""
    folder, weights = tmp_path_factory.mktemp("wholes"), {"state_dict": {"a": torch.ones(3), "b.c": torch.zeros(2, 2)}}
    torch.save(weights, folder / "zip")
    torch.save(weights, folder / "legacy", _use_new_zipfile_serialization=False)
    safetensors.torch.save_file(weights["state_dict"], folder / "safetensors")
    return [(folder / name).read_bytes() for name in ("zip", "legacy", "safetensors")]


@pytest.mark.slow
@settings(max_examples=500, deadline=None)
@given(data=st.data())
def test_whatever_a_file_holds_it_is_weights_or_refused_in_words(wholes, tmp_path_factory, data):
    content = bytearray(data.draw(st.sampled_from(wholes) | st.binary(max_size=200)))
    if content:
        for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=4)):
            content[place] = data.draw(st.integers(0, 255))
        content = content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content
    path = tmp_path_factory.getbasetemp() / "any.pt"
    path.write_bytes(content)
    try:
        found = read_weights(path)
    except CheckpointError as error:
        said, found = str(error), {}
    else:
        said = ""
    assert "\n" not in said
    assert all(isinstance(value, torch.Tensor) for value in found.values())
