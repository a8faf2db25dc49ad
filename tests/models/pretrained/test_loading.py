"""One model gives the same parameters in every format; a checkpoint that does not fit is refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from safetensors.numpy import load_file, save_file

from clusterlm_jax.models.pretrained import loading as pretrained
from clusterlm_jax.models.pretrained.architectures import parameter_shapes
from clusterlm_jax.records import UserError
from tests.models import checkpoints

ARCHITECTURES = ("llama", "gptj")


@pytest.fixture(scope="module", params=ARCHITECTURES)
def twin(request):
    """transformers' PyTorch model."""
    return checkpoints.tiny(request.param)


def loaded(directory: Path, dtype: str = "float32") -> dict[str, jax.Array]:
    params = pretrained.load(directory, pretrained.describe(directory, dtype), jax.devices())
    return flatten_dict(params, sep="/")


def expected(twin) -> dict[str, np.ndarray]:
    """Our names and layout, derived from the kind of each PyTorch module, not from the names of its parameters."""
    kinds = {"Linear": "kernel", "Embedding": "embedding", "LayerNorm": "scale"}
    params = {}
    for name, module in twin.named_modules():
        for parameter, value in module.named_parameters(recurse=False):
            kind, values = type(module).__name__, value.detach().numpy()
            if parameter == "weight":
                parameter = kinds.get(kind, "weight")
            params[f"{name.replace('.', '/')}/{parameter}"] = values.T if parameter == "kernel" else values
    return {path: values for path, values in params.items() if not path.startswith("lm_head")}


def assert_identical(found: dict, wanted: dict) -> None:
    assert found.keys() == wanted.keys()
    for path, values in wanted.items():
        np.testing.assert_array_equal(found[path], values, strict=True, err_msg=path)


@pytest.mark.parametrize("sharded", [False, True])
@pytest.mark.parametrize("format", checkpoints.FORMATS)
def test_every_format_gives_the_same_parameters(format, sharded, twin, tmp_path):
    """Bit by bit. A kernel that was not transposed would show even if it is square."""
    directory = checkpoints.save(twin, tmp_path, format, sharded)
    assert (len([*directory.glob("*-of-*")]) > 2) == sharded
    assert_identical(loaded(directory), expected(twin))


def test_the_tree_is_the_models_own(twin, tmp_path):
    model = pretrained.describe(checkpoints.save(twin, tmp_path, "safetensors"), "bfloat16")
    params = pretrained.load(tmp_path, model, jax.devices())
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), params) == jax.tree.map(
        lambda leaf: (leaf.shape, leaf.dtype), parameter_shapes(model)
    )


def test_the_trunk_saved_alone_will_do(twin, tmp_path):
    """Its names lack `model.` or `transformer.`."""
    trunk = twin.base_model
    trunk.save_pretrained(tmp_path)
    assert not any(name.startswith(("model.", "transformer.")) for name in load_file(tmp_path / "model.safetensors"))
    assert_identical(loaded(tmp_path), expected(twin))


def test_flax_names_in_safetensors_will_do(twin, tmp_path):
    """As `FlaxLlamaForCausalLM.save_pretrained(..., safe_serialization=True)` writes them."""
    checkpoints.flax_twin(twin, tmp_path / "torch").save_pretrained(tmp_path, safe_serialization=True)
    assert any(name.endswith(".kernel") for name in load_file(tmp_path / "model.safetensors"))
    assert_identical(loaded(tmp_path), expected(twin))


@pytest.mark.parametrize("format", ["safetensors", "bin"])
@pytest.mark.parametrize("stored", ["float16", "bfloat16"])
def test_half_precision_on_disk(stored, format, tmp_path):
    """Widened without loss into float32; rounded once into bfloat16."""
    torch = pytest.importorskip("torch")
    twin = checkpoints.tiny("llama").to(getattr(torch, stored))
    checkpoints.save(twin, tmp_path, format)
    wanted = expected(twin.float())
    assert_identical(loaded(tmp_path), wanted)
    assert_identical(
        loaded(tmp_path, "bfloat16"), {path: values.astype(jnp.bfloat16) for path, values in wanted.items()}
    )


