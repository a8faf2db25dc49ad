"""Our GPT-2 compared with PyTorch's, and the properties that its hidden states depend on."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from clusterlm_jax.data.batching import TrainingBatches
from clusterlm_jax.models.gpt2 import GPT2, attention_mask, initial_params, parameter_count
from clusterlm_jax.models.sites import HIDDEN
from clusterlm_jax.models.spec import GPT2Spec
from clusterlm_jax.records import PADDING, Batch

TOLERANCE = 5e-5  # float32 noise; a wrong epsilon, GELU or mask makes a difference of 1e-4 or more
SMALL = GPT2Spec(layers=3, heads=4, hidden_dim=32, positions=16, dropout=0.0)
VOCABULARY = 23


def plain_batch(tokens_BT: np.ndarray, column_N: np.ndarray | None = None) -> Batch:
    """One instance in each row, nothing shared, read at `column_N` (the last column by default)."""
    rows, length = tokens_BT.shape
    column_N = np.full(rows, length - 1) if column_N is None else column_N
    return Batch(
        tokens_RT=tokens_BT,
        position_RT=np.broadcast_to(np.arange(length), tokens_BT.shape),
        segment_RT=np.ones_like(tokens_BT),
        branch_RT=np.zeros_like(tokens_BT),
        weight_RT=np.ones_like(tokens_BT),
        row_N=np.arange(rows),
        column_N=column_N,
        prefix_N=column_N - 1,
        output_N=np.ones(rows, np.int32),
    )


def perturbed(params: dict, seed: int) -> dict:
    """Parameters with no bias or scale at its initial 0 or 1, so that leaving one out makes a difference."""
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(seed), len(leaves))
    noise = [leaf + 0.1 * jax.random.normal(key, leaf.shape) for leaf, key in zip(leaves, keys, strict=True)]
    return jax.tree.unflatten(tree, noise)


def torch_twin(spec: GPT2Spec, params: dict):
    """transformers' PyTorch GPT-2 with our parameters."""
    torch = pytest.importorskip("torch")
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=VOCABULARY,
        n_positions=spec.positions,
        n_embd=spec.hidden_dim,
        n_layer=spec.layers,
        n_head=spec.heads,
        n_inner=spec.feed_forward_width,
        attn_implementation="eager",
    )
    twin = GPT2LMHeadModel(config).eval()
    state = {"transformer.wte.weight": params["word_embedding"]["embedding"]}
    state["transformer.wpe.weight"] = params["position_embedding"]["embedding"]
    names = {"attention_in": "attn.c_attn", "attention_out": "attn.c_proj"}
    names |= {"feed_forward_in": "mlp.c_fc", "feed_forward_out": "mlp.c_proj"}
    for index in range(spec.layers):
        block = params[f"block_{index}"]
        for ours, theirs in names.items():  # its Conv1D keeps kernels as we do, [in, out]
            state[f"transformer.h.{index}.{theirs}.weight"] = block[ours]["kernel"]
            state[f"transformer.h.{index}.{theirs}.bias"] = block[ours]["bias"]
        for number in (1, 2):
            state[f"transformer.h.{index}.ln_{number}.weight"] = block[f"norm_{number}"]["scale"]
            state[f"transformer.h.{index}.ln_{number}.bias"] = block[f"norm_{number}"]["bias"]
    state["transformer.ln_f.weight"] = params["final_norm"]["scale"]
    state["transformer.ln_f.bias"] = params["final_norm"]["bias"]
    state["lm_head.weight"] = state["transformer.wte.weight"]
    left = twin.load_state_dict({name: torch.tensor(np.array(value)) for name, value in state.items()}, strict=False)
    assert not left.unexpected_keys
    assert all(name.endswith((".attn.bias", ".attn.masked_bias")) for name in left.missing_keys)
    return torch, twin


@pytest.fixture(scope="module")
def params() -> dict:
    return perturbed(initial_params(GPT2(SMALL, VOCABULARY), jax.random.key(0)), seed=1)


