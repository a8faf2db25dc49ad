"""Natural instructions: do pretrained LLaMA and GPT-J models cluster them by task (paper 3.4, table 1)?

    data -> extract -> analyse -> report

The prompts go through the model once. The states of their last tokens are written shard by shard, then scored layer by
layer like those of the main experiment. Any stage may be killed; the same command resumes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from clusterlm_jax import progress
from clusterlm_jax.analysis.cells import cells_of
from clusterlm_jax.data.natural import prompts as natural
from clusterlm_jax.data.surface import bag_of_words
from clusterlm_jax.experiments import environment
from clusterlm_jax.experiments.probing.probe import SPLIT, WORDS
from clusterlm_jax.experiments.probing.settings import Probing
from clusterlm_jax.experiments.stages import Stage, report
from clusterlm_jax.experiments.work import Work
from clusterlm_jax.extraction import batches, hub
from clusterlm_jax.extraction.reading import read_shards
from clusterlm_jax.extraction.tokens import Tokenizer
from clusterlm_jax.models.gpt2 import parameter_count
from clusterlm_jax.models.pretrained import loading as pretrained
from clusterlm_jax.models.pretrained.architectures import parameter_shapes
from clusterlm_jax.records import Cell, HiddenStates, Prompts, UserError, layer_names
from clusterlm_jax.report.reading import MAIN, name_of
from clusterlm_jax.workdir import WorkDir


def compose(config: Probing, work: Work) -> None:
    """Composes the prompts, unless the work directory has them."""
    path = _prompts_file(config, work.dir)
    if not path.exists():
        natural.save(natural.compose(config.data, config.seeds[0]), path)
    if "dataset" not in work.dir.read_json("run.json"):
        work.dir.update_run(dataset=natural.statistics(natural.load(path)))


def extract(config: Probing, work: Work) -> None:
    """Reads the hidden states of every prompt's last token, unless they are there or scored already."""
    prompts, states = _prompts(config, work.dir), (MAIN, config.seeds[0], 0, SPLIT)
    if _read(config, work.dir) and (work.store.has(*states) or all(map(work.table.done, _cells(config, work.dir)))):
        return
    environment.record(work.dir, {"hidden states": f"{config.extract.compute_dtype} operands, float32 sums"})
    directory = _locate(config)
    model = pretrained.describe(directory, config.extract.compute_dtype)
    spec = model.spec
    ids = Tokenizer(directory, config.extract.fast_tokenizer, spec.vocabulary, spec.positions)(prompts.texts)
    shards = batches.shards_of(ids, config.extract, spec.positions)
    needed = 4 * len(prompts) * spec.hidden_dim * len(layer_names(spec.layers))
    work.dir.check_disk(needed, "choose another --workdir")
    tokens, share = sum(map(len, ids)), batches.padding_share(shards)
    described, extraction = _describe(config, model), {"tokens": tokens, "padding_share": share}
    print(f"{len(ids):,} prompts, {tokens:,} tokens; {share:.0%} of the positions computed are padding")
    work.dir.update_run(model=described, extraction=extraction | {"longest": max(map(len, ids))})
    with work.dir.timed("extract"):  # without the download, and not where everything is there
        if config.extract.random_weights:
            params = pretrained.untrained(model, config.seeds[0], jax.devices())
        else:
            params = pretrained.load(directory, model, jax.devices())
        columns = {**prompts.labels, "position": np.array([len(text_ids) - 1 for text_ids in ids], np.int32)}
        done = work.store.shards(*states)  # before any process reads more, as they read together
        read = sum(len(batch.instance_N) for shard in shards[:done] for batch in shard)
        with progress.bar("extract", "prompt", len(prompts), read, progress.COMPILING) as bar:
            new = read_shards(model, params, shards[done:], columns, MAIN, config.seeds[0], SPLIT)
            for number, shard in enumerate(new, start=done):
                work.store.save_shard(shard, number)
                bar.update(shard.hidden_LND.shape[1])
                bar.set_postfix_str("")
        work.store.complete(*states)