@pytest.mark.parametrize("format", checkpoints.FORMATS)
def test_bfloat16_is_float32_cast(format, twin, tmp_path):
    params = loaded(checkpoints.save(twin, tmp_path, format), "bfloat16")
    assert_identical(params, {path: values.astype(jnp.bfloat16) for path, values in expected(twin).items()})


def test_tables_of_older_checkpoints_are_passed_over(twin, tmp_path):
    path = checkpoints.save(twin, tmp_path, "safetensors") / "model.safetensors"
    tables = {"transformer.h.0.attn.bias": np.ones((1, 1, 8, 8), bool), "h.1.attn.masked_bias": np.array(-1e9)}
    tables |= {"model.layers.0.self_attn.rotary_emb.inv_freq": np.ones(4), "lm_head.bias": np.ones(9, np.int64)}
    save_file(load_file(path) | tables, path)
    assert_identical(loaded(tmp_path), expected(twin))


def with_changed(directory: Path, changes: dict[str, np.ndarray | None]) -> Path:
    """The LLaMA in float32 with tensors changed, added, or (None) left out."""
    path = checkpoints.save(checkpoints.tiny("llama"), directory, "safetensors") / "model.safetensors"
    tensors = load_file(path) | changes
    save_file({name: values for name, values in tensors.items() if values is not None}, path)
    return directory


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"model.norm.weight": None}, r"1 missing \(model/norm/weight\)\.$"),
        ({"model.norm.bias": np.ones(32)}, r"1 unexpected \(model.norm.bias\)\.$"),
        (
            {"model.layers.1.self_attn.q_proj.bias": np.ones(32), "a": np.ones(3), "model.embed_tokens.weight": None},
            r"1 missing \(model/embed_tokens/embedding\), 2 unexpected \(a; model.layers.1.self_attn.q_proj.bias\)",
        ),
        (
            {"model.layers.0.mlp.up_proj.weight": np.ones((32, 48), np.float32)},
            r"1 of another shape \(model.layers.0.mlp.up_proj.weight is \(32, 48\), expected \(48, 32\)\)\.$",
        ),
        (
            {"model.norm.weight": np.ones(31, np.float16)},
            r"1 of another shape \(model.norm.weight is \(31,\), expected \(32,\)\)\.$",
        ),
        (
            {"model.norm.weight": np.ones(32, np.int8)},
            r"1 of another type \(model.norm.weight is I8, expected float32 or float16 or bfloat16\)\.$",
        ),
        ({"norm.weight": np.ones(32, np.float32)}, r"1 double \((model\.)?norm.weight\)\.$"),
        ({f"extra.{index}": np.ones(1) for index in range(7)}, r"7 unexpected \(extra.0; .*extra.4; \.\.\.\)\.$"),
    ],
)
def test_tensors_that_do_not_fit_are_named(changes, sentence, tmp_path):
    with pytest.raises(UserError, match=f"are not those of its config.json: {sentence}"):
        loaded(with_changed(tmp_path, changes))


def test_what_the_shards_hold_counts_not_what_the_index_says(tmp_path):
    directory = checkpoints.save(checkpoints.tiny("llama"), tmp_path, "safetensors", sharded=True)
    index = json.loads((directory / "model.safetensors.index.json").read_text())
    shard = directory / index["weight_map"]["model.norm.weight"]
    save_file({k: v for k, v in load_file(shard).items() if k != "model.norm.weight"} | {"new": np.ones(1)}, shard)
    with pytest.raises(UserError, match=r"1 missing \(model/norm/weight\), 1 unexpected \(new\)"):
        loaded(directory)


