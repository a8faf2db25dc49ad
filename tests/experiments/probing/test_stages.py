"""The probing job, end to end on a tiny random LLaMA: killed and resumed, and every way its input may be unfit."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from clusterlm_jax.data.natural.prompts import NaturalSpec, compose
from clusterlm_jax.records import layer_names
from tests.command_line import ROOT, environment, kill_when, outputs, scores, start_together
from tests.extraction import tiny_tokenizer

pytestmark = pytest.mark.slow
PROMPTS = 16 * 2 * 3
STAGES = "--config.stages=('data', 'extract', 'analyse')"
EXTRACT = "--config.stages=('data', 'extract')"
# Of a layer: 3 labels by scores, 4 null labels by 3, with and without t-SNE; shares of variance of 3 labels, position.
ROWS = (2 * (3 * 8 + 4 * 3) + 4) * (len(layer_names(2)) + 1)  # the layers, and the bags of words
SMALL = {
    "data.wordings_per_task": 2,
    "data.mappings_per_task": 3,
    "extract.shard": 10,
    "extract.batch_tokens": 64,
    "extract.compute_dtype": "float32",
    "eval.tsne_iterations": 250,
    "eval.tsne_perplexity": 3.0,
    "eval.null_draws": 2,
    "eval.kmeans_restarts": 2,
    "eval.workers": 1,
    "report.formats": ("png",),
}


def command(workdir: Path, checkpoint: Path | str, *flags: str) -> list[str]:
    given = {flag.split("=")[0] for flag in flags}
    settings = [f"--config.{key}={value}" for key, value in SMALL.items() if f"--config.{key}" not in given]
    config = [] if "--config" in given else ["--config=configs/probing.py"]
    where = [*config, f"--config.checkpoint={checkpoint}", f"--workdir={workdir}"]
    return [sys.executable, "-m", "clusterlm_jax.main", *where, *settings, *flags]


def run(workdir: Path, checkpoint: Path | str, *flags: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(workdir, checkpoint, *flags),
        cwd=ROOT,
        env=environment() | {"HF_HUB_OFFLINE": "1"} | variables,
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    torch = pytest.importorskip("torch")
    from transformers import LlamaConfig, LlamaForCausalLM

    directory = tmp_path_factory.mktemp("checkpoint") / "open_llama_tiny"
    directory.mkdir()
    vocabulary = tiny_tokenizer.save(directory, compose(NaturalSpec(), seed=0).texts)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.3,
    )
    LlamaForCausalLM(config).save_pretrained(directory)
    return directory


@pytest.fixture(scope="module")
def undisturbed(checkpoint, tmp_path_factory) -> Path:
    workdir = tmp_path_factory.mktemp("undisturbed") / "run"
    result = run(workdir, checkpoint, "--config.eval.keep_hidden=True")
    assert result.returncode == 0, result.stderr
    assert f"The report is at {workdir}/report.html" in result.stdout
    return workdir


def test_the_job_leaves_what_it_should(undisturbed):
    names = {path.name for path in undisturbed.iterdir()}
    assert {"config.json", "env.json", "run.json", "dataset", "hidden", "timings.jsonl", "scores.csv"} <= names
    assert {"embeddings", "figures", "tables", "report.html"} <= names
    assert len(scores(undisturbed)) == 1 + ROWS
    facts = json.loads((undisturbed / "run.json").read_text())
    assert facts["dataset"]["test"] == PROMPTS
    assert (facts["model"]["name"], facts["model"]["architecture"]) == ("open_llama_tiny", "llama")
    assert not list(undisturbed.rglob("*.tmp")) + list(undisturbed.rglob("*.growing"))
    table = (undisturbed / "tables" / "table_1.csv").read_text()
    assert "open_llama_tiny" in table and "LLaMa-13B" in table


def test_the_states_are_those_of_pytorch(checkpoint, undisturbed):
    """The whole way: tokenizer, batches, weights, model, shards. transformers reads prompt after prompt, unpadded."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    model = AutoModelForCausalLM.from_pretrained(checkpoint, attn_implementation="eager").eval()
    blocks: list = []
    for block in model.model.layers:
        block.register_forward_hook(lambda _, __, out: blocks.append(out[0] if isinstance(out, tuple) else out))
    prompts = [json.loads(line) for line in (undisturbed / "dataset/seed=0/prompts.jsonl").read_text().splitlines()]
    place = undisturbed / "hidden" / "main" / "seed=0" / "epoch=0000" / "test"
    shards = sorted(place.iterdir())
    assert len(shards) > 3
    instruction = np.concatenate([np.load(shard / "labels.npz")["instruction"] for shard in shards])
    mapping = np.concatenate([np.load(shard / "labels.npz")["mapping"] for shard in shards])
    wordings = list(dict.fromkeys((prompt["task"], prompt["wording"]) for prompt in prompts))
    pairs = list(dict.fromkeys((prompt["task"], prompt["input"], prompt["output"]) for prompt in prompts))
    layers = {name: np.concatenate([np.load(shard / f"{name}.npy") for shard in shards]) for name in layer_names(2)}
    for row in range(0, PROMPTS, 7):
        text = f"{wordings[instruction[row]][1]} {pairs[mapping[row]][1]}"
        ids = torch.tensor([[tokenizer.bos_token_id, *tokenizer(text, add_special_tokens=False)["input_ids"]]])
        blocks.clear()
        with torch.no_grad():
            normed = model.model(ids).last_hidden_state
            theirs = [model.model.embed_tokens(ids), *blocks, normed]
        for name, states in zip(layer_names(2), theirs, strict=True):
            np.testing.assert_allclose(layers[name][row], states[0, -1].numpy(), atol=5e-5, rtol=0, err_msg=name)


