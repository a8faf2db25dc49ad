"""Configurations of transformers: what is read, what is refused, and in which precision states are computed."""

from __future__ import annotations

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params

from clusterlm_jax.models.pretrained import architectures
from clusterlm_jax.models.pretrained.architectures import model_of, parameter_shapes, read_states
from clusterlm_jax.models.pretrained.gptj import GPTJ
from clusterlm_jax.models.pretrained.llama import Llama
from clusterlm_jax.models.pretrained.loading import describe
from clusterlm_jax.models.pretrained.rotary import RopeScaling
from clusterlm_jax.records import UserError

# config.json of the paper's five models (SPEC 4), as far as it is not transformers' default.
OPEN_LLAMA = {"pad_token_id": 0, "architectures": ["LlamaForCausalLM"], "torch_dtype": "float16", "use_cache": True}
OPEN_LLAMA_13B = OPEN_LLAMA | {"hidden_size": 5120, "intermediate_size": 13824, "num_hidden_layers": 40}
OPEN_LLAMA_13B["num_attention_heads"] = 40
LLAMA_2_7B_32K = {
    "architectures": ["LlamaForCausalLM"],
    "auto_map": {"AutoModelForCausalLM": "modeling_flash_llama.LlamaForCausalLM"},
    "max_position_embeddings": 32_768,
    "num_key_value_heads": 32,
    "pad_token_id": 0,
    "pretraining_tp": 1,
    "rms_norm_eps": 1e-5,
    "rope_scaling": {"factor": 8.0, "type": "linear"},
    "torch_dtype": "float16",
}
GPT_J_6B = {
    "architectures": ["GPTJForCausalLM"],
    "gradient_checkpointing": False,
    "rotary": True,
    "scale_attn_weights": True,
    "summary_activation": None,
    "summary_first_dropout": 0.1,
    "summary_proj_to_labels": True,
    "summary_type": "cls_index",
    "summary_use_proj": True,
    "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50, "temperature": 1.0}},
    "tokenizer_class": "GPT2Tokenizer",
}


def llama_config(**attributes):
    return pytest.importorskip("transformers").LlamaConfig(**attributes)


def gptj_config(**attributes):
    return pytest.importorskip("transformers").GPTJConfig(**attributes)


def stating(config, **attributes):
    """The configuration, as if its file said so: transformers refuses some values itself, and 5 other ones than 4."""
    given = config.to_dict() | attributes
    vars(config)["to_dict"] = lambda: given
    return config


@pytest.mark.parametrize(
    ("make", "attributes", "kind", "parameters", "layers"),
    [
        (llama_config, OPEN_LLAMA, Llama, 6_607_343_616, 32),
        (llama_config, OPEN_LLAMA_13B, Llama, 12_852_024_320, 40),
        (llama_config, LLAMA_2_7B_32K, Llama, 6_607_343_616, 32),
        (gptj_config, GPT_J_6B, GPTJ, 5_844_393_984, 28),
        (gptj_config, GPT_J_6B | {"torch_dtype": "float16"}, GPTJ, 5_844_393_984, 28),
    ],
    ids=["open_llama_7b", "open_llama_13b", "llama2_7b_32k_instruct", "gpt_j_6b", "instruct_gpt_j"],
)
def test_the_papers_models_are_described(make, attributes, kind, parameters, layers):
    """They have the published 6,738,415,616, 13,015,864,320 and 6,050,882,784 parameters, minus those of the head."""
    model = model_of(make(**attributes), "bfloat16")
    assert isinstance(model, kind)
    assert model.spec.layers == layers
    leaves = jax.tree.leaves(parameter_shapes(model))
    assert sum(leaf.size for leaf in leaves) == parameters
    assert {leaf.dtype for leaf in leaves} == {jnp.dtype("bfloat16")}


def test_fields_follow_the_configuration():
    spec = model_of(llama_config(**LLAMA_2_7B_32K), "float32").spec
    assert (spec.positions, spec.norm_epsilon, spec.rope_theta) == (32_768, 1e-5, 10_000.0)
    assert spec.rope_scaling == RopeScaling("linear", 8.0)
    spec = model_of(llama_config(num_key_value_heads=4, head_dim=96, rope_theta=500_000), "float32").spec
    assert (spec.heads, spec.kv_heads, spec.head_dim, spec.rope_theta) == (32, 4, 96, 500_000)
    spec = model_of(gptj_config(), "float32").spec
    assert (spec.ffn_dim, spec.rotary_dim, spec.heads) == (16_384, 64, 16)
    assert model_of(stating(gptj_config(), n_head=1, rotary_dim=None), "float32").spec.rotary_dim == 4096
    assert model_of(gptj_config(n_inner=100), "float32").spec.ffn_dim == 100


