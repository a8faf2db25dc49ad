"""Natural instructions: do pretrained LLaMA and GPT-J models cluster them by task (paper 3.4, table 1)?

    data -> extract -> analyse -> report

The prompts go through the model once; the states of their last tokens are written shard by shard, then scored layer by
layer like those of the main experiment. Any stage may be killed; the same command goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import flax.linen as nn
import jax
import numpy as np
from tqdm import tqdm

from clusterlm_jax.analysis.cells import cells_of
from clusterlm_jax.analysis.evaluator import Evaluator
from clusterlm_jax.analysis.hidden_store import HiddenStore
from clusterlm_jax.analysis.table import ScoreTable
from clusterlm_jax.data.natural import prompts as natural
from clusterlm_jax.data.surface import bag_of_words
from clusterlm_jax.experiments import environment
from clusterlm_jax.extraction import batches, hub
from clusterlm_jax.extraction.reading import read_shards
from clusterlm_jax.extraction.tokens import Tokenizer
from clusterlm_jax.models.gpt2 import parameter_count
from clusterlm_jax.models.pretrained import loading as pretrained
from clusterlm_jax.models.pretrained.architectures import parameter_shapes
from clusterlm_jax.records import Cell, HiddenStates, Prompts, UserError, layer_names
from clusterlm_jax.report import probing as page
from clusterlm_jax.report.spec import ReportSpec
from clusterlm_jax.settings import Probing
from clusterlm_jax.workdir import WorkDir

RUN, WORDS, SPLIT = "main", "null/words", "test"
PROMPTS_FILE = "prompts.jsonl"


def run(config: Probing, workdir: WorkDir) -> None:
    """Runs the stages of `config.stages`; each reads what the one before left in the work directory."""
    if "data" in config.stages:
        make_prompts(config, workdir)
    if "extract" in config.stages:
        extract(config, workdir)
    if "analyse" in config.stages:
        analyse(config, workdir)
    if "report" in config.stages:
        with environment.timed(workdir, "report"):
            written = compare({workdir.root.name: workdir.root}, workdir.root, config.report)
        print(f"The report is at {written}")


def check(config: Probing, workdir: WorkDir) -> None:
    """Refuses, before anything is touched, what cannot be read and stages whose earlier ones are missing.

    Raises:
      UserError: naming the stage to run first, or what is wrong with the checkpoint or with files of words.
    """
    if "data" not in config.stages and not _prompts_file(config, workdir).is_file():
        raise UserError(f"There are no prompts in {workdir.root}: run the 'data' stage first (config.stages).")
    if "data" in config.stages and not _prompts_file(config, workdir).is_file():
        natural.compose(config.data, config.seeds[0])
    read = "model" in workdir.read_json("run.json")
    if "extract" in config.stages and not read:
        _locate(config)
    if "analyse" in config.stages and "extract" not in config.stages and not read:
        raise UserError(f"No model was read in {workdir.root}: run the 'extract' stage first (config.stages).")


def compare(workdirs: Mapping[str, Path], into: Path, spec: ReportSpec) -> Path:
    """Writes the page of one or several probed models, and returns its path."""
    return page.write(workdirs, into, spec)


def make_prompts(config: Probing, workdir: WorkDir) -> None:
    """Composes the prompts, unless the work directory has them."""
    path = _prompts_file(config, workdir)
    if not path.exists():
        with environment.timed(workdir, "data"):
            natural.save(natural.compose(config.data, config.seeds[0]), path)
    if "dataset" not in workdir.read_json("run.json"):
        workdir.update_run(dataset=natural.statistics(natural.load(path)))


def extract(config: Probing, workdir: WorkDir) -> None:
    """Reads the hidden states of every prompt's last token, unless they are there or scored already."""
    prompts, seed = _prompts(config, workdir), config.seeds[0]
    store = HiddenStore(workdir.hidden, owner=True)
    table = ScoreTable(workdir.scores, config.eval)
    if "model" in workdir.read_json("run.json") and (
        store.has(RUN, seed, 0, SPLIT) or all(map(table.done, _cells(config, workdir)))
    ):
        return
    environment.record(workdir, {"hidden states": f"{config.extract.compute_dtype} operands, float32 sums"})
    directory = _locate(config)
    model = pretrained.describe(directory, config.extract.compute_dtype)
    spec = model.spec
    ids = Tokenizer(directory, config.extract.fast_tokenizer, spec.vocabulary, spec.positions)(prompts.texts)
    shards = batches.shards_of(ids, config.extract)
    columns = {**prompts.labels, "position": np.array([len(text_ids) - 1 for text_ids in ids], np.int32)}
    environment.check_disk(
        workdir,
        4 * len(prompts) * spec.hidden_dim * len(layer_names(spec.layers)),
        "choose another --workdir",
    )
    _describe(config, workdir, directory, model, ids, shards)
    with environment.timed(workdir, "extract"):
        if config.extract.random_weights:
            params = pretrained.untrained(model, seed, jax.local_devices())
        else:
            params = pretrained.load(directory, model, jax.local_devices())
        done = store.shards(RUN, seed, 0, SPLIT)
        read = sum(len(batch.instance_N) for shard in shards[:done] for batch in shard)
        with tqdm(total=len(prompts), initial=read, unit="prompt", desc="extract", dynamic_ncols=True) as bar:
            states_of = read_shards(model, params, shards[done:], columns, RUN, seed, SPLIT)
            for number, states in enumerate(states_of, start=done):
                store.save_shard(states, number)
                bar.update(states.hidden_LND.shape[1])
        store.complete(RUN, seed, 0, SPLIT)


