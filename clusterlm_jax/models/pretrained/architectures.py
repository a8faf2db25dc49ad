"""Turns a configuration of transformers into one of our modules, and reads the hidden states of that module.

Every attribute of a configuration is one of three things: we read it; it is known not to affect hidden states; or it
has the value that our graph implements. Anything else is refused, so no checkpoint gives silently wrong states.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from clusterlm_jax.models.layers import NO_HEAD, OWN_HEAD, TIED_HEAD
from clusterlm_jax.models.pretrained.gptj import GPTJ, GPTJSpec
from clusterlm_jax.models.pretrained.llama import Llama, LlamaSpec
from clusterlm_jax.models.pretrained.rotary import RopeScaling
from clusterlm_jax.models.sites import HIDDEN, stacked
from clusterlm_jax.models.spec import COMPUTE_DTYPES
from clusterlm_jax.records import UserError

# The attributes we read, and the field of the spec that each becomes.
LLAMA = {
    "vocab_size": "vocabulary",
    "hidden_size": "hidden_dim",
    "intermediate_size": "ffn_dim",
    "num_hidden_layers": "layers",
    "num_attention_heads": "heads",
    "num_key_value_heads": "kv_heads",
    "head_dim": "head_dim",
    "max_position_embeddings": "positions",
    "rms_norm_eps": "norm_epsilon",
    "rope_theta": "rope_theta",
    "rope_scaling": "rope_scaling",
}
GPT_J = {
    "vocab_size": "vocabulary",
    "n_embd": "hidden_dim",
    "n_inner": "ffn_dim",
    "n_layer": "layers",
    "n_head": "heads",
    "rotary_dim": "rotary_dim",
    "n_positions": "positions",
    "layer_norm_epsilon": "norm_epsilon",
}
REAL = ("rms_norm_eps", "layer_norm_epsilon", "rope_theta")  # the other numbers are integers

# No hidden state of a forward pass without dropout depends on these attributes, whatever their value.
NEUTRAL = {
    "where the weights come from": "_name_or_path _commit_hash architectures model_type transformers_version",
    "how they are stored": "dtype torch_dtype use_bfloat16",
    "how they were made and trained": """
        initializer_range attention_dropout attn_pdrop embd_pdrop resid_pdrop gradient_checkpointing""",
    "whether products are computed in slices": "pretraining_tp",
    "code inside the checkpoint, which transformers does not run unless asked to": "auto_map",
    "the language head (whether it is tied, `model_of` reads itself), and heads for other tasks": """
        tie_word_embeddings summary_activation summary_first_dropout summary_proj_to_labels summary_type
        summary_use_proj finetuning_task id2label label2id task_specific_params problem_type""",
    "what a call returns, and whether it keeps a cache": """
        use_cache return_dict output_hidden_states output_attentions torchscript tf_legacy_loss""",
    "the tokenizer's": """
        bos_token_id eos_token_id pad_token_id sep_token_id decoder_start_token_id tokenizer_class prefix""",
    "older names for the number of positions, given in addition to today's": "n_ctx max_sequence_length",
    "generation": """
        max_length min_length do_sample early_stopping num_beams temperature top_k top_p typical_p repetition_penalty
        length_penalty no_repeat_ngram_size encoder_no_repeat_ngram_size bad_words_ids num_return_sequences
        output_scores return_dict_in_generate forced_bos_token_id forced_eos_token_id remove_invalid_values
        exponential_decay_length_penalty suppress_tokens begin_suppress_tokens num_beam_groups diversity_penalty""",
}
# Attributes that transformers' classes do not declare, but some checkpoints give, with the value our graph implements.
UNDECLARED = {"rotary": True, "scale_attn_weights": True, "partial_rotary_factor": 1.0}
# transformers 4 declares these and 5 does not: a checkpoint saved by 4 may still give them.
UNDECLARED |= {"is_decoder": False, "add_cross_attention": False, "cross_attention_hidden_size": None}
UNDECLARED |= {"tie_encoder_decoder": False, "pruned_heads": {}}

SCALINGS = {
    "default": (),
    "linear": ("factor",),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"),
}


def model_of(config: Any, compute_dtype: str, head: bool = False) -> nn.Module:
    """The module (`Llama` or `GPTJ`) that a `transformers.PretrainedConfig` describes, with or without its head.

    Raises:
      UserError: another architecture; an attribute we do not handle, at another value than its default; or sizes that
        do not fit together.
    """
    if compute_dtype not in COMPUTE_DTYPES:
        raise UserError(f"compute_dtype is {compute_dtype!r}; allowed: {', '.join(COMPUTE_DTYPES)}.")
    if config.model_type not in ARCHITECTURES:
        allowed = ", ".join(ARCHITECTURES)
        raise UserError(f"The checkpoint's model_type is {config.model_type!r}; allowed: {allowed}.")
    fields, check, spec_class, model_class = ARCHITECTURES[config.model_type]
    given, default = (_rotary_apart(attributes.to_dict()) for attributes in (config, type(config)()))
    _refuse_unhandled(given, UNDECLARED | default, {*fields, *" ".join(NEUTRAL.values()).split()})
    given = check({name: given[name] for name in fields})
    own_or_tied = TIED_HEAD if config.tie_word_embeddings else OWN_HEAD
    spec = spec_class(**{fields[name]: given[name] for name in fields}, compute_dtype=compute_dtype)
    return model_class(spec, own_or_tied if head else NO_HEAD)


def parameter_shapes(model: nn.Module) -> dict:
    """The tree of a model's parameters, as `jax.ShapeDtypeStruct`; nothing is computed."""
    one = jnp.zeros((1, 1), jnp.int32)
    return jax.eval_shape(model.init, jax.random.key(0), one, one[0])["params"]