@pytest.mark.parametrize("make", [llama_config, gptj_config])
def test_every_other_attribute_is_neutral_or_refused(make):
    """One by one: whatever transformers declares and we do not read."""
    config = make()
    plain = model_of(config, "float32")
    neutral = set(" ".join(architectures.NEUTRAL.values()).split())
    handled = architectures.ARCHITECTURES[config.model_type][0].keys()
    refused = []
    for name in config.to_dict().keys() - handled - {"model_type", "transformers_version"}:
        changed = stating(make(), **{name: "another value"})
        if name in neutral:
            assert model_of(changed, "float32") == plain, name
        else:
            refused.append(name)
            with pytest.raises(UserError, match=f"{name} is 'another value', .* allowed: "):
                model_of(changed, "float32")
    activation = {"llama": {"hidden_act", "attention_bias", "mlp_bias"}, "gptj": {"activation_function"}}
    assert activation[config.model_type] <= set(refused)


ROPE = {"rope_type": "linear", "factor": 2.0}
UNEVEN = {"num_attention_heads": 30, "num_key_value_heads": 30, "head_dim": 136}  # as transformers 4 fills it in


@pytest.mark.parametrize(
    ("make", "attributes", "sentence"),
    [
        (llama_config, {"attention_bias": True}, "attention_bias is True, .* allowed: False"),
        (llama_config, {"hidden_act": "gelu"}, "hidden_act is 'gelu', .* allowed: 'silu'"),
        (llama_config, {"quantization_config": {"bits": 4}}, "quantization_config .* a configuration without it"),
        (llama_config, {"rope_parameters": {"rope_theta": 0}}, "rope_theta is 0; .* above 0"),
        (llama_config, {"rope_parameters": {"partial_rotary_factor": 0.5}}, "partial_rotary_factor is 0.5, .* 1.0"),
        (
            llama_config,
            {"rope_parameters": ROPE, "rope_scaling": ROPE},
            "rope_parameters .* a configuration without it",
        ),
        (llama_config, {"partial_rotary_factor": 0.5}, "partial_rotary_factor is 0.5, .* allowed: 1.0"),
        (llama_config, {"num_key_value_heads": 5}, "num_key_value_heads is 5; .* divisor of num_attention_heads = 32"),
        (llama_config, UNEVEN, "num_attention_heads is 30; .* divisor of hidden_size = 4096"),
        (llama_config, {"head_dim": 33}, "head_dim is 33; .* even"),
        (llama_config, {"num_hidden_layers": 0}, "num_hidden_layers is 0; .* at least 1"),
        (llama_config, {"vocab_size": 3.5}, "vocab_size is 3.5; .* whole"),
        (llama_config, {"rms_norm_eps": "small"}, "rms_norm_eps is 'small'; .* above 0"),
        (gptj_config, {"activation_function": "gelu"}, "activation_function is 'gelu', .* allowed: 'gelu_new'"),
        (gptj_config, {"rotary": False}, "rotary is False, .* allowed: True"),
        (gptj_config, {"scale_attn_weights": False}, "scale_attn_weights is False, .* allowed: True"),
        (gptj_config, {"n_head": 3}, "n_head is 3; .* divisor of n_embd = 4096"),
        (gptj_config, {"rotary_dim": 258}, "rotary_dim is 258; .* even number up to .* 256"),
        (gptj_config, {"rotary_dim": 7}, "rotary_dim is 7; .* even number"),
        (gptj_config, {"rotary_dim": 0}, "rotary_dim is 0; .* at least 1"),
        # transformers' own model fails at the first product, because there are 16 heads
        (gptj_config, {"rotary_dim": None}, "rotary_dim is None; .* at least 1"),
        (gptj_config, {"n_embd": None}, "n_embd is None; .* at least 1"),
        (gptj_config, {"n_head": 0, "rotary_dim": None}, "n_head is 0; .* at least 1"),
    ],
)
def test_what_our_graphs_do_not_do_is_refused(make, attributes, sentence):
    with pytest.raises(UserError, match=sentence):
        model_of(stating(make(), **attributes), "float32")


LLAMA_3 = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 1024}


def rotary_config(layout: int, theta: float, scaling: dict | None):
    """As the file of transformers 4 or 5 says it; each version is to read both."""
    if layout == 4:
        return stating(llama_config(), rope_theta=theta, rope_scaling=scaling, rope_parameters=None)
    return stating(llama_config(), rope_parameters={"rope_theta": theta} | (scaling or {}))


@pytest.mark.parametrize("layout", [4, 5])
def test_rope_theta_in_either_layout(layout):
    assert model_of(rotary_config(layout, 5e5, None), "float32").spec.rope_theta == 5e5
    spec = model_of(rotary_config(layout, 5e5, ROPE), "float32").spec
    assert (spec.rope_theta, spec.rope_scaling) == (5e5, RopeScaling("linear", 2.0))


