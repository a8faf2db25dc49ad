"""Seconds an epoch of training takes: transformers' GPT-2 in PyTorch in the usual loop, and ours.

    .venv/bin/python -m benchmarks.training [WIDTH] [float32|bfloat16] [STEPS]

All sides train the same model (6 blocks) on the paper's instances, with dropout, AdamW and clipped gradients; only how
they place the instances in a batch differs. PyTorch's batches are filled up to their longest instance, and drawn at
random (padded) or among instances of like length (bucketed). Ours are padded, packed into rows, and packed with the
symbols of an instruction shared by its instances.

`STEPS` optimiser steps of each side are timed and taken for an epoch's; the bucketed ones are spread over all lengths.
*Useful* floating-point operations are those of a matrix product for a real token, counted by `useful`; the share of the
ceiling compares them with what a large matrix product reaches on this machine.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import numpy as np

from benchmarks import command_line, measuring
from benchmarks.command_line import whole
from clusterlm_jax.data.batching import TrainingBatches, lay_out
from clusterlm_jax.data.spec import DataSpec
from clusterlm_jax.data.synthetic import synthesise
from clusterlm_jax.models.gpt2 import GPT2, attention_mask
from clusterlm_jax.models.spec import COMPUTE_DTYPES, GPT2Spec
from clusterlm_jax.records import Batch, Dataset
from clusterlm_jax.training.spec import TrainSpec
from clusterlm_jax.training.state import course, initial_state
from clusterlm_jax.training.steps import train_steps

BATCH = 64
TORCH = {"PyTorch, padded": False, "PyTorch, bucketed": True}  # name -> whether instances of like length come together
OURS = ("padded", "packed", "instructions shared")


def data() -> Dataset:
    return synthesise(DataSpec(), seed=0)


class Epoch(NamedTuple):
    """What an epoch of a side holds.

    Attributes:
      instances: how many of them a step trains on.
      tokens: real ones of the whole epoch.
      pairs: of a token with one it attends to, itself included.
      padding: the share of the places in its rows that are empty.
    """

    instances: float
    tokens: int
    pairs: int
    padding: float


def ours(dataset: Dataset, name: str) -> Batch:
    """The batches of an epoch, stacked [step, ...]."""
    if name == "padded":
        instance_N = np.random.default_rng(0).permutation(dataset.splits["training"])
        steps = len(instance_N) // BATCH
        instance_N = instance_N[: steps * BATCH]
        columns = TrainingBatches(dataset, BATCH, "instance", 1, 0).columns
        alone = lay_out(dataset, instance_N[:, None], np.ones((len(instance_N), 1), int), columns)
        by_step = jax.tree.map(lambda a: a.reshape(steps, BATCH, *a.shape[2:]), alone)
        return by_step._replace(row_N=np.indices((steps, BATCH))[1])
    unit = "instruction" if name == "instructions shared" else "instance"
    return TrainingBatches(dataset, BATCH, unit, 1, 0).epoch(1)


def in_torch(dataset: Dataset, bucketed: bool) -> list[np.ndarray]:
    """The instances of each batch of an epoch."""
    instance_N = np.random.default_rng(0).permutation(dataset.splits["training"])
    if bucketed:
        instance_N = instance_N[np.argsort(dataset.length_N[instance_N], kind="stable")]
    return [instance_N[start : start + BATCH] for start in range(0, len(instance_N) - BATCH + 1, BATCH)]


def epoch_of(dataset: Dataset, name: str) -> Epoch:
    if name in TORCH:
        length_N = dataset.length_N[dataset.splits["training"]] - 1  # the output is a target only
        batches = [dataset.length_N[batch] - 1 for batch in in_torch(dataset, TORCH[name])]
        places = sum(BATCH * length_B.max() for length_B in batches)
        pairs = int((length_N * (length_N + 1) // 2).sum())
        return Epoch(BATCH, int(length_N.sum()), pairs, 1 - sum(map(np.sum, batches)) / places)
    batches = ours(dataset, name)
    tokens, pairs = counted(batches)
    share = len(dataset.splits["training"]) / batches.output_N.size  # an epoch leaves out what fills no batch
    return Epoch(
        batches.output_N.shape[1], round(share * tokens), round(share * pairs), 1 - tokens / batches.tokens_RT.size
    )


def counted(batches: Batch) -> tuple[int, int]:
    """The real tokens of batches stacked [step, ...], and their pairs with a token they attend to."""
    pairs = 0
    for segment_RT, branch_RT in zip(batches.segment_RT, batches.branch_RT, strict=True):
        step = batches._replace(segment_RT=segment_RT, branch_RT=branch_RT)
        pairs += int((attention_mask(step) & (segment_RT > 0)[..., None]).sum())
    return int((batches.segment_RT > 0).sum()), pairs


def useful(spec: GPT2Spec, vocabulary: int, tokens: int, pairs: int) -> float:
    """Floating-point operations of the matrix products that real tokens need, forward and backward.

    Forward 2 for each weight of a block and of the head, and 4 x width x blocks for each pair; backward twice that.
    """
    width, inner = spec.hidden_dim, spec.feed_forward_width
    weights = spec.layers * (4 * width**2 + 2 * width * inner) + vocabulary * width
    return 3 * (2 * weights * tokens + 4 * width * spec.layers * pairs)


def jax_side(name: str, spec: GPT2Spec, steps: int) -> Callable[[], object]:
    dataset = data()
    model = GPT2(spec, dataset.vocabulary.size)
    batches = jax.device_put(jax.tree.map(lambda a: a[:steps], ours(dataset, name)))
    step = jax.jit(partial(train_steps, model, TrainSpec()), donate_argnums=1)
    held = [initial_state(model, TrainSpec(), 0)]

    def turn() -> None:
        held[0], _ = jax.block_until_ready(step(course(0, 10_000), held[0], batches, np.ones(steps, bool)))

    return turn


def torch_side(name: str, spec: GPT2Spec, steps: int) -> Callable[[], object]:
    """The usual loop: a batch is padded, then forward, backward, clipping, AdamW and the schedule."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, logging

    logging.set_verbosity_error()  # it warns of a key of the configuration that it sets itself
    dataset, train = data(), TrainSpec()
    rates = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), spec.dropout)
    sizes = {"n_positions": spec.positions, "n_embd": spec.hidden_dim, "n_inner": spec.feed_forward_width}
    config = GPT2Config(
        dataset.vocabulary.size, n_layer=spec.layers, n_head=spec.heads, **sizes, **rates, use_cache=False
    )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = GPT2LMHeadModel(config).to(device).train()
    adamw = torch.optim.AdamW(model.parameters(), lr=train.learning_rate, weight_decay=train.weight_decay)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(adamw, 10_000)
    batches = in_torch(dataset, TORCH[name])
    chosen = [batches[int((step + 0.5) * len(batches) / steps)] for step in range(steps)]
    half = torch.autocast(device, torch.bfloat16, enabled=spec.compute_dtype == "bfloat16")

    def turn() -> None:
        for batch in chosen:
            length_B = dataset.length_N[batch]
            tokens_BT = torch.from_numpy(dataset.tokens_NT[batch, : length_B.max()]).long().to(device)
            there_BT = torch.arange(length_B.max()) < torch.from_numpy(length_B)[:, None]
            there_BT = there_BT.to(device)
            with half:
                labels_BT = tokens_BT.masked_fill(~there_BT, -100)
                loss = model(input_ids=tokens_BT, attention_mask=there_BT.long(), labels=labels_BT).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), train.max_gradient_norm)
            adamw.step()
            cosine.step()
            adamw.zero_grad(set_to_none=True)
        if device == "cuda":
            torch.cuda.synchronize()

    return turn