def read_states(model: nn.Module, params: Mapping, tokens_BT: jax.Array, last_B: jax.Array) -> jax.Array:
    """States of each row's token `last_B` at every layer, float32 [L, B, D] in the order of `records.layer_names`.

    A pure function, for jit. Rows may be right-padded with any token.
    """
    # Without this, an A100 multiplies float32 matrices as TF32 and a TPU as bfloat16.
    with jax.default_matmul_precision("highest"):
        _, sown = model.apply({"params": params}, tokens_BT, last_B, mutable=[HIDDEN])
    return stacked(sown[HIDDEN], model.spec.layers)


def _rotary_apart(given: Mapping) -> dict:
    """The attributes with `rope_theta` and `rope_scaling` apart, as transformers 4 has them.

    transformers 5 puts both into one attribute, `rope_parameters`, and writes it to config.json. Version 4 reads such a
    file without an error, but with its own default of `rope_theta`. So both layouts are read here, under both versions.
    """
    together = given.get("rope_parameters") or {}
    if not isinstance(together, Mapping) or (together and given.get("rope_scaling")):
        return dict(given)  # no mapping, or two that may differ: `_refuse_unhandled` names the attribute
    apart = {name: value for name, value in given.items() if name != "rope_parameters"}
    if together:
        scaling = dict(together)
        apart |= {name: scaling.pop(name) for name in ("rope_theta", "partial_rotary_factor") if name in scaling}
        apart["rope_scaling"] = scaling or None
    return apart


def _refuse_unhandled(given: Mapping, default: Mapping, handled: set[str]) -> None:
    for name, value in given.items():
        if name not in handled and (name not in default or value != default[name]):
            allowed = f"{default[name]!r}" if name in default else "a configuration without it"
            raise UserError(f"The checkpoint's {name} is {value!r}, which is not implemented; allowed: {allowed}.")


def _llama(given: dict) -> dict:
    _check_numbers({name: value for name, value in given.items() if name != "rope_scaling"})
    heads, width, kv_heads = (given[name] for name in ("num_attention_heads", "hidden_size", "num_key_value_heads"))
    _check(heads % kv_heads == 0, given, "num_key_value_heads", f"a divisor of num_attention_heads = {heads}")
    # If head_dim is not given, transformers sets it to this quotient, rounded down.
    fits = width % heads == 0 or given["head_dim"] != width // heads
    _check(fits, given, "num_attention_heads", f"a divisor of hidden_size = {width}, unless head_dim says otherwise")
    _check(given["head_dim"] % 2 == 0, given, "head_dim", "an even number: halves of a head rotate together")
    return given | {"rope_scaling": _rope_scaling(given["rope_scaling"])}


def _gptj(given: dict) -> dict:
    # Unset, transformers makes angles for a head as wide as the model; its own model fails where there are several.
    if given["rotary_dim"] is None and given["n_head"] == 1:
        given["rotary_dim"] = given["n_embd"]
    _check_numbers({name: value for name, value in given.items() if name != "n_inner" or value is not None})
    heads, width = given["n_head"], given["n_embd"]
    given["n_inner"] = given["n_inner"] or 4 * width
    _check(width % heads == 0, given, "n_head", f"a divisor of n_embd = {width}")
    fits = given["rotary_dim"] % 2 == 0 and given["rotary_dim"] <= width // heads
    _check(fits, given, "rotary_dim", f"an even number up to the width of a head, {width // heads}")
    return given


def _check_numbers(given: Mapping) -> None:
    for name, value in given.items():
        if name in REAL:
            _check(_is_number(value) and value > 0, given, name, "a number above 0")
        else:
            _check(type(value) is int and value > 0, given, name, "a whole number of at least 1")


def _rope_scaling(given: Mapping | None) -> RopeScaling | None:
    if given is None:
        return None
    kinds = {given[key] for key in ("rope_type", "type") if key in given}  # two spellings; if both, they must agree
    if len(kinds) != 1 or not kinds <= SCALINGS.keys():
        raise UserError(f"The checkpoint's rope_scaling is {given!r}; allowed kinds: {', '.join(SCALINGS)}.")
    kind = kinds.pop()
    factors = {name: value for name, value in given.items() if name not in ("rope_type", "type")}
    if factors.keys() != set(SCALINGS[kind]) or not all(_is_number(value) and value > 0 for value in factors.values()):
        wanted = f"numbers above 0 for {', '.join(SCALINGS[kind])}" if SCALINGS[kind] else "nothing"
        raise UserError(f"The checkpoint's rope_scaling is {given!r}; besides its kind it must give {wanted}.")
    if kind == "llama3" and factors["low_freq_factor"] >= factors["high_freq_factor"]:
        raise UserError(f"The checkpoint's rope_scaling is {given!r}; low_freq_factor must be below high_freq_factor.")
    return None if kind == "default" else RopeScaling(kind, *(factors[name] for name in SCALINGS[kind]))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _check(right: bool, given: Mapping, name: str, allowed: str) -> None:
    if not right:
        raise UserError(f"The checkpoint's {name} is {given[name]!r}; it must be {allowed}.")


# For each model_type: the attributes we read; a function that checks them, and fills in those that follow from others;
# the spec and the module they become.
ARCHITECTURES = {
    "llama": (LLAMA, _llama, LlamaSpec, Llama),
    "gptj": (GPT_J, _gptj, GPTJSpec, GPTJ),
}