def test_every_block_equals_pytorch(params):
    """By hooks: the first of transformers' own hidden_states has positions added, and the last is after the norm."""
    torch, twin = torch_twin(SMALL, params)
    tokens_BT = np.random.default_rng(0).integers(1, VOCABULARY, (4, 11))
    after_block: list = []
    for block in twin.transformer.h:
        block.register_forward_hook(
            lambda _, __, out: after_block.append((out[0] if isinstance(out, tuple) else out).detach().numpy())
        )
    normed: list = []
    twin.transformer.ln_f.register_forward_hook(lambda _, __, out: normed.append(out.detach().numpy()))
    with torch.no_grad():
        their_logits = twin(torch.tensor(tokens_BT)).logits.numpy()
        their_words = twin.transformer.wte(torch.tensor(tokens_BT)).numpy()
    model = GPT2(SMALL, VOCABULARY)
    for column in (0, 4, 10):
        batch = plain_batch(tokens_BT, np.full(4, column))
        logits, sown = model.apply({"params": params}, batch, mutable=[HIDDEN])
        theirs = [their_words, *after_block, normed[0]]
        names = ["0", *(str(index + 1) for index in range(SMALL.layers)), "final_norm"]
        for name, states in zip(names, theirs, strict=True):
            ours = sown[HIDDEN][f"layer_{name}"]
            np.testing.assert_allclose(ours, states[:, column], atol=TOLERANCE, rtol=0, err_msg=f"layer {name}")
        np.testing.assert_allclose(logits, their_logits, atol=TOLERANCE, rtol=0)


def test_that_parity_is_no_tautology(params):
    """If any one parameter changes, the logits move by more than the tolerance."""
    tokens_BT = np.random.default_rng(0).integers(1, VOCABULARY, (2, 8))
    batch, apply = plain_batch(tokens_BT), jax.jit(GPT2(SMALL, VOCABULARY).apply)
    logits = apply({"params": params}, batch)
    leaves, tree = jax.tree.flatten(params)
    unmoved = []
    for index, leaf in enumerate(leaves):
        changed = [*leaves[:index], leaf * 1.05, *leaves[index + 1 :]]
        if np.abs(apply({"params": jax.tree.unflatten(tree, changed)}, batch) - logits).max() < 2 * TOLERANCE:
            unmoved.append(jax.tree_util.tree_flatten_with_path(params)[0][index][0])
    assert not unmoved


@pytest.mark.parametrize(
    ("hidden_dim", "count"), [(32, 55_360), (256, 3_195_392), (768, 23_738_880), (2048, 201_723_904)]
)
def test_parameter_counts_of_table_9(hidden_dim, count):
    model = GPT2(GPT2Spec(hidden_dim=hidden_dim), vocabulary=62)
    assert parameter_count(jax.eval_shape(lambda: initial_params(model, jax.random.key(0)))) == count


def test_causal_by_gradient(params):
    """The logits at a position depend on every token up to it and on none after it."""
    model, position, length = GPT2(SMALL, VOCABULARY), 5, 9
    tokens_BT = np.random.default_rng(1).integers(1, VOCABULARY, (1, length))
    words = params["word_embedding"]["embedding"]

    def said(embedding_TD):
        # Each position has a token of its own, whose embedding we differentiate by.
        own = params | {"word_embedding": {"embedding": jnp.concatenate([embedding_TD, words[length:]])}}
        return model.apply({"params": own}, plain_batch(np.arange(length)[None]))[0, position, length:].sum()

    gradient_TD = jax.grad(said)(words[tokens_BT[0]])
    moved_T = np.abs(gradient_TD).max(axis=1) > 0
    assert moved_T[: position + 1].all()
    assert not moved_T[position + 1 :].any()


def test_packing_changes_nothing(dataset):
    """Packed instances, which share rows and instructions, have the states and logits of padded ones."""
    spec = dataclasses.replace(SMALL, positions=32)
    model = GPT2(spec, dataset.vocabulary.size)
    params = perturbed(initial_params(model, jax.random.key(0)), seed=1)
    apply = jax.jit(lambda batch: model.apply({"params": params}, batch, mutable=[HIDDEN]))
    for unit in ("instance", "instruction"):
        batch = jax.tree.map(lambda a: a[0], TrainingBatches(dataset, 12, unit, epochs=1, seed=0).epoch(1))
        assert len(set(batch.row_N.tolist())) < len(batch.row_N)  # or nothing is packed
        logits, sown = apply(batch)
        for n, (row, column) in enumerate(zip(batch.row_N, batch.column_N, strict=True)):
            same = (batch.segment_RT[row] == batch.segment_RT[row, column]) & (batch.branch_RT[row] == 0)
            tokens = [*batch.tokens_RT[row][same], batch.tokens_RT[row, column]]
            padded_1T = np.array([tokens + [PADDING] * (spec.positions - len(tokens))])
            alone, alone_sown = apply(plain_batch(padded_1T, np.array([len(tokens) - 1])))
            np.testing.assert_allclose(logits[row, column], alone[0, len(tokens) - 1], atol=TOLERANCE, rtol=0)
            for name, states in sown[HIDDEN].items():
                np.testing.assert_allclose(states[n], alone_sown[HIDDEN][name][0], atol=TOLERANCE, rtol=0)