def without_torch() -> str:
    """Why PyTorch is not compared on this device; empty where it is."""
    if importlib.util.find_spec("torch") is None:
        return "torch is not installed"
    import torch

    backend = jax.default_backend()
    return "" if backend == "cpu" or torch.cuda.is_available() else f"torch does not see the {backend}"


def measure(width: int, dtype: str, steps: int) -> None:
    spec, dataset, reason = GPT2Spec(hidden_dim=width, compute_dtype=dtype), data(), without_torch()
    sides = {} if reason else {name: partial(torch_side, name, spec, steps) for name in TORCH}
    sides |= {name: partial(jax_side, name, spec, steps) for name in OURS}
    measured = measuring.in_turns(sides | measuring.ceilings(dtype))
    matmul, copy = measuring.ceilings_of(measured)
    print(f"{jax.devices()[0].device_kind}, width {width}, {dtype}, batches of {BATCH}, {steps} steps timed;")
    print(f"ceilings: {matmul:,.0f} GFLOP/s in a matrix product, {copy:,.1f} GB/s in a copy")
    print(f"{'':20} s an epoch  x padded  x bucketed  padding  useful GFLOP  of the ceiling  host, device memory")
    rows = {}
    for name in sides:
        epoch = epoch_of(dataset, name)
        seconds = measured[name].seconds / steps * len(dataset.splits["training"]) / epoch.instances
        rows[name] = seconds, useful(spec, dataset.vocabulary.size, epoch.tokens, epoch.pairs) / 1e9, epoch
    for name, (seconds, gflop, epoch) in rows.items():
        ratios = [f"{rows[other][0] / seconds:.2f}" if other in rows else "-" for other in TORCH]
        print(
            f"{name:20} {seconds:10.2f} {ratios[0]:>9} {ratios[1]:>11} {epoch.padding:8.0%} {gflop:13,.0f} "
            f"{gflop / seconds / matmul:15.2f}  {measuring.mib(measured[name].host_mib)}, "
            f"{measuring.mib(measured[name].device_mib)}"
        )
    if reason:
        print(f"PyTorch: not run ({reason})")
    facts = {
        name: {"seconds_an_epoch": s, "useful_gflop": f, **epoch._asdict()} for name, (s, f, epoch) in rows.items()
    }
    tell = {"width": width, "dtype": dtype, "steps": steps, "gflop_a_second": matmul, "gb_a_second": copy}
    measuring.tell("training", measured, **tell, epochs=facts)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command_line.parser("training", __doc__)
    parser.add_argument("width", nargs="?", type=whole, default=256, metavar="WIDTH", help="of the model")
    parser.add_argument("dtype", nargs="?", choices=COMPUTE_DTYPES, default="float32", help="of its matrix products")
    parser.add_argument("steps", nargs="?", type=whole, default=8, metavar="STEPS", help="how many are timed")
    command_line.run(measure, parser, arguments)


if __name__ == "__main__":
    main()
