"""Tags of open_clip's table: activation, digests and places, without a network."""

import hashlib
import os

import open_clip
import pytest
from helpers.published_weights import TWIN, archive_file, openai_address, publish, release_address, weights_file

from promptad.backbones import known_weights
from promptad.backbones.backbone import weights_digest
from promptad.backbones.backbone_names import BackboneName, activation_of, parse_backbone, tag_of
from promptad.backbones.known_weights import activations, file_digests, hub_has_anothers, is_torchscript, known_tag
from promptad.backbones.weights_files import weights_are_here

PLUS_240 = "ViT-B-16-plus-240"


def supported_tags():
    """Every NAME:TAG whose image tower is open_clip's own, with what the table and the config say of QuickGELU."""
    for architecture, tag in open_clip.list_pretrained():
        config = open_clip.get_model_config(architecture)
        if config is not None and not config["vision_cfg"].get("timm_model_name"):
            trained = bool(open_clip.get_pretrained_cfg(architecture, tag).get("quick_gelu"))
            yield architecture, tag, trained, bool(config.get("quick_gelu"))


def test_every_tag_has_the_activation_that_its_weights_were_trained_with():
    differing = []
    for architecture, tag, trained, configured in supported_tags():
        name = parse_backbone(f"{architecture}:{tag}")
        assert activation_of(name) == ("quick_gelu" if trained else "gelu"), name
        assert tag_of(name) == tag
        differing += [str(name)] if trained != configured else []
    assert len(differing) >= 27
    assert {"RN101:openai", "ViT-L-14:openai", "ViT-B-16:metaclip_400m", "ViT-L-14:dfn2b"} <= set(differing)


@pytest.mark.parametrize(
    ("text", "activation"),
    [
        ("tiny", "gelu"),
        ("RN101:random", "gelu"),
        ("RN101-quickgelu:random", "quick_gelu"),
        ("ViT-L-14:laion400m_e32", "gelu"),
        ("ViT-L-14:openai", "quick_gelu"),
        ("ViT-L-14-quickgelu:openai", "quick_gelu"),
        ("ViT-B-16-plus-240:laion400m_e32", "gelu"),
        ("timm/wide_resnet50_2:tv_in1k", None),
        ("timm/wide_resnet50_2:random", None),
    ],
)
def test_activation_before_weights_are_loaded(text, activation):
    assert activation_of(parse_backbone(text)) == activation


@pytest.mark.parametrize(
    ("architecture", "kinds"),
    [
        ("RN101", {"gelu", "quick_gelu"}),
        ("RN101-quickgelu", {"quick_gelu"}),
        ("ViT-B-16", {"gelu", "quick_gelu"}),
        ("ViT-L-14-worldwide", {"gelu", "quick_gelu"}),
        (PLUS_240, {"gelu"}),
        ("small-vit", {"gelu"}),
        (TWIN, {"gelu", "quick_gelu"}),
    ],
)
def test_activations_of_an_architecture(architecture, kinds):
    if architecture.endswith("worldwide") and open_clip.get_model_config(architecture) is None:
        pytest.skip("this open_clip is older than the architecture")
    assert activations(architecture) == kinds


def test_addresses_of_the_table_hold_digests():
    assert known_weights.published_digests("RN101") == {
        "openai": "8fa8567bab74a42d41c5915025a8e4538c3bdbe8804a470a72f30b0d94fab599",
        "yfcc15m": "3e04b30e",
    }
    assert known_weights.published_digests(PLUS_240) == {"laion400m_e31": "8fb26589", "laion400m_e32": "699c4b84"}
    assert known_weights.published_digests("ViT-H-14") == {}


def test_a_file_is_a_tags_by_its_digest_whatever_it_is_called(monkeypatch, tmp_path):
    first, second, other = (weights_file(tmp_path / f"{seed}.pt", seed=seed) for seed in (1, 2, 3))
    tags = {
        "openai": {"url": openai_address(first), "quick_gelu": True},
        "laion400m_e32": {"url": release_address(second)},
        "laion2b": {"hf_hub": "laion/CLIP/"},
    }
    publish(monkeypatch, tags)
    assert [known_tag(TWIN, path) for path in (first, second, other)] == ["openai", "laion400m_e32", None]
    assert [known_tag(f"{TWIN}-quickgelu", path) for path in (first, second)] == ["openai", "laion400m_e32"]
    assert known_tag("small-vit", first) is None
    renamed = first.rename(tmp_path / "laion400m_e32.pt")
    assert known_tag(TWIN, renamed) == "openai"
    name = parse_backbone(f"{TWIN}:{renamed}")
    assert (tag_of(name), activation_of(name)) == ("openai", "quick_gelu")
    assert tag_of(parse_backbone(f"{TWIN}:gelu:{other}")) is None


