import math

import numpy as np
import open_clip
import pytest
import safetensors.torch
import torch
import torch.nn.functional as F

from promptad.backbones.towers import encode_images
from promptad.tiny.model import WEIGHTS, build_model, known_words, load_compact, load_tiny, save_tiny, tiny_tokenizer
from promptad.tiny.render.benchmark import CATEGORIES, defective_image, good_image
from promptad.tiny.render.families import BENCHMARK
from promptad.tiny.training import captions
from promptad.tiny.training.evaluate import Probe, probe_scores
from promptad.tiny.training.train import CompactText


@pytest.fixture(scope="module")
def compact():
    tokenizer = tiny_tokenizer()
    token_ids = known_words(tokenizer, list(captions.all_words()))
    return build_model(vocabulary_size=len(token_ids) + 1, seed=3).eval(), token_ids, tokenizer


@pytest.fixture(scope="module")
def trained():
    return load_tiny()


def test_build_model_is_fixed_by_its_seed_and_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = build_model(vocabulary_size=8)
    torch.testing.assert_close(torch.rand(3), expected)
    again, other = build_model(vocabulary_size=8), build_model(vocabulary_size=8, seed=1)
    torch.testing.assert_close(first.visual.proj, again.visual.proj, rtol=0, atol=0)
    assert not torch.equal(first.visual.proj, other.visual.proj)
    assert isinstance(first, open_clip.CLIP)
    assert first.visual.grid_size == (12, 12)
    assert open_clip.model.get_model_preprocess_cfg(first)["mean"] == open_clip.OPENAI_DATASET_MEAN
    assert math.isclose(first.logit_scale.exp().item(), 100.0, rel_tol=1e-5)


@pytest.mark.slow
def test_saved_weights_load_into_the_full_vocabulary_and_read_the_same(compact, tmp_path):
    model, token_ids, tokenizer = compact
    save_tiny(model, token_ids, tmp_path / "w.safetensors")
    loaded, _ = load_tiny(tmp_path / "w.safetensors")
    texts = ["a photo of a washer.", "bearing with a crack", "flawless carbon fibre plate"]
    expected = CompactText(model, tokenizer, token_ids).encode(texts, torch.Generator())
    found = loaded.encode_text(tokenizer(texts), normalize=True)
    torch.testing.assert_close(found, expected, atol=2e-3, rtol=0)
    images = torch.randn(2, 3, 96, 96)
    torch.testing.assert_close(loaded.encode_image(images), model.encode_image(images), atol=2e-2, rtol=0)
    assert not list(tmp_path.glob("*.partial"))


def test_weights_that_do_not_fit_are_refused(compact, tmp_path):
    model, token_ids, _ = compact
    with pytest.raises(ValueError, match=r"must have \d+ rows"):
        save_tiny(model, token_ids[:-1], tmp_path / "w.safetensors")
    with pytest.raises(FileNotFoundError, match=r"run python -m promptad\.tiny\.train"):
        load_tiny(tmp_path / "none.safetensors")
    save_tiny(model, token_ids, tmp_path / "w.safetensors")
    tensors = safetensors.torch.load_file(tmp_path / "w.safetensors")
    del tensors["visual.proj"]
    safetensors.torch.save_file(tensors, tmp_path / "w.safetensors")
    with pytest.raises(RuntimeError, match=r"visual\.proj"):
        load_tiny(tmp_path / "w.safetensors")


def test_embedded_weights_are_small_finite_and_in_eval_mode(trained):
    model, tokenizer = trained
    assert WEIGHTS.stat().st_size < 4_000_000
    assert not model.training
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert all(parameter.isfinite().all() for parameter in model.parameters())
    with torch.no_grad():
        output = encode_images(model.visual, torch.randn(2, 3, 96, 96), local=("vv",), blocks=(2, 3))
        text = model.encode_text(tokenizer(["damaged gear", "gear"]))
    assert output.global_feature.shape == (2, 128)
    assert output.local["vv"].shape == (2, 144, 128)
    for tensor in (output.global_feature, output.local["vv"], output.blocks[2], output.blocks[3], text):
        assert tensor.isfinite().all()
    # at a logit scale of 100 this is a difference of at least one logit
    assert F.cosine_similarity(text[0], text[1], dim=0) < 0.99


@pytest.mark.slow
def test_embedded_weights_locate_a_cut_in_an_unseen_texture(trained):
    leather = BENCHMARK[0]
    damaged = [defective_image(leather, 0, "cut", number) for number in range(2)]
    normal = [good_image(leather, 0, 1, number) for number in range(2)]
    masks = np.stack([np.zeros((192, 192), dtype=np.bool_)] * 2 + [mask for _, mask in damaged])
    test = np.stack([*normal, *(image for image, _ in damaged)])
    probe = Probe(name="leather", support=good_image(leather, 0, 0, 0)[None], test=test, masks=masks)
    scores = probe_scores(*trained, probe, augment=False)
    assert scores["prompt"][1] > 0.9
    assert scores["vision"] > (0.9, 0.9)


def test_words_of_prompts_are_known_and_unseen_names_are_zero(trained):
    model, tokenizer = trained
    table = model.token_embedding.weight
    assert table.shape == (49408, 128)
    words = (
        "damaged broken with flaw defect damage hole color stain metal contamination thread residue cut crack print "
        "fold glue poke bent wire missing part scratch faulty imprint breakage abnormal imperfect blemished flawed "
        "flawless perfect normal unblemished without a photo of the ."
    )
    known = tokenizer.encode(words)
    assert (table[known].abs().amax(dim=1) > 0).all()
    unseen = [tokenizer.encode(name) for name in (*CATEGORIES, captions.UNNAMED)]
    assert all(len(ids) == 1 for ids in unseen)
    assert (table[torch.tensor(unseen).flatten()] == 0).all()


@pytest.mark.slow
def test_captions_use_known_words_only_and_say_what_they_should():
    tokenizer = tiny_tokenizer()
    known = set(known_words(tokenizer, list(captions.all_words())).tolist())
    known.update(tokenizer.encode(captions.UNNAMED))
    rng = np.random.default_rng(0)
    for _ in range(300):
        texts = (
            captions.normal_caption(rng, "hex nut"),
            captions.anomalous_caption(rng, "hex nut"),
            captions.kind_caption(rng, "hex nut", str(rng.choice(list(captions.TRAINING_DEFECTS)))),
        )
        assert all("hex nut" in text for text in texts)
        assert all(set(tokenizer.encode(text)) <= known for text in texts)
        assert len(set(texts)) == 3
    names = [captions.draw_name(rng, "hex nut") for _ in range(200)]
    assert {name for name, generic in names if not generic} == {"hex nut"}
    assert {name for name, generic in names if generic} == set(captions.GENERIC_NAMES)


def test_training_can_go_on_from_saved_weights_of_the_same_vocabulary(compact, tmp_path):
    model, token_ids, _ = compact
    save_tiny(model, token_ids, tmp_path / "w.safetensors")
    again = load_compact(tmp_path / "w.safetensors", token_ids)
    rows = again.token_embedding.weight
    torch.testing.assert_close(rows[1:], model.token_embedding.weight[1:], atol=1e-3, rtol=0)
    assert (rows[0] == 0).all()
    with pytest.raises(ValueError, match="train anew"):
        load_compact(tmp_path / "w.safetensors", token_ids[1:])