def test_two_processes_read_as_one(checkpoint, undisturbed, tmp_path):
    """Each has a half of the model."""
    told = outputs(start_together(command(tmp_path / "run", checkpoint, EXTRACT), devices=1))
    assert "on 2 x cpu" in told[0] and "cpu" not in told[1]
    files = {path.relative_to(undisturbed) for path in (undisturbed / "hidden/main").rglob("*.npy")}
    assert files == {path.relative_to(tmp_path / "run") for path in (tmp_path / "run" / "hidden").rglob("*.npy")}
    for path in files:
        ours, alone = np.load(tmp_path / "run" / path), np.load(undisturbed / path)
        np.testing.assert_allclose(ours, alone, atol=5e-5, rtol=0)


def test_killed_and_resumed_it_equals_the_undisturbed_run(checkpoint, undisturbed, tmp_path):
    """Killed between two shards, and during the analysis."""
    workdir = tmp_path / "run"
    growing = workdir / "hidden/main/seed=0/epoch=0000/.test.growing"
    given = command(workdir, checkpoint, STAGES, "--config.eval.keep_hidden=True")
    written = {}
    for ready in (
        lambda: growing.is_dir() and len(list(growing.glob("shard=*"))) >= 2,
        lambda: (workdir / "scores.csv").exists() and len(scores(workdir)) < ROWS,
    ):
        kill_when(given, ready)
        now = {path.parts[-2:]: path.stat().st_mtime_ns for path in workdir.rglob("shard=*/*.npy")}
        assert len(now) > len(written)
        assert now.items() >= written.items()  # no shard was read again
        written = now
    result = run(workdir, checkpoint, STAGES, "--config.eval.keep_hidden=True")
    assert result.returncode == 0, result.stderr
    assert scores(workdir) == scores(undisturbed)
    kept = {path.parts[-2:]: path.stat().st_mtime_ns for path in workdir.rglob("shard=*/*.npy")}
    assert kept == written


@pytest.fixture(scope="module")
def one_by_one(checkpoint, tmp_path_factory) -> tuple[Path, Path]:
    """The directory of a run in which each stage is a process of its own, and its checkpoint; no states are kept."""
    place = tmp_path_factory.mktemp("one_by_one")
    there = place / "open_llama_tiny"
    shutil.copytree(checkpoint, there)
    for stage in ("data", "extract", "analyse"):
        result = run(place / "run", there, f"--config.stages=('{stage}',)")
        assert result.returncode == 0, result.stderr
    return place / "run", there


