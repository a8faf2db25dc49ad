"""How much host memory loading a checkpoint takes above the parameters themselves, and how long.

    .venv/bin/python -m benchmarks.loading [GB]

A random LLaMA in bfloat16 is written in one file and in eight, in every format. Each is loaded in a process of its own
on the CPU, whose device memory is the host's. The memory held before loading and the parameters are subtracted from the
peak. The rest must be under 1.3 times the largest file plus `ALLOWANCE`. Linux only; the files are in the page cache.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import ml_dtypes
import msgpack
import numpy as np
from flax.serialization import msgpack_serialize
from flax.traverse_util import unflatten_dict
from safetensors.numpy import save_file

from benchmarks import command_line
from benchmarks.command_line import positive

ALLOWANCE = 64e6  # bytes: what jax takes to compile the casts, and one matrix beside its transpose
SIZES = {"vocab_size": 32_000, "hidden_size": 2048, "intermediate_size": 5632, "num_attention_heads": 16}

Tensors = dict[tuple[str, ...], np.ndarray]  # by Flax path


def random_llama(gigabytes: float, rng: np.random.Generator) -> tuple[dict, Tensors]:
    """config.json, and tensors of about so many bytes."""
    vocabulary, width, inner = (SIZES[name] for name in ("vocab_size", "hidden_size", "intermediate_size"))
    shapes = {("model", "embed_tokens", "embedding"): (vocabulary, width), ("model", "norm", "weight"): (width,)}
    block = {("self_attn", f"{name}_proj", "kernel"): (width, width) for name in "qkvo"}
    block |= {("mlp", f"{name}_proj", "kernel"): (width, inner) for name in ("gate", "up")}
    block |= {("mlp", "down_proj", "kernel"): (inner, width)}
    block |= {(name, "weight"): (width,) for name in ("input_layernorm", "post_attention_layernorm")}
    layers = max(1, round((gigabytes * 1e9 / 2 - vocabulary * width) / sum(map(np.prod, block.values()))))
    for index in range(layers):
        shapes |= {("model", "layers", str(index), *path): shape for path, shape in block.items()}
    tensors = {
        path: (0.02 * rng.standard_normal(shape, np.float32)).astype(ml_dtypes.bfloat16)
        for path, shape in shapes.items()
    }
    return {"model_type": "llama", "num_hidden_layers": layers, **SIZES}, tensors


def as_pytorch(tensors: Tensors) -> dict[str, np.ndarray]:
    return {
        ".".join((*path[:-1], "weight")): np.ascontiguousarray(values.T) if path[-1] == "kernel" else values
        for path, values in tensors.items()
    }


def write_safetensors(tensors: Tensors, path: Path) -> None:
    save_file(as_pytorch(tensors), path, metadata={"format": "pt"})


def write_msgpack(tensors: Tensors, path: Path) -> None:
    """As flax does, one array after the other."""

    def write(branch: dict) -> None:
        file.write(msgpack.Packer().pack_map_header(len(branch)))
        for key, value in branch.items():
            file.write(msgpack.packb(key))
            write(value) if isinstance(value, dict) else file.write(msgpack_serialize(value))

    with path.open("wb") as file:
        write(unflatten_dict(tensors))


def write_bin(tensors: Tensors, path: Path) -> None:
    import torch

    state = {name: torch.from_numpy(values.view(np.int16)) for name, values in as_pytorch(tensors).items()}
    torch.save({name: values.view(torch.bfloat16) for name, values in state.items()}, path)


WRITERS = {"model.safetensors": write_safetensors, "flax_model.msgpack": write_msgpack}
if find_spec("torch"):
    WRITERS["pytorch_model.bin"] = write_bin


def save(directory: Path, name: str, config: dict, tensors: Tensors, shards: int) -> None:
    """The tensors in their order, cut into files of about the same size."""
    (directory / "config.json").write_text(json.dumps(config))
    if shards == 1:
        WRITERS[name](tensors, directory / name)
        return
    end = np.cumsum([values.nbytes for values in tensors.values()])
    shard_of = dict(zip(tensors, ((end - 1) * shards // end[-1]).tolist(), strict=True))
    for shard in range(shards):
        WRITERS[name]({p: v for p, v in tensors.items() if shard_of[p] == shard}, directory / f"{shard}-{name}")
    weight_map = {".".join(path): f"{shard}-{name}" for path, shard in shard_of.items()}
    (directory / f"{name}.index.json").write_text(json.dumps({"weight_map": weight_map}))


def status(key: str) -> int:
    """Of this process, bytes: VmRSS, or VmHWM, its peak (getrusage's would count the parent's memory too)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))


def load(directory: Path) -> dict[str, float]:
    """Loads a checkpoint, once, in this process; bytes and seconds."""
    import jax

    from clusterlm_jax.models.pretrained import formats
    from clusterlm_jax.models.pretrained import loading as pretrained

    files = formats.find(directory)
    if files[0].suffix == ".bin":
        import torch  # noqa: F401 - the library's own memory is not the loading's
    model = pretrained.describe(directory, "bfloat16")
    jax.block_until_ready(jax.numpy.ones(8) + 1)
    before, start = status("VmRSS"), time.perf_counter()
    params = pretrained.load(directory, model, jax.devices())
    return {
        "seconds": time.perf_counter() - start,
        "before": before,
        "peak": status("VmHWM"),
        "parameters": sum(leaf.nbytes for leaf in jax.tree.leaves(params)),
        "largest": max(file.stat().st_size for file in files),
    }


def measured(name: str, config: dict, tensors: Tensors, shards: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as directory:
        save(Path(directory), name, config, tensors, shards)
        command = [sys.executable, "-m", "benchmarks.loading", "--load", directory]
        ran = subprocess.run(command, env=os.environ | {"JAX_PLATFORMS": "cpu"}, stdout=subprocess.PIPE, check=True)
    return json.loads(ran.stdout)


def measure(gigabytes: float, load_only: Path | None) -> None:
    if load_only:
        print(json.dumps(load(load_only)))
        return
    config, tensors = random_llama(gigabytes, np.random.default_rng(0))
    print(f"{'MB':25} parameters  largest file  before    peak   above  x largest  seconds")
    for name in WRITERS:
        for shards in (1, 8):
            found = measured(name, config, tensors, shards)
            above = found["peak"] - found["before"] - found["parameters"]
            holds = "holds" if above < 1.3 * found["largest"] + ALLOWANCE else "DOES NOT HOLD"
            print(
                f"{name + f' in {shards}':25} {found['parameters'] / 1e6:10.0f} {found['largest'] / 1e6:13.0f} "
                f"{found['before'] / 1e6:7.0f} {found['peak'] / 1e6:7.0f} {above / 1e6:7.0f} "
                f"{above / found['largest']:10.2f} {found['seconds']:8.1f}  {holds}",
                flush=True,
            )
    print(f"above: peak - before - parameters; holds: above < 1.3 x the largest file + {ALLOWANCE / 1e6:.0f} MB")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command_line.parser("loading", __doc__)
    parser.add_argument("gigabytes", nargs="?", type=positive, default=2.0, metavar="GB", help="of the parameters")
    parser.add_argument("--load", dest="load_only", type=Path, metavar="DIRECTORY", help=argparse.SUPPRESS)
    command_line.run(measure, parser, arguments)


if __name__ == "__main__":
    main()