def test_a_file_is_read_once_for_both_digests_until_it_changes(monkeypatch, tmp_path):
    path = tmp_path / "some.pt"
    path.write_bytes(b"weights")
    digests = file_digests(path)
    assert digests.sha256 == hashlib.sha256(b"weights").hexdigest()
    assert digests.blake2b == hashlib.blake2b(b"weights", digest_size=16).hexdigest()
    monkeypatch.setattr("promptad.backbones.known_weights.hashlib", None)
    assert file_digests(path) == digests
    monkeypatch.undo()
    path.write_bytes(b"Weights")
    os.utime(path, ns=(0, 0))
    assert file_digests(path).sha256 == hashlib.sha256(b"Weights").hexdigest()


def test_hub_repositories_that_are_called_after_another_tag():
    wrong = {(architecture, tag) for architecture, tag, *_ in supported_tags() if hub_has_anothers(architecture, tag)}
    assert wrong == {(PLUS_240, "laion400m_e32")}


@pytest.mark.parametrize(("tag", "from_hub"), [("laion400m_e31", True), ("laion400m_e32", False)])
def test_a_tag_is_not_fetched_from_another_tags_repository(monkeypatch, tmp_path, tag, from_hub):
    asked = []

    def download(place):
        asked.append(place)
        return str(weights_file(tmp_path / "fetched.pt", "small-vit"))

    monkeypatch.setattr(open_clip, "download_pretrained", download)
    monkeypatch.setattr("promptad.backbones.weights_files.try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr("pathlib.Path.home", lambda: tmp_path)
    assert weights_digest(parse_backbone(f"{PLUS_240}:{tag}")) == file_digests(tmp_path / "fetched.pt").blake2b
    (place,) = asked
    assert bool(place["hf_hub"]) == from_hub
    assert f"vit_b_16_plus_240-{tag}-" in place["url"]


def test_another_tags_file_in_the_cache_does_not_count(monkeypatch, tmp_path):
    repository = "timm/vit_base_patch16_plus_clip_240.laion400m_e31"
    monkeypatch.setattr(
        "promptad.backbones.weights_files.try_to_load_from_cache",
        lambda model, _: "/somewhere" if model == repository else None,
    )
    monkeypatch.setattr("pathlib.Path.home", lambda: tmp_path)
    first, second = (parse_backbone(f"{PLUS_240}:laion400m_{epoch}") for epoch in ("e31", "e32"))
    assert weights_are_here(first)
    assert not weights_are_here(second)
    file = tmp_path / ".cache" / "clip" / "vit_b_16_plus_240-laion400m_e32-699c4b84.pt"
    file.parent.mkdir(parents=True)
    file.touch()
    assert weights_are_here(second)


def test_what_open_clip_itself_keeps_is_used_where_the_hubs_cache_is_empty(monkeypatch, tmp_path):
    asked = []

    def download(place):
        asked.append(bool(place["hf_hub"]))
        return str(weights_file(tmp_path / "fetched.pt", "small-vit"))

    monkeypatch.setattr(open_clip, "download_pretrained", download)
    monkeypatch.setattr("promptad.backbones.weights_files.try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr("pathlib.Path.home", lambda: tmp_path)
    name = BackboneName(architecture="RN101", source="openai")
    weights_digest(name)
    (tmp_path / ".cache" / "clip").mkdir(parents=True)
    (tmp_path / ".cache" / "clip" / "RN101.pt").touch()
    weights_digest(name)
    assert asked == [True, False]


def test_a_repository_of_another_tag_without_another_place_is_no_place(monkeypatch):
    publish(monkeypatch, {"e31": {"hf_hub": "timm/small.e31/"}, "e32": {"hf_hub": "timm/small.e31/"}})
    with pytest.raises(ValueError, match=r"could not be fetched \(LookupError: the hub's repository is another tag's"):
        weights_digest(parse_backbone(f"{TWIN}:e32"))


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
def test_archives_are_told_from_state_dicts(tmp_path):
    assert is_torchscript(archive_file(tmp_path / "archive.pt"))
    assert not is_torchscript(weights_file(tmp_path / "state.pt"))
    (tmp_path / "text.pt").write_text("text")
    assert not is_torchscript(tmp_path / "text.pt")
