"""Backbones by name: parsing, weights from files, and what is said when something is wrong."""

import logging
import pickle

import open_clip
import pytest
import safetensors.torch
import torch
from helpers import small_models

from promptad.backbones.backbone import load_backbone, load_tokenizer, weights_digest
from promptad.backbones.backbone_names import (
    BackboneError,
    BackboneName,
    available_blocks,
    default_memory_layers,
    default_prompt_depth,
    is_transformer,
    parse_backbone,
    prompt_blocks,
)
from promptad.backbones.towers import encode_images
from promptad.backbones.weights_files import weights_are_here


@pytest.fixture(scope="module")
def random_backbone():
    return load_backbone("small-vit:random")


def weights_file(path, seed=1, architecture="small-vit", wrap=None):
    state = dict(small_models.small_model(architecture, seed).state_dict())
    state.pop("attn_mask", None)
    if path.suffix == ".safetensors":
        safetensors.torch.save_file({name: value.contiguous() for name, value in state.items()}, path)
    else:
        torch.save(state if wrap is None else {wrap: state}, path)
    return path


def test_names_a_user_can_write(tmp_path):
    path = weights_file(tmp_path / "mine.pt")
    cases = {
        "tiny": ("tiny", "embedded", "embedded tiny CLIP"),
        "ViT-B-16-plus-240:laion400m_e32": ("ViT-B-16-plus-240", "laion400m_e32", "laion400m_e32"),
        "ViT-B-16:random": ("ViT-B-16", "random", "RANDOM weights"),
        f"small-vit:{path}": ("small-vit", str(path), "mine.pt"),
    }
    for text, (architecture, source, label) in cases.items():
        name = parse_backbone(text)
        assert (name.architecture, name.source, name.label) == (architecture, source, label)
        assert str(name) == text
        assert parse_backbone(str(name)) == name


def test_kinds_of_sources(tmp_path):
    kinds = {
        "tiny": (True, False, False),
        "ViT-B-16:random": (False, True, False),
        f"small-vit:{weights_file(tmp_path / 'mine.pt')}": (False, False, True),
        "ViT-B-16-plus-240:laion400m_e32": (False, False, False),
    }
    for text, kind in kinds.items():
        name = parse_backbone(text)
        assert (name.is_tiny, name.is_random, name.is_file) == kind


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tiny:random", "tiny brings its own weights and takes no source, but got 'tiny:random': write tiny"),
        ("ViT-B16:openai", r"open_clip has no model 'ViT-B16'; near: .*ViT-B-16.*; or use tiny"),
        ("", "open_clip has no model ''; near: none; or use tiny"),
        (
            "ViT-B-16-plus-240",
            r"needs weights: write ViT-B-16-plus-240:TAG with a TAG of laion400m_e31, laion400m_e32,",
        ),
        ("ViT-B-16-plus-240:", "or ViT-B-16-plus-240:random for random weights"),
        ("ViT-B-16-plus-240:opnai", "has no weights 'opnai'; it has laion400m_e31, laion400m_e32"),
        ("small-vit:nowhere/mine.pt", "checkpoint of small-vit missing: nowhere/mine.pt is not a file"),
        ("small-vit:mine.safetensors", "checkpoint of small-vit missing: mine.safetensors is not a file"),
        ("small-vit:.", "has no weights '.'"),
        ("small-vit:/", "checkpoint of small-vit missing: / is not a file"),
    ],
)
def test_wrong_names(text, message):
    with pytest.raises(BackboneError, match=message):
        parse_backbone(text)


def test_random_weights_are_the_same_every_time_and_leave_the_generator_alone(random_backbone):
    torch.manual_seed(123)
    before = torch.get_rng_state()
    again = load_backbone("small-vit:random")
    assert torch.equal(torch.get_rng_state(), before)
    first, second = random_backbone.model.state_dict(), again.model.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert random_backbone.weights == again.weights == weights_digest(parse_backbone("small-vit:random")) == "random-0"


def test_a_loaded_backbone_is_frozen_and_described(random_backbone):
    assert not random_backbone.model.training
    assert not any(parameter.requires_grad for parameter in random_backbone.model.parameters())
    assert random_backbone.text is random_backbone.model
    assert (random_backbone.image_size, random_backbone.patch_size) == (32, 8)
    assert (random_backbone.mean, random_backbone.std) == (
        open_clip.OPENAI_DATASET_MEAN,
        open_clip.OPENAI_DATASET_STD,
    )
    assert random_backbone.tokenizer.context_length == 32
    assert random_backbone.logit_scale == pytest.approx(2.6592600)
    assert (random_backbone.device.type, random_backbone.dtype) == ("cpu", torch.float32)