def analyse(config: Probing, workdir: WorkDir) -> None:
    """Scores every layer, and as a null baseline the prompts as bags of words."""
    prompts, seed = _prompts(config, workdir), config.seeds[0]
    store = HiddenStore(workdir.hidden, owner=True)
    table = ScoreTable(workdir.scores, config.eval)
    with environment.timed(workdir, "analyse"), Evaluator(config.eval, table, store, workdir.embeddings) as evaluator:
        words = cells_of(WORDS, seed, 0, 0, (SPLIT,), ("0",), config.eval)
        if not all(map(table.done, words)):
            bag_LNW = bag_of_words(prompts.texts)[None]
            columns = {**prompts.labels, "position": bag_LNW[0].sum(axis=1).astype(np.int32) - 1}
            store.save(HiddenStates(bag_LNW, ("0",), columns, WORDS, seed, 0, 0, SPLIT))
        evaluator.submit(words)
        evaluator.submit(_cells(config, workdir))
        environment.drain(evaluator)


def _locate(config: Probing) -> Path:
    """The directory of the checkpoint, downloaded if need be."""
    if not config.checkpoint:
        raise UserError(
            "config.checkpoint is not set; it must be a directory with a model, or its name on Hugging Face, "
            "for example --config.checkpoint=EleutherAI/gpt-j-6b."
        )
    return hub.locate(config.checkpoint, weights=not config.extract.random_weights)


def _prompts_file(config: Probing, workdir: WorkDir) -> Path:
    return workdir.dataset(config.seeds[0]) / PROMPTS_FILE


def _prompts(config: Probing, workdir: WorkDir) -> Prompts:
    """The prompts this run began with: hidden states are scored with the labels they were read with."""
    prompts = natural.load(_prompts_file(config, workdir))
    if workdir.read_json("run.json").get("dataset", {}).get("sha256") != natural.digest(prompts):
        raise UserError(f"The prompts of {workdir.root} are not those this run began with: use a new --workdir.")
    return prompts


def _cells(config: Probing, workdir: WorkDir) -> list[Cell]:
    layers = layer_names(workdir.read_json("run.json")["model"]["layers"])
    return cells_of(RUN, config.seeds[0], 0, 0, (SPLIT,), layers, config.eval)


def _describe(
    config: Probing,
    workdir: WorkDir,
    directory: Path,
    model: nn.Module,
    ids: Sequence[np.ndarray],
    shards: Sequence[Sequence[batches.PromptBatch]],
) -> None:
    """Tells, and writes down, which model reads what."""
    spec, parameters = model.spec, parameter_count(parameter_shapes(model))
    name = directory.resolve().name if Path(config.checkpoint).is_dir() else Path(config.checkpoint).name
    tokens, share = sum(map(len, ids)), batches.padding_share(shards)
    print(
        f"{name}: {type(model).__name__}, {spec.layers} blocks of width {spec.hidden_dim}, {parameters:,} parameters"
        f"{' at random' if config.extract.random_weights else ''} in {spec.compute_dtype} "
        f"on {len(jax.local_devices())} x {jax.local_devices()[0].device_kind}"
    )
    print(f"{len(ids):,} prompts, {tokens:,} tokens; {share:.0%} of the positions computed are padding")
    workdir.update_run(
        model={
            "name": name,
            "architecture": type(model).__name__.lower(),
            "hidden_dim": spec.hidden_dim,
            "layers": spec.layers,
            "heads": spec.heads,
            "parameters": parameters,
            "compute_dtype": spec.compute_dtype,
            "random_weights": config.extract.random_weights,
            "checkpoint": config.checkpoint,
        },
        extraction={"tokens": tokens, "padding_share": share, "longest": max(map(len, ids))},
    )