def analyse(config: Probing, work: Work) -> None:
    """Scores every layer, and as a null baseline the prompts as bags of words."""
    prompts, seed = _prompts(config, work.dir), config.seeds[0]
    words = cells_of(WORDS, seed, 0, 0, (SPLIT,), ("0",), config.eval)
    if not all(map(work.table.done, words)):
        bag_LNV = bag_of_words(prompts.texts)[None]
        columns = {**prompts.labels, "position": bag_LNV[0].sum(axis=1).astype(np.int32) - 1}
        work.store.save(HiddenStates(bag_LNV, ("0",), columns, WORDS, seed, 0, 0, SPLIT))
    work.score(words)
    work.score(_cells(config, work.dir))
    work.drain()


def _composed(config: Probing, workdir: WorkDir) -> bool:
    return _prompts_file(config, workdir).is_file()


def _read(config: Probing, workdir: WorkDir) -> bool:
    """Whether a model has been described in `run.json`, so that its layers are known."""
    return "layers" in workdir.read_json("run.json").get("model", {})


def _check_words(config: Probing, workdir: WorkDir) -> None:
    """Files of words that are named in the configuration must fit."""
    if not _composed(config, workdir):
        natural.compose(config.data, config.seeds[0])


def _check_checkpoint(config: Probing, workdir: WorkDir) -> None:
    """The device and the checkpoint must be there; it is downloaded before anything else is done."""
    environment.check_device(config, workdir)
    if not _read(config, workdir):
        _locate(config)


def _locate(config: Probing) -> Path:
    """The directory of the checkpoint, downloaded if need be."""
    if not config.checkpoint:
        raise UserError(
            "config.checkpoint is not set; it must be a directory with a model, or its name on Hugging Face, "
            "for example --config.checkpoint=EleutherAI/gpt-j-6b."
        )
    return hub.locate(config.checkpoint, weights=not config.extract.random_weights)


def _prompts_file(config: Probing, workdir: WorkDir) -> Path:
    return workdir.dataset(config.seeds[0]) / natural.FILE


def _prompts(config: Probing, workdir: WorkDir) -> Prompts:
    """The prompts this run began with: hidden states are scored with the labels they were read with."""
    prompts = natural.load(_prompts_file(config, workdir))
    if workdir.read_json("run.json").get("dataset", {}).get("sha256") != natural.digest(prompts):
        raise UserError(f"The prompts of {workdir.root} are not those this run began with: use a new --workdir.")
    return prompts


def _cells(config: Probing, workdir: WorkDir) -> list[Cell]:
    layers = layer_names(workdir.read_json("run.json")["model"]["layers"])
    return cells_of(MAIN, config.seeds[0], 0, 0, (SPLIT,), layers, config.eval)


def _describe(config: Probing, model: nn.Module) -> dict[str, Any]:
    """Tells which model reads; what `run.json` says of it."""
    spec, parameters = model.spec, parameter_count(parameter_shapes(model))
    name = name_of(Path(config.checkpoint))  # of its directory, or of its repository without the owner
    print(
        f"{name}: {type(model).__name__}, {spec.layers} blocks of width {spec.hidden_dim}, {parameters:,} parameters"
        f"{' at random' if config.extract.random_weights else ''} in {spec.compute_dtype} "
        f"on {len(jax.devices())} x {jax.devices()[0].device_kind}"
    )
    described = {key: getattr(spec, key) for key in ("hidden_dim", "layers", "heads", "compute_dtype")}
    described |= {"name": name, "architecture": type(model).__name__.lower(), "parameters": parameters}
    return described | {"random_weights": config.extract.random_weights, "checkpoint": config.checkpoint}


STAGES = {
    "data": Stage(compose, left=_composed, check=_check_words, together=True),
    "extract": Stage(extract, needs=("data",), left=_read, check=_check_checkpoint, timed=False, together=True),
    "analyse": Stage(analyse, needs=("data", "extract")),
    "report": report("data"),
}