def test_precision_converts_every_weight(random_backbone):
    half = load_backbone("small-vit:random", precision="fp16")
    assert half.dtype == torch.float16
    assert {value.dtype for value in half.model.parameters()} == {torch.float16}
    assert half.weights == random_backbone.weights


def test_patch_size_of_a_resnet_is_its_stride():
    assert small_models.small_backbone("small-resnet").patch_size == 32


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "wrap"), [("mine.safetensors", None), ("mine.pt", None), ("wrapped.pt", "state_dict")]
)
def test_checkpoint_files(tmp_path, file, wrap):
    path = weights_file(tmp_path / file, seed=1, wrap=wrap)
    loaded = load_backbone(f"small-vit:{path}")
    images = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    expected = encode_images(small_models.small_model("small-vit", 1).visual, images, local=("vv",))
    found = encode_images(loaded.model.visual, images, local=("vv",))
    torch.testing.assert_close(found.local["vv"], expected.local["vv"], rtol=0, atol=0)
    tokens = loaded.tokenizer(["a bottle"])
    reference = small_models.small_model("small-vit", 1).encode_text(tokens)
    torch.testing.assert_close(loaded.model.encode_text(tokens), reference, rtol=0, atol=0)
    assert loaded.logit_scale == pytest.approx(2.9957323)  # ln 20, from the file


def test_digest_is_of_the_files_bytes(tmp_path):
    first, copy = (weights_file(tmp_path / name, seed=1) for name in ("first.safetensors", "copy.safetensors"))
    other = weights_file(tmp_path / "other.safetensors", seed=2)
    digests = [weights_digest(parse_backbone(f"small-vit:{path}")) for path in (first, copy, other)]
    assert digests[0] == digests[1] != digests[2]
    assert load_backbone(f"small-vit:{first}").weights == digests[0]


