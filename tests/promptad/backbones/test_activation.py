"""The activation that runs is the one that the weights were trained with, or that the user says they were."""

import open_clip
import pytest
import safetensors.torch
import torch
from helpers.published_weights import TWIN, archive_file, openai_address, publish, release_address, weights_file
from helpers.small_models import image_files, small_model
from open_clip.transformer import QuickGELU
from torch import nn

from promptad.backbones.backbone import load_backbone
from promptad.backbones.backbone_names import BackboneError, activation_of, parse_backbone
from promptad.configs.promptad_config import PromptADConfig
from promptad.detector import Detector, DetectorError
from promptad.features.cache import FeatureCache
from promptad.features.extraction import extract_features, file_inputs
from promptad.images.preparation import Preprocessing
from study.planning.arm_backbones import PlannedBackbone, planned_backbones

QUICK = f"{TWIN}-quickgelu"
KINDS = {"gelu": nn.GELU, "quick_gelu": QuickGELU}


def modules_of(backbone):
    """The types of activation in the text blocks and in the image blocks."""
    towers = backbone.text.transformer, backbone.model.visual.transformer
    return [{type(block.mlp.gelu) for block in tower.resblocks} for tower in towers]


def fetching(monkeypatch, path):
    monkeypatch.setattr(open_clip, "download_pretrained", lambda _place: str(path))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "tag", "activation"),
    [(TWIN, "quick", "quick_gelu"), (QUICK, "quick", "quick_gelu"), (TWIN, "plain", "gelu")],
)
def test_a_tag_runs_what_its_weights_were_trained_with(monkeypatch, tmp_path, architecture, tag, activation):
    mean = (0.1, 0.2, 0.3)
    publish(monkeypatch, {"quick": {"quick_gelu": True, "mean": mean}, "plain": {"mean": mean}})
    fetching(monkeypatch, weights_file(tmp_path / "fetched.pt"))
    backbone = load_backbone(f"{architecture}:{tag}")
    assert modules_of(backbone) == [{KINDS[activation]}] * 2
    assert backbone.activation == activation
    assert backbone.mean == mean
    expected = small_model(QUICK if activation == "quick_gelu" else TWIN, 1)
    tokens, image = backbone.tokenizer(["a bottle"]), torch.randn(1, 3, 32, 32, generator=torch.Generator())
    torch.testing.assert_close(backbone.model.encode_text(tokens), expected.encode_text(tokens), rtol=0, atol=0)
    torch.testing.assert_close(backbone.model.encode_image(image), expected.encode_image(image), rtol=0, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("text", ["tiny", "small-vit:random", f"{QUICK}:random", "small-resnet:random"])
def test_the_planned_activation_is_the_one_that_is_loaded(text):
    backbone = load_backbone(text)
    assert backbone.activation == activation_of(backbone.name) is not None


def test_a_cnn_has_none():
    assert load_backbone("timm/test_resnet:random").activation is None


@pytest.mark.slow
@pytest.mark.parametrize("file", ["mine.pt", "mine.safetensors"])
def test_a_user_says_what_a_checkpoint_was_trained_with(tmp_path, file):
    path = tmp_path / file
    if path.suffix == ".pt":
        weights_file(path)
    else:
        safetensors.torch.save_file(small_model(TWIN, 1).state_dict(), path)
    for text, activation in ((f"{TWIN}:gelu:{path}", "gelu"), (f"{TWIN}:quick_gelu:{path}", "quick_gelu")):
        name = parse_backbone(text)
        assert (str(name), name.source, name.label) == (text, str(path), file)
        assert modules_of(load_backbone(text)) == [{KINDS[activation]}] * 2
    by_name = load_backbone(f"{QUICK}:{path}")
    assert modules_of(by_name) == [{QuickGELU}] * 2
    assert parse_backbone(f"{QUICK}:quick_gelu:{path}").said == "quick_gelu"


def test_where_there_is_one_kind_nothing_needs_to_be_said(tmp_path):
    path = weights_file(tmp_path / "mine.pt", "small-vit")
    assert modules_of(load_backbone(f"small-vit:{path}")) == [{nn.GELU}] * 2
    assert modules_of(load_backbone(f"small-vit:quick_gelu:{path}")) == [{QuickGELU}] * 2


def test_a_checkpoint_that_does_not_tell_is_refused_with_what_to_write(tmp_path):
    path = weights_file(tmp_path / "mine.pt")
    with pytest.raises(BackboneError) as caught:
        parse_backbone(f"{TWIN}:{path}")
    assert f"write {TWIN}:gelu:{path} or {TWIN}:quick_gelu:{path} (OpenAI's" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_what_is_said_must_be_true(monkeypatch, tmp_path):
    path, other = weights_file(tmp_path / "mine.pt"), weights_file(tmp_path / "other.pt", seed=2)
    tags = {"openai": {"url": openai_address(path), "quick_gelu": True}, "laion": {"url": release_address(other)}}
    publish(monkeypatch, tags)
    message = f"holds the weights openai of {TWIN}, trained with quick_gelu, but gelu is said: write {TWIN}:{path}"
    with pytest.raises(BackboneError, match=message):
        parse_backbone(f"{TWIN}:gelu:{path}")
    message = f"holds the weights laion of {TWIN}, trained with gelu, but quick_gelu is said: write {TWIN}:{other}"
    with pytest.raises(BackboneError, match=message):
        parse_backbone(f"{QUICK}:{other}")
    with pytest.raises(BackboneError, match=f"{QUICK} has quick_gelu, but gelu is said too: write {TWIN}:gelu:{path}"):
        parse_backbone(f"{QUICK}:gelu:{path}")
    for text in (f"{TWIN}:{path}", f"{TWIN}:quick_gelu:{path}", f"{QUICK}:{path}"):
        assert modules_of(load_backbone(text)) == [{QuickGELU}] * 2


@pytest.mark.parametrize(
    ("text", "correct"),
    [
        ("RN101:quick_gelu:openai", "RN101:openai"),
        ("RN101:gelu:random", "RN101:random"),
        ("timm/wide_resnet50_2:gelu:tv_in1k", "timm/wide_resnet50_2:tv_in1k"),
    ],
)
def test_an_activation_is_said_of_files_alone(text, correct):
    with pytest.raises(BackboneError, match=f"of a CLIP's checkpoint file alone, but got '{text}': write {correct}"):
        parse_backbone(text)


def test_errors_name_files_as_they_must_be_written(monkeypatch):
    with pytest.raises(BackboneError, match="RN101:gelu:/path/to/checkpoint or RN101:quick_gelu:/path/to/checkpoint"):
        parse_backbone("RN101")

    def offline(_place):
        raise ConnectionError

    monkeypatch.setattr(open_clip, "download_pretrained", offline)
    with pytest.raises(BackboneError, match="pass RN101:quick_gelu:/path/to/checkpoint, or use"):
        load_backbone("RN101:openai")


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
class TestArchives:
    """TorchScript archives: programs, of which OpenAI's alone are opened."""

    def test_openais_is_loaded_in_single_precision_with_quick_gelu(self, monkeypatch, tmp_path):
        path = archive_file(tmp_path / "any.pt")
        publish(monkeypatch, {"openai": {"url": openai_address(path), "quick_gelu": True}})
        backbone = load_backbone(f"{TWIN}:{path}")
        assert modules_of(backbone) == [{QuickGELU}] * 2
        expected = small_model(QUICK, 1).state_dict()
        for name, value in backbone.model.state_dict().items():
            torch.testing.assert_close(value, expected[name].half().float(), rtol=0, atol=0)
        fetching(monkeypatch, path)
        assert load_backbone(f"{TWIN}:openai").weights == backbone.weights

    def test_another_one_is_refused_in_one_line_and_not_opened(self, monkeypatch, tmp_path):
        path = archive_file(tmp_path / "any.pt")
        monkeypatch.setattr(torch.jit, "load", None)
        for text in (f"{TWIN}:{path}", f"{TWIN}:quick_gelu:{path}", f"small-vit:{path}", f"timm/test_resnet:{path}"):
            with pytest.raises(
                BackboneError, match=r"any.pt is a TorchScript archive, a program.*torch\.save"
            ) as caught:
                parse_backbone(text)
            assert "\n" not in str(caught.value)


def test_features_of_one_file_are_kept_apart_by_activation(tmp_path):
    path, cache = weights_file(tmp_path / "mine.pt"), FeatureCache(tmp_path / "cache")
    preprocessing = Preprocessing(size=32)
    inputs = file_inputs(image_files(tmp_path / "images", [1]), preprocessing)
    found = {}
    for activation in KINDS:
        backbone = load_backbone(f"{TWIN}:{activation}:{path}")
        features = extract_features(backbone, inputs, preprocessing=preprocessing, views=["global"], cache=cache)
        alone = extract_features(backbone, inputs, preprocessing=preprocessing, views=["global"])
        found[activation] = features.stack("global")
        assert torch.equal(found[activation], alone.stack("global"))
    assert not torch.equal(found["gelu"], found["quick_gelu"])


@pytest.mark.slow
def test_a_detector_is_not_loaded_onto_another_activation(tmp_path):
    path = weights_file(tmp_path / "mine.pt")
    config = PromptADConfig(epochs=1, map_size=32)
    quick = load_backbone(f"{TWIN}:quick_gelu:{path}")
    detector = Detector.fit(quick, image_files(tmp_path / "images", [1]), category="bottle", config=config)
    detector.save(tmp_path / "bottle.safetensors")
    assert Detector.load(tmp_path / "bottle.safetensors").backbone.activation == "quick_gelu"
    plain = load_backbone(f"{TWIN}:gelu:{path}")
    with pytest.raises(DetectorError, match="with quick_gelu, but the backbone has gelu: fit it again"):
        Detector.load(tmp_path / "bottle.safetensors", backbone=plain)


def test_a_detector_from_before_it_was_recorded_had_the_architectures_own(tmp_path):
    path = weights_file(tmp_path / "mine.pt")
    plain = load_backbone(f"{TWIN}:gelu:{path}")
    config = PromptADConfig(epochs=1, map_size=32)
    Detector.fit(plain, image_files(tmp_path / "images", [1]), category="bottle", config=config).save(tmp_path / "new")
    with safetensors.safe_open(tmp_path / "new", framework="pt") as file:
        metadata = {name: value for name, value in file.metadata().items() if name not in ("activation", "digest")}
    safetensors.torch.save_file(safetensors.torch.load_file(tmp_path / "new"), tmp_path / "old", metadata=metadata)
    assert Detector.load(tmp_path / "old", backbone=plain).backbone is plain
    with pytest.raises(DetectorError, match="with gelu, but the backbone has quick_gelu: fit it again"):
        Detector.load(tmp_path / "old", backbone=load_backbone(f"{TWIN}:quick_gelu:{path}"))


def test_a_planned_backbone_says_which_weights_it_is(monkeypatch, tmp_path):
    known, unknown = weights_file(tmp_path / "known.pt"), weights_file(tmp_path / "random_known.pt", seed=2)
    publish(monkeypatch, {"openai": {"url": openai_address(known), "quick_gelu": True}})
    fetching(monkeypatch, known)
    cases = {
        f"{TWIN}:openai": ("openai", "quick_gelu"),
        f"{TWIN}:{known}": ("openai", "quick_gelu"),
        f"{TWIN}:gelu:{unknown}": (None, "gelu"),
        f"{TWIN}:random": (None, "gelu"),
        "tiny": (None, "gelu"),
        "timm/test_resnet:random": (None, None),
    }
    for text, expected in cases.items():
        planned = PlannedBackbone.of(text)
        assert (planned.tag, planned.activation) == expected
        assert planned_backbones([text]) == {planned.name.architecture: planned}
    assert PlannedBackbone.of(f"{TWIN}:{known}").weights == PlannedBackbone.of(f"{TWIN}:openai").weights
