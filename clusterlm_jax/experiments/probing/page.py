"""The page of one or several probed models: figures, tables, and what to read first (paper 3.4, table 1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from clusterlm_jax.data.natural import prompts as natural
from clusterlm_jax.experiments.probing.claims import judge
from clusterlm_jax.experiments.probing.figures import FIGURES
from clusterlm_jax.experiments.probing.probe import SPLIT, Probe, read_probe, read_probes
from clusterlm_jax.experiments.probing.summary import summary
from clusterlm_jax.experiments.probing.tables import TABLES
from clusterlm_jax.records import FINAL_NORM
from clusterlm_jax.report.claims import MARGIN
from clusterlm_jax.report.explorer.spaces import Explorer, explore
from clusterlm_jax.report.page import PAPER, Page, publish
from clusterlm_jax.report.reading import address_of, name_of
from clusterlm_jax.report.run import measured
from clusterlm_jax.report.spec import ReportSpec
from clusterlm_jax.report.tables import shown
from clusterlm_jax.report.training import seconds_words
from clusterlm_jax.report.words import LABEL_WORDS, LABELS, SHORT_REDUCERS, counted

ARCHITECTURES = {"llama": "LLaMA", "gptj": "GPT-J"}
# Of the explorer: a prompt's task identity is its category.
COLOURS = {"task": "category", "distribution": "task", "input": "input", "output": "output", "mapping": "pair of words"}
INTRODUCTION = (
    "Pretrained language models read instructions in natural language for 16 tasks of three categories, and the "
    f"hidden states of the input's last token were clustered at every layer, as in section 3.4 of {PAPER}. There a "
    "prompt's <em>task</em> identity is its category, its <em>distribution</em> is which of the 16 tasks it words, "
    "and <em>distribution-mapping</em> is that task with its pair of words."
)


def write(workdir: Path, spec: ReportSpec) -> Path:
    """The page of one model, as far as its work directory has come; what was not run is named in its place.

    Raises:
      UserError: there is no such work directory, or a file in it is damaged.
    """
    return _write((read_probe(workdir, name_of(workdir)),), [""], workdir, spec)


def compare(workdirs: Mapping[str, Path], into: Path, spec: ReportSpec) -> Path:
    """The page of several models, in their order: table 1. A directory that cannot be read says so in its place."""
    addresses = [address_of(workdir, into) for workdir in workdirs.values()]
    return _write(read_probes(workdirs), addresses, into, spec)


def _write(probes: Sequence[Probe], addresses: Sequence[str], into: Path, spec: ReportSpec) -> Path:
    judgements, one = judge(probes), len(probes) == 1
    name = probes[0].name if one else name_of(into)
    lines = [(probe.name, _in_short(probe), address) for probe, address in zip(probes, addresses, strict=True)]
    page = Page(
        title=f"Clusters in {name}",
        question=f"Do pretrained language models cluster instructions by task? {name}",
        introduction=INTRODUCTION,
        summary=summary(probes, judgements),
        lead="figure_probing_layers",
        facts=_facts(probes[0]) if one else lines,
        judgements=judgements,
        several="" if one else "model",
        explorer=_explorer(probes[0], into) if one and spec.explorer else None,
        details={
            f"{kind}{'' if one else f' of {probe.name}'}": content
            for probe in probes
            for kind, content in (("Configuration", probe.config), ("Environment", probe.environment))
        },
    )
    return publish(page, probes, FIGURES, TABLES, into, spec)


def _explorer(probe: Probe, workdir: Path) -> Explorer | None:
    """The prompts in the t-SNE space of every layer, from the chosen one on."""
    chosen = measured(lambda: probe.chosen.layer)
    prompts = [natural.load(path) for path in workdir.glob(f"dataset/seed=*/{natural.FILE}")]
    words = {column: dict(enumerate(names)) for each in prompts for column, names in each.names.items()}
    embeddings = {SPLIT: {layer: {0: path} for layer, path in probe.embeddings.items()}} if probe.embeddings else {}
    return explore(embeddings, words, chosen or "", COLOURS)


def _in_short(probe: Probe) -> str:
    """A line on one of several models."""
    if probe.missing or not probe.clusterings:
        return f"not run: {probe.missing}" if probe.missing else "not run"
    f1 = (f"{LABEL_WORDS[label]} {shown(probe.value(probe.chosen, label=label))}" for label in LABELS)
    return f"{probe.chosen.words}{'' if probe.complete else ' so far'}; F1 by {', '.join(f1)}"


def _facts(probe: Probe) -> list[tuple[str, str]]:
    layers, prompts = len(probe.layers), probe.dataset.get("test")
    scored = ", ".join(f"{words} {probe.scored[reducer]} of {layers}" for reducer, words in SHORT_REDUCERS.items())
    return [
        ("Model", f"{probe.name}: {_model_words(probe)}" if probe.model else "not run"),
        ("Read", f"{counted(prompts, 'prompt')}, each at the last token of its input" if prompts else "not run"),
        ("Layers scored", scored if layers else "not run"),
        ("Best layer", measured(_depth, probe) or "not run"),
        ("Wall time by stage", seconds_words(probe)),
    ]


def _model_words(probe: Probe) -> str:
    model = probe.model
    return (
        f"{ARCHITECTURES.get(model['architecture'], model['architecture'])}, {counted(model['layers'], 'block')} of "
        f"width {model['hidden_dim']:,}, {counted(model['heads'], 'head')}, {model['parameters']:,} parameters without "
        f"the language-model head, computed in {model['compute_dtype']}"
    )


def _depth(probe: Probe) -> str:
    """How deep the chosen layer lies, and whether the choice matters."""
    layer, reducer = probe.chosen
    blocks, curve = len(probe.layers) - 2, probe.curve(reducer=reducer)
    near = sum(value > curve[layer] - MARGIN for value in curve.values()) - 1
    if layer == FINAL_NORM:
        where = f"final norm, after block {blocks}"
    else:
        third = ("lower", "middle", "upper")[3 * int(layer) // (blocks + 1)]
        where = f"layer {layer} of {blocks}, in the {third} third"
    return f"{where} ({SHORT_REDUCERS[reducer]}); {near} of the other {len(curve) - 1} come within {MARGIN} of it"