class Exploit:
    """Unpickles by calling a function of its choice."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path):
    path, trace = tmp_path / "evil.pt", tmp_path / "trace"
    torch.save({"visual.proj": Exploit(trace)}, path)
    with pytest.raises(
        BackboneError,
        match=r"evil.pt holds Python objects beside weights \(.*open\).* alone with torch\.save",
    ):
        load_backbone(f"small-vit:{path}")
    path.write_bytes(pickle.dumps(Exploit(trace)))
    with pytest.raises(BackboneError, match=r"evil.pt is a pickle that torch\.save did not write"):
        load_backbone(f"small-vit:{path}")
    assert not trace.exists()


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path):
    for name in ("noise.safetensors", "noise.pt"):
        path = tmp_path / name
        path.write_bytes(b"no weights at all")
        with pytest.raises(BackboneError, match=rf"checkpoint .*{name} must be "):
            load_backbone(f"small-vit:{path}")


def test_weights_of_another_architecture_are_refused(tmp_path):
    path = weights_file(tmp_path / "resnet.safetensors", architecture="small-resnet")
    with pytest.raises(BackboneError, match=r"must hold the weights of small-vit, but lacks \d+ weights \("):
        load_backbone(f"small-vit:{path}")


def test_an_incomplete_checkpoint_is_refused(tmp_path):
    path = weights_file(tmp_path / "part.safetensors")
    state = safetensors.torch.load_file(path)
    del state["visual.transformer.resblocks.1.attn.in_proj_weight"]
    safetensors.torch.save_file(state, path)
    with pytest.raises(BackboneError, match=r"lacks 1 weight \(visual.*resblocks\.1\.attn\.in_proj_weight\) of \d+"):
        load_backbone(f"small-vit:{path}")


def test_weights_that_cannot_be_fetched(monkeypatch):
    def offline(*_args, **_kwargs):
        raise ConnectionError("no route to host\nand a long story")

    monkeypatch.setattr(open_clip, "download_pretrained", offline)
    message = (
        r"weights laion400m_e32 of ViT-B-16-plus-240 are not on this machine and could not be fetched "
        r"\(ConnectionError: no route to host\)\. Download "
        r"https://github.com/.*e32-699c4b84.pt on a connected machine, "
        r"copy the file here and pass ViT-B-16-plus-240:/path/to/checkpoint, or use .* tiny"
    )
    name = parse_backbone("ViT-B-16-plus-240:laion400m_e32")
    with pytest.raises(BackboneError, match=message):
        weights_digest(name)
    with pytest.raises(BackboneError, match=message):
        load_backbone(str(name))


def test_fetching_silences_other_loggers_only_meanwhile(monkeypatch):
    levels = []
    monkeypatch.setattr(open_clip, "get_pretrained_cfg", lambda *_: {})

    def failing(_config):
        levels.append(logging.getLogger("huggingface_hub").level)
        raise OSError

    monkeypatch.setattr(open_clip, "download_pretrained", failing)
    monkeypatch.setattr(logging.getLogger("huggingface_hub"), "level", logging.WARNING)
    with pytest.raises(BackboneError, match=r"could not be fetched \(OSError: no reason given\)"):
        weights_digest(BackboneName(architecture="ViT-B-16", source="openai"))
    assert levels == [logging.CRITICAL]
    assert logging.getLogger("huggingface_hub").level == logging.WARNING


@pytest.mark.parametrize(
    ("name", "layers", "blocks", "resnet"),
    [
        ("tiny", (2, 3), 5, False),
        ("ViT-B-16-plus-240", (3, 8), 12, False),
        ("ViT-B-32", (3, 8), 12, False),
        ("ViT-L-14", (6, 16), 24, False),
        ("ViT-H-14", (8, 22), 32, False),
        ("RN101", (2, 3), 4, True),
        ("small-vit", (1, 2), 3, False),
        ("small-resnet", (2, 3), 4, True),
    ],
)
def test_default_memory_layers(name, layers, blocks, resnet):
    parsed = BackboneName(architecture=name, source="random")
    assert default_memory_layers(parsed) == layers
    assert available_blocks(parsed) == blocks
    assert is_transformer(parsed) != resnet


@pytest.mark.parametrize(
    ("name", "blocks", "depth"),
    [("tiny", 3, 3), ("ViT-B-16-plus-240", 12, 9), ("ViT-L-14", 12, 9), ("ViT-H-14", 24, 18), ("small-vit", 2, 2)],
)
def test_blocks_with_prompts_are_those_of_the_shallower_tower(name, blocks, depth):
    parsed = BackboneName(architecture=name, source="random")
    assert prompt_blocks(parsed) == blocks
    assert default_prompt_depth(parsed) == depth


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("small-bidirectional", "small-bidirectional:random must have a causal text tower without class token"),
        ("small-class-token", "small-class-token:random must have a causal text tower without class token"),
        (
            "small-convolutional",
            "must be open_clip's own ViT or ResNet, but .* has test_convnext of timm",
        ),
    ],
)
def test_unsupported_towers_are_refused(name, message):
    with pytest.raises(ValueError, match=message):
        load_backbone(f"{name}:random")


def test_other_tokenizers_are_refused(monkeypatch):
    load_tokenizer.cache_clear()
    monkeypatch.setattr(open_clip, "get_tokenizer", lambda _name: object())
    with pytest.raises(BackboneError, match="small-vit:random needs CLIP's own tokenizer, but has object"):
        load_backbone("small-vit:random")


def test_a_text_tower_of_its_own_is_found():
    custom = load_backbone("small-custom-text:random")
    assert custom.text is custom.model.text
    assert custom.text.token_embedding.weight.shape == (49408, 32)


def test_tiny_loads_its_own_weights():
    tiny = load_backbone("tiny")
    assert str(tiny.name) == "tiny"
    assert tiny.weights == weights_digest(tiny.name)
    assert (tiny.image_size, tiny.patch_size) == (96, 8)
    assert not any(parameter.requires_grad for parameter in tiny.model.parameters())


def test_weights_are_here_when_no_network_is_needed(monkeypatch, tmp_path):
    cached = {}
    monkeypatch.setattr(
        "promptad.backbones.weights_files.try_to_load_from_cache", lambda model, name: cached.get((model, name))
    )
    monkeypatch.setattr("pathlib.Path.home", lambda: tmp_path)
    assert weights_are_here(parse_backbone("tiny"))
    assert weights_are_here(parse_backbone("RN101:random"))
    name = parse_backbone("RN101:openai")
    assert not weights_are_here(name)
    cached["timm/resnet101_clip.openai", "open_clip_model.safetensors"] = "/somewhere"
    assert weights_are_here(name)
    cached.clear()
    (tmp_path / ".cache" / "clip").mkdir(parents=True)
    (tmp_path / ".cache" / "clip" / "RN101.pt").touch()
    assert weights_are_here(name)
