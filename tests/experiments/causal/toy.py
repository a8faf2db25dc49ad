"""A GPT-2 made by hand whose task is one direction, and the work directory of a run that would have trained it.

Word embeddings are unit vectors. The only block averages what a token sees, so the input token's state is the sum of a
vector of its task and one of its input, and the head looks for that sum. All other weights are 0.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import jax
import numpy as np

from clusterlm_jax.data import storage
from clusterlm_jax.experiments.causal.trained import Trained
from clusterlm_jax.models.gpt2 import GPT2, initial_params
from clusterlm_jax.models.spec import GPT2Spec
from clusterlm_jax.records import Dataset, Vocabulary
from clusterlm_jax.training.checkpoints import Checkpoints

TASKS, INPUTS, WIDTH = 4, 3, 16
VOCABULARY = Vocabulary(instruction_symbols=TASKS, task_symbols=INPUTS + TASKS * INPUTS)
SPEC = GPT2Spec(layers=2, heads=1, hidden_dim=WIDTH, positions=16, dropout=0.0, tied=False)
TRAINING, VALIDATION = range(3, 7), range(7, 10)  # how often an instruction repeats the symbol of its task


def toy_dataset() -> Dataset:
    """Instructions of one symbol, repeated; two distributions of each task, of even and of odd length."""
    rows, tokens = [], []
    for task in range(TASKS):
        for length in (*TRAINING, *VALIDATION):
            for x in range(INPUTS):
                pair = VOCABULARY.task_token(x), VOCABULARY.task_token(INPUTS + task * INPUTS + x)
                rows.append((task, 2 * task + length % 2, task * INPUTS + x, 100 * task + length, *pair, -1))
                tokens.append([VOCABULARY.instruction_token(task)] * length + list(pair))
    names = ("task", "distribution", "mapping", "instruction", "input", "output", "original")
    length_N = np.array([len(row) for row in tokens], np.int32)
    withheld_N = length_N - 2 >= min(VALIDATION)
    return Dataset(
        vocabulary=VOCABULARY,
        tokens_NT=np.array([row + [0] * (max(length_N) - len(row)) for row in tokens], np.int32),
        length_N=length_N,
        labels=dict(zip(names, np.array(rows, np.int32).T, strict=True)),
        splits={"training": np.flatnonzero(~withheld_N), "validation": np.flatnonzero(withheld_N)},
        expressions=tuple("ab" * TASKS),
    )


def toy_params() -> dict:
    shapes = jax.eval_shape(partial(initial_params, GPT2(SPEC, VOCABULARY.size, untied=True)), jax.random.key(0))
    params = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), shapes)
    for norm in (params["final_norm"], params["block_0"]["norm_1"]):
        norm["scale"] = np.ones(WIDTH, np.float32)
    unit, words, head = np.eye(WIDTH, dtype=np.float32), params["word_embedding"]["embedding"], params["head"]
    for task in range(TASKS):
        words[VOCABULARY.instruction_token(task)] = unit[task]
    for x in range(INPUTS):
        words[VOCABULARY.task_token(x)] = unit[TASKS + x]
        for task in range(TASKS):
            # A little more for the first tasks: without a task in the state, the first one is answered.
            head[VOCABULARY.task_token(INPUTS + task * INPUTS + x)] = unit[task] + (1.1 - task / 40) * unit[TASKS + x]
    attention = params["block_0"]
    attention["attention_in"]["kernel"][:, 2 * WIDTH :] = unit  # values; queries and keys of 0 average
    attention["attention_out"]["kernel"][:] = unit
    return params


def toy() -> Trained:
    return Trained(GPT2(SPEC, VOCABULARY.size, untied=True), toy_params(), toy_dataset(), seed=0)


def write_run(directory: Path, seeds: tuple[int, ...] = (0, 1), epochs: int = 2, **changes) -> Path:
    """A finished main run with the toy as the best model of every seed."""
    model = {"layers": 2, "heads": 1, "hidden_dim": WIDTH, "positions": 16, "dropout": 0.0, "tied": False}
    config = {"experiment": "emergence", "seeds": seeds, "model": model, "train": {"epochs": 2}} | changes
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(config))
    rows = [
        {"run": "main", "seed": seed, "epoch": epoch, "step": epoch} for epoch in range(epochs + 1) for seed in seeds
    ]
    (directory / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with Checkpoints(directory / "checkpoints" / "main", seeds) as checkpoints:
        for seed in seeds:
            storage.save(toy_dataset(), directory / "dataset" / f"seed={seed}")
            checkpoints.save_best(seed, 1, toy_params())
    return directory
