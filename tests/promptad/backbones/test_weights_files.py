"""Weights that are not on this machine: what is said before they are fetched, and what is not fetched at all."""

import hashlib
import http.server
import threading

import open_clip
import pytest
from helpers.inspection_set import write_inspection_set
from helpers.plans import request
from helpers.published_weights import TWIN, openai_address, publish, release_address, weights_file

from ablations.loading import named_space
from promptad.backbones import weights_files
from promptad.backbones.backbone import weights_digest
from promptad.backbones.backbone_names import BackboneError, BackboneName, parse_backbone
from promptad.backbones.weights_files import checkpoint_path
from study.planning.plan import PlanError, plan_study
from study.search.search_document import SearchRequest
from study.search.search_plan import plan_search

ADDRESS = "https://example.org/weights/any.pt"


@pytest.fixture
def home(monkeypatch, tmp_path):
    """A machine without any weights."""
    monkeypatch.setattr("promptad.backbones.weights_files.try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr("pathlib.Path.home", lambda: tmp_path)
    return tmp_path


def fetching(monkeypatch, path):
    """A stand-in for the download; returns what it was asked for."""
    asked = []

    def download(place):
        asked.append(place)
        return str(path)

    monkeypatch.setattr(open_clip, "download_pretrained", download)
    return asked


def test_place_and_size_are_said_before_the_fetch(monkeypatch, home, capsys):
    path = weights_file(home / "fetched.pt")
    publish(monkeypatch, {"mine": {"url": ADDRESS}})
    sizes = {ADDRESS: 833_123_456}
    monkeypatch.setattr(weights_files, "_size", sizes.get)
    said = []

    def download(_place):
        said.append(capsys.readouterr())
        return str(path)

    monkeypatch.setattr(open_clip, "download_pretrained", download)
    assert checkpoint_path(BackboneName(architecture=TWIN, source="mine")) == path
    assert said[0].err == (
        f"fetching weights mine of small-twin (833 MB) from {ADDRESS} to {home}/.cache/clip: they are not on this "
        "machine yet\n"
    )
    assert said[0].out == ""


def test_of_the_hubs_files_the_one_that_there_is_is_named(monkeypatch, home, capsys):
    fetching(monkeypatch, weights_file(home / "fetched.pt"))
    publish(monkeypatch, {"mine": {"hf_hub": "someone/small/", "url": ADDRESS}})
    monkeypatch.setattr(weights_files, "_size", lambda url: 5_000_000 if url.endswith(".bin") else None)
    checkpoint_path(BackboneName(architecture=TWIN, source="mine"))
    address = "https://huggingface.co/someone/small/resolve/main/open_clip_pytorch_model.bin"
    assert f"(5 MB) from {address} to " in capsys.readouterr().err


def test_a_size_that_is_not_told_is_no_number(monkeypatch, home, capsys):
    fetching(monkeypatch, weights_file(home / "fetched.pt"))
    publish(monkeypatch, {"mine": {"url": ADDRESS}})

    def unreachable(_url):
        raise OSError("no route to host")

    monkeypatch.setattr(weights_files, "_size", unreachable)
    checkpoint_path(BackboneName(architecture=TWIN, source="mine"))
    assert f"(size unknown) from {ADDRESS} to " in capsys.readouterr().err


def test_nothing_is_said_of_weights_that_are_here(monkeypatch, home, capsys):
    path = weights_file(home / "fetched.pt")
    fetching(monkeypatch, path)
    publish(monkeypatch, {"mine": {"url": ADDRESS}})
    (home / ".cache" / "clip").mkdir(parents=True)
    (home / ".cache" / "clip" / "any.pt").touch()
    checkpoint_path(BackboneName(architecture=TWIN, source="mine"))
    checkpoint_path(parse_backbone(f"{TWIN}:gelu:{path}"))
    checkpoint_path(parse_backbone("tiny"))
    assert capsys.readouterr().err == ""


def test_a_server_is_asked_for_the_size(monkeypatch):
    monkeypatch.undo()

    class Server(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response(200)
            self.send_header("Content-Length", "1234")
            self.end_headers()

        def log_message(self, *_args):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        assert weights_files._size(f"http://127.0.0.1:{server.server_port}/any.pt") == 1234
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.usefixtures("home")
def test_without_a_network_the_address_and_the_way_around_are_said(monkeypatch):
    publish(monkeypatch, {"mine": {"url": ADDRESS}})

    def offline(_place):
        raise ConnectionError("name resolution failed\nand more")

    monkeypatch.setattr(open_clip, "download_pretrained", offline)
    message = (
        rf"could not be fetched \(ConnectionError: name resolution failed\)\. Download {ADDRESS} on a connected "
        "machine, copy the file here and pass small-twin:gelu:/path/to/checkpoint, or use the embedded backbone tiny"
    )
    with pytest.raises(BackboneError, match=message):
        weights_digest(BackboneName(architecture=TWIN, source="mine"))


@pytest.fixture
def two_tags(monkeypatch, home):
    """Two tags with known digests, and a hub that may give either's file; the files by tag."""
    files = {"first": weights_file(home / "first.pt", seed=1), "second": weights_file(home / "second.pt", seed=2)}
    table = {
        "first": {"url": openai_address(files["first"]), "hf_hub": "someone/first/"},
        "second": {"url": release_address(files["second"]), "hf_hub": "someone/second/"},
    }
    publish(monkeypatch, table)
    return files


@pytest.mark.slow
@pytest.mark.parametrize(("tag", "other"), [("first", "second"), ("second", "first")])
def test_a_tag_is_not_another_tags_file(monkeypatch, two_tags, tag, other):
    name = BackboneName(architecture=TWIN, source=tag)
    fetching(monkeypatch, two_tags[tag])
    assert weights_digest(name)
    fetching(monkeypatch, two_tags[other])
    message = rf"weights {tag} of small-twin are not what was fetched: .*{other}.pt holds those of {other}\. Delete"
    with pytest.raises(BackboneError, match=message):
        weights_digest(name)


def test_a_file_from_a_tags_own_address_has_its_digest(monkeypatch, two_tags, home):
    folder = home / ".cache" / "clip"
    folder.mkdir(parents=True)
    fetched = weights_file(folder / "any.pt", seed=3)
    fetching(monkeypatch, fetched)
    found = hashlib.sha256(fetched.read_bytes()).hexdigest()[:16]
    expected = hashlib.sha256(two_tags["first"].read_bytes()).hexdigest()[:16]
    message = rf"any.pt has SHA-256 {found}\.\.\., not {expected}\.\.\.\. Delete that file and run again"
    with pytest.raises(BackboneError, match=message):
        weights_digest(BackboneName(architecture=TWIN, source="first"))
    # The hub holds the same weights in another form, whose digest nobody publishes.
    fetching(monkeypatch, weights_file(home / "from_hub.pt", seed=3))
    assert weights_digest(BackboneName(architecture=TWIN, source="first"))


@pytest.fixture
def refused_fetch(monkeypatch):
    """A backbone whose fetch must not be tried."""
    publish(monkeypatch, {"mine": {"url": ADDRESS}})

    def download(_place):
        raise AssertionError("weights are fetched although the data are wrong")

    monkeypatch.setattr(open_clip, "download_pretrained", download)
    return f"{TWIN}:mine"


@pytest.mark.usefixtures("home")
def test_data_are_checked_before_weights_are_fetched(tmp_path, refused_fetch):
    root = write_inspection_set(tmp_path / "data")
    (root / "disc" / "train" / "good" / "000.png").write_bytes(b"no image")
    for wrong, message in (({}, "000.png"), ({"skip_bad": True, "shots": (50,)}, "but got 50")):
        with pytest.raises(PlanError, match=message):
            plan_study(request(root, backbone=refused_fetch, **wrong))
        with pytest.raises(PlanError, match=message):
            plan_search(search(request(root, backbone=refused_fetch, ablations=(), **wrong)))
    with pytest.raises(BackboneError, match="could not be fetched"):
        plan_study(request(root, backbone=refused_fetch, skip_bad=True))


def search(study):
    return SearchRequest(study=study, space=named_space("paper"), objective="synthetic", sampler="tpe", trials=1)


def test_weights_that_are_here_are_checked_before_data_are_read(tmp_path, monkeypatch):
    path = tmp_path / "mine.pt"
    path.write_text("no weights", encoding="utf-8")
    monkeypatch.setattr("study.planning.plan.open_categories", None)
    with pytest.raises(BackboneError, match=r"must be safetensors or what torch\.save writes, but is neither"):
        plan_study(request(tmp_path, backbone=f"small-vit:{path}"))