def test_weights_of_another_architecture(tmp_path):
    """GPT-J's tensors under LLaMA's config.json: nothing fits, and only the first few are named."""
    checkpoints.save(checkpoints.tiny("gptj"), tmp_path / "gptj", "safetensors")
    checkpoints.save(checkpoints.tiny("llama"), tmp_path / "llama", "safetensors")
    (tmp_path / "gptj" / "config.json").write_bytes((tmp_path / "llama" / "config.json").read_bytes())
    with pytest.raises(UserError, match=r"20 missing \(.*; \.\.\.\), 23 unexpected \(transformer") as raised:
        loaded(tmp_path / "gptj")
    assert len(str(raised.value)) < 1000


def test_nothing_is_read_before_all_is_checked(tmp_path, monkeypatch):
    directory = with_changed(tmp_path, {"model.norm.weight": None})
    monkeypatch.setattr(pretrained, "_placed", lambda *_: pytest.fail("a tensor was placed"))
    with pytest.raises(UserError, match="1 missing"):
        loaded(directory)


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (None, "holds no config.json; a checkpoint is a directory with it and the weights"),
        ("{", "config.json describes no model that transformers knows"),
        ("[]", "config.json describes no model that transformers knows"),
        ("{}", "config.json describes no model that transformers knows"),
        ('{"model_type": "llamma"}', "config.json describes no model that transformers knows .*llamma"),
        (
            '{"model_type": "own", "auto_map": {"AutoConfig": "own.Own"}}',
            "code of the checkpoint's own, which is never run",
        ),
        ('{"model_type": "llama", "rope_scaling": 3}', "config.json describes no model that transformers knows"),
        ('{"model_type": "gpt2"}', "model_type is 'gpt2'; allowed: llama, gptj"),
        ('{"model_type": "llama", "hidden_act": "relu"}', "hidden_act is 'relu', which is not implemented"),
    ],
)
def test_a_config_that_describes_none_of_ours(config, sentence, tmp_path):
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    with pytest.raises(UserError, match=sentence):
        pretrained.describe(tmp_path, "float32")


def test_a_directory_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"nowhere holds no config.json"):
        pretrained.describe(tmp_path / "nowhere", "float32")


def test_untrained_parameters(tmp_path):
    model = pretrained.describe(checkpoints.save(checkpoints.tiny("gptj"), tmp_path, "safetensors"), "float32")
    params = pretrained.untrained(model, 0, jax.devices())
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, parameter_shapes(model))
    flat = flatten_dict(params, sep="/")
    matrices = np.concatenate([np.ravel(leaf) for leaf in flat.values() if leaf.ndim == 2])
    assert matrices.std() == pytest.approx(0.02, rel=0.03)  # 27 thousand draws: the standard error is .4%
    assert abs(matrices.mean()) < 5e-4
    assert len(np.unique(matrices)) > 0.99 * len(matrices)  # no two leaves from one key, and no coarse draws
    for path, leaf in flat.items():
        if leaf.ndim == 1:
            np.testing.assert_array_equal(leaf, np.full(leaf.shape, path.endswith("scale")), err_msg=path)


def test_untrained_parameters_follow_from_the_seed(tmp_path):
    directory = checkpoints.save(checkpoints.tiny("llama"), tmp_path, "safetensors")
    exact, rough, headed = (
        pretrained.describe(directory, dtype, head)
        for dtype, head in (("float32", False), ("bfloat16", False), ("float32", True))
    )
    first, again, other = (pretrained.untrained(exact, seed, jax.devices()) for seed in (0, 0, 1))
    cast = pretrained.untrained(rough, 0, jax.devices())
    assert jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), first, again))
    assert jax.tree.all(jax.tree.map(lambda a, b: (a.astype(jnp.bfloat16) == b).all(), first, cast))
    assert (first["model"]["embed_tokens"]["embedding"] != other["model"]["embed_tokens"]["embedding"]).any()
    both = pretrained.untrained(headed, 0, jax.devices())
    assert both.keys() == {"model", "lm_head"}
    assert jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), first["model"], both["model"]))