def test_mask_is_of_segment_branch_and_order():
    batch = plain_batch(np.ones((1, 5), np.int32))._replace(
        segment_RT=np.array([[1, 1, 1, 1, 2]]),
        branch_RT=np.array([[0, 0, 1, 2, 0]]),
    )
    expected = [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [1, 1, 0, 1, 0], [0, 0, 0, 0, 1]]
    np.testing.assert_array_equal(attention_mask(batch)[0], np.array(expected, bool))


def test_nothing_is_sown_unless_asked(params):
    batch = plain_batch(np.ones((2, 4), np.int32))
    model = GPT2(SMALL, VOCABULARY)
    assert set(model.init(jax.random.key(0), batch)) == {"params"}
    _, variables = model.apply({"params": params}, batch, mutable=[])
    assert not variables


def test_states_come_in_layer_order_beyond_nine_blocks():
    """jit returns dicts sorted by name, layer_10 before layer_2; the stacked states are in the order of the layers."""
    from clusterlm_jax.training.steps import read_step

    spec = dataclasses.replace(SMALL, layers=11)
    model = GPT2(spec, VOCABULARY)
    params = perturbed(initial_params(model, jax.random.key(0)), seed=1)
    batch = plain_batch(np.ones((2, 4), np.int32))
    reading = jax.jit(lambda params, batch: read_step(model, params, batch))(params, batch)
    _, sown = model.apply({"params": params}, batch, mutable=[HIDDEN])
    for index in range(12):
        np.testing.assert_allclose(reading.hidden_LND[index], sown[HIDDEN][f"layer_{index}"], atol=TOLERANCE)


def test_initial_scales(dataset):
    model = GPT2(GPT2Spec(hidden_dim=256), vocabulary=62)
    params = initial_params(model, jax.random.key(0))
    assert float(params["word_embedding"]["embedding"].std()) == pytest.approx(0.02, rel=0.05)
    block = params["block_3"]
    assert float(block["attention_in"]["kernel"].std()) == pytest.approx(0.02, rel=0.05)
    for residual in ("attention_out", "feed_forward_out"):
        assert float(block[residual]["kernel"].std()) == pytest.approx(0.02 / np.sqrt(12), rel=0.05)


def test_bfloat16_is_near_float32(params):
    """bfloat16 has 8 bits of precision: the logits differ, by at most a few hundredths."""
    batch = plain_batch(np.random.default_rng(0).integers(1, VOCABULARY, (4, 11)))
    exact = GPT2(SMALL, VOCABULARY).apply({"params": params}, batch)
    rough = GPT2(dataclasses.replace(SMALL, compute_dtype="bfloat16"), VOCABULARY).apply({"params": params}, batch)
    difference = np.abs(rough - exact).max() / np.abs(exact).max()
    assert 1e-5 < difference < 0.05


def test_an_untied_head_has_parameters_of_its_own():
    """Vocabulary times width parameters more, and other logits; the states are the same."""
    tied, untied = GPT2(SMALL, VOCABULARY), GPT2(SMALL, VOCABULARY, untied=True)
    own = initial_params(untied, jax.random.key(0))
    shared = {name: value for name, value in own.items() if name != "head"}
    assert parameter_count(own) - parameter_count(shared) == VOCABULARY * SMALL.hidden_dim
    batch = plain_batch(np.ones((2, 4), np.int32))
    (logits, sown), (theirs, their_sown) = (
        model.apply({"params": params}, batch, mutable=[HIDDEN]) for model, params in ((tied, shared), (untied, own))
    )
    assert np.abs(logits - theirs).max() > TOLERANCE
    jax.tree.map(np.testing.assert_array_equal, sown, their_sown)
