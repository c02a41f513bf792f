"""Convolutional networks of timm as backbones: their stages, their weights, and what they cannot be asked for."""

import pytest
import timm
import torch
from helpers.method_groups import group_of, run
from helpers.small_models import pixels
from safetensors.torch import save_file

from promptad.backbones.backbone import load_backbone, weights_digest
from promptad.backbones.backbone_names import BackboneError, available_blocks, default_memory_layers, parse_backbone
from promptad.backbones.towers import UnsupportedTowerError, encode_images
from promptad.backbones.weights_files import weights_are_here
from promptad.features.extraction import ImageInput, extract_features
from promptad.images.preparation import Preprocessing

MEMORY_METHODS = ("spade", "padim", "patchcore", "fastrecon")


@pytest.fixture(scope="module")
def network():
    """A small ResNet of timm with its classifier, weights drawn wide enough that every stage matters."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        made = timm.create_model("test_resnet")
        for value in made.state_dict().values():
            if value.ndim == 4:
                value.normal_(std=(2 / value[0].numel()) ** 0.5)
    return made.eval()


@pytest.fixture
def checkpoint(network, tmp_path):
    """Its weights as the hub has them, classifier included."""
    path = tmp_path / "weights.safetensors"
    save_file(network.state_dict(), path)
    return path


def images(count=2, size=160):
    return torch.randn((count, 3, size, size), generator=torch.Generator().manual_seed(0))


def test_stages_are_those_of_the_network_step_by_step(network, checkpoint):
    backbone = load_backbone(f"timm/test_resnet:{checkpoint}")
    with torch.inference_mode():
        stages = []
        here = network.maxpool(network.act1(network.bn1(network.conv1(images()))))
        for layer in (network.layer1, network.layer2, network.layer3, network.layer4):
            here = layer(here)
            stages.append(here)
        output = encode_images(backbone.model.visual, images(), local=(), blocks=(1, 2, 3, 4), attended=(2,))
        pooled = network.forward_head(here, pre_logits=True)
    for number, stage in enumerate(stages, start=1):
        # Patches in reading order: row by row.
        expected = torch.stack([stage[:, :, y, x] for y in range(stage.shape[2]) for x in range(stage.shape[3])], dim=1)
        torch.testing.assert_close(output.blocks[number], expected)
    assert [block.shape[1] for block in output.blocks.values()] == [40**2, 20**2, 10**2, 5**2]
    torch.testing.assert_close(output.attended[2], output.blocks[2])
    torch.testing.assert_close(output.global_feature, pooled)


@pytest.mark.parametrize("wrap", [lambda state: state, lambda state: {"state_dict": state}])
def test_checkpoints_that_torch_saved_with_or_without_classifier(wrap, network, checkpoint, tmp_path):
    whole = load_backbone(f"timm/test_resnet:{checkpoint}").model.state_dict()
    path = tmp_path / "weights.pth"
    state = {name: value for name, value in network.state_dict().items() if not name.startswith("fc.")}
    torch.save(wrap(state), path)
    headless = load_backbone(f"timm/test_resnet:{path}").model.state_dict()
    assert headless.keys() == whole.keys()
    assert all(torch.equal(headless[name], whole[name]) for name in whole)


def test_a_network_is_prepared_for_as_its_weights_want(checkpoint):
    backbone = load_backbone("timm/test_efficientnet:random")
    assert (backbone.image_size, backbone.mean, backbone.std) == (160, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    other = load_backbone(f"timm/test_resnet:{checkpoint}", precision="fp16")
    assert (other.mean, other.dtype, other.device.type) == ((0.5, 0.5, 0.5), torch.float16, "cpu")
    assert {value.dtype for value in other.model.parameters()} == {torch.float16}
    assert not any(value.requires_grad for value in other.model.parameters())


def test_features_of_an_image_are_normalised_views_of_its_stages(checkpoint):
    backbone = load_backbone(f"timm/test_resnet:{checkpoint}")
    preprocessing = Preprocessing(size=backbone.image_size, mean=backbone.mean, std=backbone.std)
    inputs = [ImageInput(identity="one", pixels=lambda: pixels(1, size=160))]
    found = extract_features(backbone, inputs, preprocessing=preprocessing, views={"global", "block/2", "block/3"})
    assert {view: tuple(found.stack(view).shape) for view in found.views} == {
        "block/2": (1, 400, 48),
        "block/3": (1, 100, 192),
        "global": (1, backbone.model.visual.network.num_features),
    }
    for view in found.views:
        torch.testing.assert_close(found.stack(view).norm(dim=-1), torch.ones(found.stack(view).shape[:-1]))


def test_names(checkpoint):
    name = parse_backbone("timm/wide_resnet50_2:tv_in1k")
    assert (name.architecture, name.network, name.is_cnn, name.is_file) == (
        "timm/wide_resnet50_2",
        "wide_resnet50_2",
        True,
        False,
    )
    assert str(name) == "timm/wide_resnet50_2:tv_in1k"
    assert default_memory_layers(name) == (2, 3)
    assert available_blocks(name) == 4
    drawn = parse_backbone("timm/test_resnet:random")
    assert (drawn.label, weights_digest(drawn), weights_are_here(drawn)) == ("RANDOM weights", "random-0", True)
    assert weights_are_here(parse_backbone(f"timm/test_resnet:{checkpoint}"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("timm/wide_resnet50", r"timm has no model 'wide_resnet50'; near: wide_resnet50_2"),
        ("timm/wide_resnet50_2", r"needs weights: write timm/wide_resnet50_2:TAG with a TAG of .*tv_in1k"),
        ("timm/wide_resnet50_2:tv", r"timm/wide_resnet50_2 has no weights 'tv'; it has .*tv_in1k"),
        ("timm/test_vit:random", r"must have stages with patches of 4, 8, 16, 32 pixels, but test_vit does not"),
        ("timm/test_resnet:/no/such.pth", r"checkpoint of timm/test_resnet missing: /no/such.pth is not a file"),
    ],
)
def test_wrong_names(text, message):
    with pytest.raises(BackboneError, match=message):
        parse_backbone(text)


def test_weights_of_another_network_are_refused(checkpoint):
    message = r"weights.safetensors must hold the weights of timm/test_efficientnet, but lacks 69 weights \("
    with pytest.raises(BackboneError, match=message):
        load_backbone(f"timm/test_efficientnet:{checkpoint}")


def test_the_hub_is_asked_for_weights_that_are_not_here_and_said_to_be_out_of_reach(monkeypatch):
    def offline(repository, file):
        assert (repository, file) == ("timm/wide_resnet50_2.tv_in1k", "model.safetensors")
        raise OSError("no route to host")

    monkeypatch.setattr("promptad.backbones.cnn.hf_hub_download", offline)
    message = (
        r"weights tv_in1k of timm/wide_resnet50_2 are not on this machine and could not be fetched \(OSError: no route "
        r"to host\). Download https://huggingface.co/timm/wide_resnet50_2.tv_in1k/resolve/main/model.safetensors on a "
        r"connected machine, copy the file here and pass timm/wide_resnet50_2:/path/to/checkpoint"
    )
    with pytest.raises(BackboneError, match=message):
        weights_digest(parse_backbone("timm/wide_resnet50_2:tv_in1k"))


def test_what_the_hub_gives_is_loaded(checkpoint, monkeypatch):
    monkeypatch.setattr("promptad.backbones.cnn.hf_hub_download", lambda *_: str(checkpoint))
    fetched = load_backbone("timm/test_resnet:r160_in1k")
    own = load_backbone(f"timm/test_resnet:{checkpoint}")
    assert fetched.weights == own.weights
    assert all(map(torch.equal, fetched.model.state_dict().values(), own.model.state_dict().values()))
    cached = {("timm/test_resnet.r160_in1k", "model.safetensors"): "/somewhere"}
    monkeypatch.setattr("promptad.backbones.cnn.try_to_load_from_cache", lambda *place: cached.get(place))
    assert weights_are_here(parse_backbone("timm/test_resnet:r160_in1k"))
    assert not weights_are_here(parse_backbone("timm/wide_resnet50_2:tv_in1k"))


def test_a_cnn_has_no_texts_and_no_local_features():
    backbone = load_backbone("timm/test_resnet:random")
    for ask in (lambda: backbone.text, lambda: backbone.tokenizer):
        with pytest.raises(BackboneError, match="timm/test_resnet:random is a CNN without text tower"):
            ask()
    with pytest.raises(UnsupportedTowerError, match=r"local features \(vv\) need a backbone with a text tower"):
        encode_images(backbone.model.visual, images(1), local=("vv",))


@pytest.mark.slow
def test_methods_of_memories_run_on_a_cnn(inspection_root):
    group = group_of(inspection_root, *MEMORY_METHODS, backbone="timm/test_resnet:random")
    outcomes = run(group)
    assert {(cell.method, cell.task) for cell in group.cells} == {
        (method, task) for method in MEMORY_METHODS for task in ("image", "pixel")
    }
    assert all(outcome.row.status == "ok" for outcome in outcomes)
    assert {cell.architecture for cell in group.cells} == {"timm/test_resnet"}
