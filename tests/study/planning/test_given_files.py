import os

import pytest

from study.command.arguments import UsageError, shots_list, texts_by_category
from study.planning.given_files import GivenFileError, given_text
from study.planning.promoted import MethodError, read_method

GOOD = '{"part": ["normal/000.png", "größe"]}'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_list_is_read_with_and_without_a_byte_order_mark(encoding, tmp_path):
    path = tmp_path / "support.json"
    path.write_bytes(GOOD.encode(encoding))
    assert texts_by_category("--support", str(path)) == {"part": ("normal/000.png", "größe")}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (GOOD.encode("utf-16"), r"--suffixes file .*texts\.json must be in UTF-8, but line 1 is not"),
        (b'{\n"part": ["br\xfbl\xe9"]}', "must be in UTF-8, but line 2 is not"),
        (b"[" * 100_000, "must be JSON, but line 1 on is nested too deeply"),
        (b'{"a": ["x"],}', "must be JSON, but is not: .*line 1 column"),
        (b'{"a": ["x"], "a": ["y"]}', "must name each key once, but repeats a"),
        (b'{"a": ["x", "y", "x"]}', "must name each text of a category once, but a has 'x' 2 times"),
        (b'{"a": "x"}', "must map categories to lists of texts"),
        (b"[1]", "must map categories to lists of texts"),
        (b'{"a": ' + b"9" * 5000 + b"}", "must be JSON, but is not"),
        (None, "cannot be read: .*No such file"),
    ],
)
def test_what_is_wrong_with_a_list_is_said(content, message, tmp_path):
    path = tmp_path / "texts.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises((UsageError, GivenFileError), match=message):
        texts_by_category("--suffixes", str(path))


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    path = tmp_path / "huge.json"
    path.touch()
    os.truncate(path, 2**40)
    with pytest.raises(GivenFileError, match=r"--support file .*huge\.json must have at most 64 MiB"):
        given_text("--support", str(path))


def test_a_method_in_another_encoding_is_an_error_that_names_it(tmp_path):
    path = tmp_path / "method.json"
    path.write_bytes('{"name": "é"}'.encode("latin-1"))
    with pytest.raises(MethodError, match=r"method file .*method\.json must be in UTF-8, but line 1 is not"):
        read_method(str(path), str(tmp_path))


@pytest.mark.parametrize("text", ["1,1", "full,1,full"])
def test_shots_are_named_once(text):
    with pytest.raises(UsageError, match="must be different numbers"):
        shots_list(text)


def test_a_relative_checkpoint_is_stored_with_its_whole_path(tmp_path, monkeypatch):
    import torch
    from safetensors.torch import save_file

    from study.planning.arm_backbones import absolute_backbone

    save_file({"a": torch.zeros(1)}, tmp_path / "weights.safetensors")
    monkeypatch.chdir(tmp_path)
    for text in ("ViT-S-32-alt:./weights.safetensors", "ViT-S-32-alt:weights.safetensors"):
        name = absolute_backbone(text)
        assert name.partition(":")[0] == "ViT-S-32-alt"
        assert name.endswith(f":{tmp_path}/weights.safetensors")
    assert absolute_backbone("tiny") == "tiny"