def test_stages_one_by_one_equal_all_at_once(undisturbed, one_by_one):
    workdir, _ = one_by_one
    assert scores(workdir) == scores(undisturbed)


def test_again_is_done_at_once_without_the_checkpoint(one_by_one):
    """Scored states are deleted, and nothing asks for them or for the model again."""
    workdir, there = one_by_one
    assert not list((workdir / "hidden").rglob("*.npy"))
    before = scores(workdir)
    shutil.rmtree(there)
    result = run(workdir, there, STAGES)
    assert result.returncode == 0, result.stderr
    assert scores(workdir) == before


def test_random_weights_need_no_weights(checkpoint, tmp_path):
    there = tmp_path / "described"
    shutil.copytree(checkpoint, there, ignore=shutil.ignore_patterns("*.safetensors"))
    result = run(tmp_path / "run", there, "--config.extract.random_weights=True", "--config.eval.jobs=('raw',)")
    assert result.returncode == 0, result.stderr
    assert json.loads((tmp_path / "run" / "run.json").read_text())["model"]["random_weights"] is True
    assert "random weights" in (tmp_path / "run" / "tables" / "table_1.csv").read_text()


def refused(result: subprocess.CompletedProcess[str], *words: str) -> None:
    assert result.returncode == 2, result.stderr
    sentence = result.stderr.strip().splitlines()[-1]
    assert sentence.startswith("clusterlm_jax: ")
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in sentence, sentence


@pytest.mark.parametrize(
    ("checkpoint", "words"),
    [
        ("", "config.checkpoint is not set"),
        ("/no/such/model", "There is no directory '/no/such/model'"),
        ("someone/model", "could not be downloaded"),
    ],
)
def test_a_checkpoint_is_asked_for_before_anything_is_made(tmp_path, checkpoint, words):
    refused(run(tmp_path / "run", checkpoint), words)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--config.stages=('extract',)"], ["needs what 'data' leaves", "run 'data' first"]),
        (["--config.stages=('data', 'analyse')"], ["needs what 'extract' leaves", "run 'extract' first"]),
        (["--config.eval.jobs=('knn',)"], ["eval.jobs", "allowed: raw, tsne"]),
        (["--config.seeds=(0, 1)"], ["one seed"]),
        (["--config.extract.compute_dtype=int8"], ["allowed: float32, bfloat16"]),
        (["--config.train.epochs=3"], ["no --config.train.epochs"]),
        (["--config=configs/probing.py:gptj_6b,llama_7b"], ["One model at a time"]),
        (["--config.data.mappings_dir=/no/such"], ["/no/such"]),
        (["--config.data.wordings=/no/such.json"], ["/no/such.json"]),
    ],
    ids=lambda value: value[0] if value[0].startswith("--") else "",
)
def test_wrong_settings_are_refused(checkpoint, tmp_path, flags, words):
    refused(run(tmp_path / "run", checkpoint, *flags), *words)
    assert not list(tmp_path.iterdir())


def damaged(checkpoint: Path, tmp_path: Path, name: str, size: int) -> Path:
    there = tmp_path / "damaged"
    shutil.copytree(checkpoint, there)
    os.truncate(there / name, size)
    return there


@pytest.mark.parametrize(
    ("name", "size", "words"),
    [
        ("tokenizer.json", 300, ["tokenizer", "cannot be read"]),
        ("config.json", 10, ["config.json"]),
    ],
)
def test_a_damaged_checkpoint_is_refused(checkpoint, tmp_path, name, size, words):
    refused(run(tmp_path / "run", damaged(checkpoint, tmp_path, name, size), EXTRACT), *words)


def test_a_checkpoint_made_whole_resumes_in_the_same_work_directory(checkpoint, tmp_path):
    there = damaged(checkpoint, tmp_path, "model.safetensors", 2000)
    refused(run(tmp_path / "run", there, EXTRACT), "model.safetensors")
    shutil.copy(checkpoint / "model.safetensors", there)
    result = run(tmp_path / "run", there, EXTRACT)
    assert result.returncode == 0, result.stderr
