"""Where a checkpoint is: in a directory, in a repository, or nowhere."""

from __future__ import annotations

import fnmatch

import pytest

from clusterlm_jax.extraction import hub
from clusterlm_jax.records import UserError

GPTJ = ["README.md", "config.json", "flax_model.msgpack", "merges.txt", "pytorch_model.bin", "tokenizer.json"]
SHARDED = [
    "config.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
    "model.safetensors.index.json", "pytorch_model-00001-of-00002.bin", "tokenizer.model",
]  # fmt: skip


def test_a_directory_is_itself(tmp_path):
    assert hub.locate(str(tmp_path)) == tmp_path


@pytest.mark.parametrize("name", ["no/such/directory", "nowhere", "/tmp/no such", "../gpt"])
def test_no_such_directory(name):
    with pytest.raises(UserError, match=r"There is no directory .*config\.checkpoint must be"):
        hub.locate(name)


def test_a_file_is_no_directory(tmp_path):
    (tmp_path / "model").write_text("")
    with pytest.raises(UserError, match="There is no directory"):
        hub.locate(str(tmp_path / "model"))


@pytest.mark.parametrize(
    ("files", "weights"),
    [(GPTJ, {"flax_model.msgpack"}), (SHARDED, set(SHARDED[1:3])), (["pytorch_model.bin"], {"pytorch_model.bin"})],
)
def test_one_format_is_downloaded_with_all_that_describes_it(files, weights, monkeypatch, tmp_path):
    """Patterns are matched as the hub does it, by fnmatch."""
    import huggingface_hub

    asked = []

    def snapshot_download(name, allow_patterns):
        asked.append({file for file in files if any(fnmatch.fnmatch(file, pattern) for pattern in allow_patterns)})
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "list_repo_files", lambda name: files)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    assert hub.locate("someone/something") == tmp_path
    assert hub.locate("someone/something", weights=False) == tmp_path
    described = set(files) & {"config.json", "merges.txt", "tokenizer.json", "tokenizer.model", SHARDED[3]}
    assert asked == [described | weights, described]


def test_without_a_network_it_is_one_sentence(monkeypatch, tmp_path):
    import huggingface_hub

    def refuse(name, **_):
        raise ConnectionError("no route to host\nmore of it")

    monkeypatch.setattr(huggingface_hub, "list_repo_files", refuse)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError, match=r"could not be downloaded from Hugging Face \(no route to host\)"):
        hub.locate("someone/something")
