"""Loads checkpoints of transformers onto the devices, tensor by tensor.

A tensor goes from its file to the devices it stays on, and is cast and transposed there. So the host holds one tensor
at a time (of a .bin file, its mapped pages too), never the whole model. Of several processes each reads the rows that
its own devices get.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jax.sharding import NamedSharding, PartitionSpec
from tqdm import tqdm

from clusterlm_jax.models import placement
from clusterlm_jax.models.layers import INITIAL_SCALE
from clusterlm_jax.models.pretrained import formats
from clusterlm_jax.models.pretrained.architectures import model_of, parameter_shapes
from clusterlm_jax.records import UserError

# The language head, where nobody asks for it, and tables that older checkpoints store: causal masks, frequencies.
IGNORED = re.compile(r"(^|\.)lm_head\.|(^|\.)attn\.(bias|masked_bias)$|\.rotary_emb\.inv_freq$")
NAMED_AT_MOST = 5  # tensors in a message

Shapes = Mapping[str, jax.ShapeDtypeStruct]  # by path, its names joined by "/"


def describe(directory: Path, compute_dtype: str, head: bool = False) -> nn.Module:
    """The model of a checkpoint, from its config.json alone, with its language head or without.

    Raises:
      UserError: no readable config.json, or one that `architectures.model_of` refuses.
    """
    from transformers import AutoConfig

    if not (directory / "config.json").is_file():
        raise UserError(f"{directory} holds no config.json; a checkpoint is a directory with it and the weights.")
    try:
        config = AutoConfig.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # a value of the wrong type is met anywhere in transformers
        what = f"{directory}/config.json describes no model that transformers knows"
        raise UserError(f"{what} ({reason_of(error)}).") from error
    return model_of(config, compute_dtype, head)


def reason_of(error: Exception) -> str:
    """Why transformers cannot read a file of a checkpoint, in one line without a full stop."""
    if "custom code" in str(error):  # its words where `trust_remote_code` would have to be set
        return "it needs code of the checkpoint's own, which is never run"
    # transformers 5 names the attribute in the first line and what is wrong with it in the second.
    said = " ".join(str(error).split("\n", 2)[:2]).strip()
    return " ".join(said.split()).rstrip(".") or type(error).__name__


def load(directory: Path, model: nn.Module, devices: Sequence[jax.Device]) -> dict:
    """The parameters of a checkpoint in the model's own types, over all devices (`placement`).

    Tensors may have PyTorch's or Flax's names, with or without the name of the whole model in front. All names, shapes
    and types are checked before the first tensor is read, so a misfit is found at once, not after gigabytes.

    Raises:
      UserError: the weights cannot be found or read, or do not fit the model; the message counts all such tensors.
    """
    shapes = _flat_shapes(model)
    names = _stored_names(shapes)
    files = formats.find(directory)
    _check(directory, formats.tensors(files), names, shapes)
    mesh, params = placement.mesh_over(devices), {}
    total = sum(leaf.size * leaf.dtype.itemsize for leaf in shapes.values())
    with tqdm(total=total, unit="B", unit_scale=True, desc="load", dynamic_ncols=True) as bar:
        for tensor in formats.tensors(files):
            if tensor.name in names:
                path, transposed = names[tensor.name]
                place = placement.sharding(path, shapes[path].shape, mesh)
                params[path] = _placed(tensor, transposed, shapes[path].dtype, place)
                bar.update(params[path].nbytes)
    return unflatten_dict(params, sep="/")


def untrained(model: nn.Module, seed: int, devices: Sequence[jax.Device]) -> dict:
    """Random parameters as before any training: normal matrices, norms 1, biases 0; each is made where it stays."""
    mesh, params = placement.mesh_over(devices), {}
    # The head last: the other parameters are then those of the model without one.
    shapes = sorted(_flat_shapes(model).items(), key=lambda item: item[0].startswith("lm_head"))
    for index, (path, leaf) in enumerate(shapes):
        key = jax.random.fold_in(jax.random.key(seed), index)
        draw = jax.jit(_initial, static_argnums=(1, 2, 3), out_shardings=placement.sharding(path, leaf.shape, mesh))
        params[path] = jax.block_until_ready(draw(key, path.rpartition("/")[2], leaf.shape, leaf.dtype))
    return unflatten_dict(params, sep="/")


def _initial(key: jax.Array, kind: str, shape: tuple[int, ...], dtype: jnp.dtype) -> jax.Array:
    if kind in ("kernel", "embedding"):
        # Drawn in float32: a draw in bfloat16 has few distinct values.
        return (INITIAL_SCALE * jax.random.normal(key, shape)).astype(dtype)
    return jnp.full(shape, kind != "bias", dtype)


def _flat_shapes(model: nn.Module) -> Shapes:
    return flatten_dict(parameter_shapes(model), sep="/")


def _stored_names(shapes: Shapes) -> dict[str, tuple[str, bool]]:
    """Every name a parameter may have in a checkpoint -> its path, and whether it is stored transposed.

    PyTorch stores the matrix of a dense layer as [F, D], Flax as [D, F].
    """
    names = {}
    for path in shapes:
        *parents, kind = path.split("/")
        for parts in (parents, parents[1:]):  # in a checkpoint of the trunk alone, names lack the first part
            names[".".join((*parts, "bias" if kind == "bias" else "weight"))] = (path, kind == "kernel")
            names[".".join((*parts, kind))] = (path, False)
    return names


def _check(
    directory: Path, tensors: Iterable[formats.StoredTensor], names: Mapping[str, tuple[str, bool]], shapes: Shapes
) -> None:
    problems = {"missing": set(shapes), "unexpected": [], "of another shape": [], "of another type": [], "double": []}
    for tensor in tensors:
        if tensor.name in names:
            path, transposed = names[tensor.name]
            expected = shapes[path].shape[::-1] if transposed else shapes[path].shape
            if path not in problems["missing"]:
                problems["double"].append(tensor.name)
            problems["missing"].discard(path)
            if tensor.shape != expected:
                problems["of another shape"].append(f"{tensor.name} is {tensor.shape}, expected {expected}")
            if tensor.dtype not in formats.DTYPES:
                allowed = " or ".join(formats.DTYPES)
                problems["of another type"].append(f"{tensor.name} is {tensor.dtype}, expected {allowed}")
        elif not IGNORED.search(tensor.name):
            problems["unexpected"].append(tensor.name)
    found = [f"{len(what)} {kind} ({_first(what)})" for kind, what in problems.items() if what]
    if found:
        raise UserError(f"The weights in {directory} are not those of its config.json: {', '.join(found)}.")


def _first(names: Iterable[str]) -> str:
    names = sorted(names)
    return "; ".join((*names[:NAMED_AT_MOST], *(["..."] if len(names) > NAMED_AT_MOST else [])))


def _placed(tensor: formats.StoredTensor, transposed: bool, dtype: jnp.dtype, place: NamedSharding) -> jax.Array:
    """The values on the devices, each with its own part only.

    Waits until they are there: otherwise the tensors of the following calls would pile up on the host.
    """
    before = NamedSharding(place.mesh, PartitionSpec(*reversed(place.spec))) if transposed else place
    # Of several processes each reads the rows of its own devices; all rows, where the columns are cut.
    parts = before.addressable_devices_indices_map(tensor.shape).values()
    rows = [part[0].indices(tensor.shape[0]) for part in parts]
    first, last = min(start for start, _, _ in rows), max(end for _, end, _ in rows)
    values = tensor.read(slice(first, last))

    def part_of(index: tuple[slice, ...]) -> np.ndarray:
        start, end, _ = index[0].indices(tensor.shape[0])
        return values[(slice(start - first, end - first), *index[1:])]

    cast = jax.jit(_cast, static_argnums=(1, 2), out_shardings=place)
    stored = jax.make_array_from_callback(tensor.shape, before, part_of)
    return jax.block_until_ready(cast(stored, transposed, dtype))


def _cast(x: jax.Array, transposed: bool, dtype: jnp.dtype) -> jax.Array:
    return (x.T if transposed else x).astype(dtype)
