"""Token ids of prompts from the checkpoint's own tokenizer, and every way in which it may not fit."""

from __future__ import annotations

import json
import shutil
import sys

import numpy as np
import pytest

from clusterlm_jax.extraction.tokens import Tokenizer
from clusterlm_jax.records import UserError
from tests.extraction import tiny_tokenizer

TEXTS = ["Translate into French: dog", "What is the plural of mouse", "dog"]


@pytest.fixture
def directory(tmp_path):
    tiny_tokenizer.save(tmp_path, TEXTS)
    return tmp_path


def test_a_prompt_is_bos_and_its_words(directory):
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(directory)
    for text, ids in zip(TEXTS, Tokenizer(directory, True, 100, 100)(TEXTS), strict=True):
        assert ids.dtype == np.int32
        assert theirs.convert_ids_to_tokens(ids.tolist()) == [tiny_tokenizer.BOS, *text.split()]


def test_a_sentencepiece_model_is_read_without_the_converted_fast_tokenizer(tmp_path):
    """As OpenLLaMA needs: its ids are those of sentencepiece itself."""
    import sentencepiece

    sentences = tmp_path / "sentences.txt"
    sentences.write_text("\n".join([*TEXTS, "Give the past tense of the verb write"] * 20))
    prefix = str(tmp_path / "trained")
    sentencepiece.SentencePieceTrainer.train(
        input=str(sentences), model_prefix=prefix, vocab_size=60, model_type="bpe", minloglevel=2
    )
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    shutil.copy(f"{prefix}.model", checkpoint / "tokenizer.model")
    settings = {"tokenizer_class": "LlamaTokenizer", "legacy": True, "bos_token": "<s>"}
    (checkpoint / "tokenizer_config.json").write_text(json.dumps(settings))
    own = sentencepiece.SentencePieceProcessor(model_file=f"{prefix}.model")
    texts = [*TEXTS, "dog  dog", "dog?", "dog "]  # the last three have other ids once converted
    for text, ids in zip(texts, Tokenizer(checkpoint, False, 60, 100)(texts), strict=True):
        assert ids.tolist() == [own.bos_id(), *own.encode(text)]


def test_a_setting_that_is_met_only_when_it_is_used(directory):
    path = directory / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_max_length": "long"}))
    with pytest.raises(UserError, match=r"The tokenizer in .* cannot be used \(.+\)\.$"):
        Tokenizer(directory, True, 100, 100)(TEXTS)


def test_no_beginning_of_sequence(tmp_path):
    tiny_tokenizer.save(tmp_path, TEXTS, bos=None)
    with pytest.raises(UserError, match="has no beginning-of-sequence token"):
        Tokenizer(tmp_path, True, 100, 100)


def test_a_tokenizer_of_another_model(directory):
    with pytest.raises(UserError, match=r"is not this model's: it gives the token \d+, but .* vocabulary has 5\."):
        Tokenizer(directory, True, 5, 100)(TEXTS)


def test_a_prompt_too_long(directory):
    with pytest.raises(UserError, match="longest prompt has 7 tokens, but the model takes 6"):
        Tokenizer(directory, True, 100, 6)(TEXTS)


def test_a_text_of_no_token(directory):
    with pytest.raises(UserError, match="makes no token of ' '"):
        Tokenizer(directory, True, 100, 100)(["dog", " "])


@pytest.mark.parametrize("content", ["", "{", '{"version": "1.0"}', "no tokenizer at all"])
def test_a_damaged_tokenizer_is_one_sentence(directory, content):
    (directory / "tokenizer.json").write_text(content)
    with pytest.raises(UserError, match=r"The tokenizer in .* cannot be read") as told:
        Tokenizer(directory, True, 100, 100)
    assert "\n" not in str(told.value)


def test_no_tokenizer(tmp_path):
    with pytest.raises(UserError, match=r"The tokenizer in .* cannot be read"):
        Tokenizer(tmp_path, True, 100, 100)
    assert "transformers" in sys.modules


@pytest.mark.parametrize("fast", [True, False])
def test_code_of_a_checkpoint_is_never_run(directory, monkeypatch, fast):
    """Nobody is asked whether to: the answer would be yes."""
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(directory / "modules"))
    settings = json.loads((directory / "tokenizer_config.json").read_text())
    settings |= {"tokenizer_class": "Own", "auto_map": {"AutoTokenizer": ["own.Own", None]}}
    (directory / "tokenizer_config.json").write_text(json.dumps(settings))
    (directory / "own.py").write_text(f"open({str(directory / 'ran')!r}, 'w').close()\nclass Own: pass\n")
    with pytest.raises(UserError, match="it needs code of the checkpoint's own, which is never run") as told:
        Tokenizer(directory, fast, 100, 100)
    assert "\n" not in str(told.value)
    assert not (directory / "ran").exists()