@pytest.mark.parametrize("layout", [4, 5])
def test_a_configuration_saved_and_read(layout, tmp_path):
    """Through config.json and transformers, whichever version wrote it."""
    rope = {"rope_theta": 5e5} if layout == 4 else {"rope_parameters": {"rope_theta": 5e5, "rope_type": "default"}}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama", "is_decoder": False} | rope))
    assert describe(tmp_path, "float32") == model_of(llama_config(rope_theta=5e5), "float32")


@pytest.mark.parametrize("key", ["type", "rope_type"])
@pytest.mark.parametrize(
    ("scaling", "expected"),
    [
        ({"": "default"}, None),
        ({"": "linear", "factor": 8}, RopeScaling("linear", 8)),
        ({"": "llama3"} | LLAMA_3, RopeScaling("llama3", 8.0, 1.0, 4.0, 1024)),
    ],
)
def test_rope_scaling_in_either_spelling(key, scaling, expected):
    given = {key if name == "" else name: value for name, value in scaling.items()}
    assert model_of(llama_config(rope_scaling=given), "float32").spec.rope_scaling == expected


@pytest.mark.parametrize(
    ("scaling", "sentence"),
    [
        ({"rope_type": "dynamic", "factor": 2.0}, "allowed kinds: default, linear, llama3"),
        ({"rope_type": "yarn", "factor": 2.0}, "allowed kinds"),
        ({"rope_type": "longrope", "factor": 2.0}, "allowed kinds"),
        ({"factor": 2.0}, "allowed kinds"),
        ({"rope_type": "linear", "type": "llama3", "factor": 2.0}, "allowed kinds"),
        ({"rope_type": "linear"}, "must give numbers above 0 for factor"),
        ({"rope_type": "linear", "factor": "8"}, "must give numbers above 0 for factor"),
        ({"rope_type": "linear", "factor": 0.0}, "must give numbers above 0 for factor"),
        ({"rope_type": "linear", "factor": float("nan")}, "must give numbers above 0 for factor"),
        ({"rope_type": "linear", "factor": 8.0, "attention_factor": 2.0}, "must give numbers above 0 for factor"),
        ({"rope_type": "default", "factor": 8.0}, "must give nothing"),
        ({"rope_type": "llama3", "factor": 8.0}, "for factor, low_freq_factor, high_freq_factor, original_max"),
        ({"rope_type": "llama3"} | LLAMA_3 | {"low_freq_factor": 4.0}, "must be below high_freq_factor"),
    ],
)
@pytest.mark.parametrize("layout", [4, 5])
def test_other_rope_scalings_are_refused(layout, scaling, sentence):
    with pytest.raises(UserError, match=sentence):
        model_of(rotary_config(layout, 1e4, scaling), "float32")


def test_other_architectures_and_types_are_refused():
    transformers = pytest.importorskip("transformers")
    with pytest.raises(UserError, match="model_type is 'gpt2'; allowed: llama, gptj"):
        model_of(transformers.GPT2Config(), "float32")
    with pytest.raises(UserError, match="compute_dtype is 'float16'; allowed: float32, bfloat16"):
        model_of(llama_config(), "float16")


@pytest.mark.parametrize("compute_dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", ["llama", "gptj"])
def test_products_take_the_compute_dtype_and_sum_in_float32(kind, compute_dtype):
    """In the traced program, whatever the caller's precision; norms and softmax contain no bfloat16 at all."""
    if kind == "llama":
        sizes = {"vocab_size": 20, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1}
        config = llama_config(**sizes, num_attention_heads=2, num_key_value_heads=1, head_dim=8)
    else:
        config = gptj_config(vocab_size=20, n_embd=16, n_layer=1, n_head=2, rotary_dim=4)
    model = model_of(config, compute_dtype)
    tokens_BT, last_B = jnp.zeros((2, 5), jnp.int32), jnp.array([4, 2])
    with jax.default_matmul_precision("default"):
        program = jax.make_jaxpr(lambda params: read_states(model, params, tokens_BT, last_B))(parameter_shapes(model))
    assert [(out.shape, out.dtype) for out in program.out_avals] == [((3, 2, 16), jnp.float32)]
    equations = list(_equations(program.jaxpr))
    products = [equation for equation in equations if equation.primitive.name == "dot_general"]
    assert len(products) == {"llama": 7, "gptj": 6}[kind] + 2  # the matrices of a block, scores and values
    for product in products:
        assert {operand.aval.dtype for operand in product.invars} == {jnp.dtype(compute_dtype)}
        assert product.outvars[0].aval.dtype == np.float32
        assert product.params["precision"] == (jax.lax.Precision.HIGHEST,) * 2
    arithmetic = {"add", "sub", "mul", "div", "exp", "rsqrt", "reduce_sum", "reduce_max", "sin", "cos", "logistic"}
    for equation in equations:
        if equation.primitive.name in arithmetic:
            assert all(operand.aval.dtype != jnp.bfloat16 for operand in equation.invars), equation


def _equations(jaxpr):
    for equation in jaxpr.eqns:
        yield equation
        for inner in jaxprs_in_params(equation.params):
            yield from _equations(inner)
