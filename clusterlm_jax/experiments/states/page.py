"""The page of one file of hidden states, or of several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from clusterlm_jax.experiments.states.figures import FIGURES
from clusterlm_jax.experiments.states.layers import NULLS, States, read_several, read_states
from clusterlm_jax.experiments.states.tables import TABLES
from clusterlm_jax.report.claims import explanation
from clusterlm_jax.report.page import PAPER, Page, publish
from clusterlm_jax.report.reading import address_of, name_of
from clusterlm_jax.report.run import measured
from clusterlm_jax.report.spec import ReportSpec
from clusterlm_jax.report.training import seconds_words
from clusterlm_jax.report.words import REDUCERS

INTRODUCTION = (
    "Hidden states from a file were clustered at every layer, and the clusters compared with the labels that came with "
    f"them, by the measures of {PAPER} and some that do not depend on the number of clusters."
)


def write(workdir: Path, spec: ReportSpec) -> Path:
    """The page of one file, as far as its work directory has come.

    Raises:
      UserError: there is no such work directory, or a file in it is damaged.
    """
    return _write((read_states(workdir, name_of(workdir)),), [""], workdir, spec)


def compare(workdirs: Mapping[str, Path], into: Path, spec: ReportSpec) -> Path:
    """The page of several files, in their order. A directory that cannot be read says so in its place."""
    return _write(read_several(workdirs), [address_of(workdir, into) for workdir in workdirs.values()], into, spec)


def _write(subjects: Sequence[States], addresses: Sequence[str], into: Path, spec: ReportSpec) -> Path:
    one = len(subjects) == 1
    name = subjects[0].name if one else name_of(into)
    lines = [(s.name, s.missing or _lead(s) or "not run", where) for s, where in zip(subjects, addresses, strict=True)]
    page = Page(
        title=f"Clusters in {name}",
        question=f"Which layer clusters by which label? {name}",
        introduction=INTRODUCTION,
        summary=_summary(subjects[0]) if one else [],
        lead="figure_states_layers",
        facts=_facts(subjects[0]) if one else lines,
        several="" if one else "model",
        details={
            f"{kind}{'' if one else f' of {subject.name}'}": content
            for subject in subjects
            for kind, content in (("Configuration", subject.config), ("Environment", subject.environment))
        },
    )
    return publish(page, subjects, FIGURES, TABLES, into, spec, heading=lambda entry: entry.title)


def _summary(subject: States) -> list[str]:
    """A sentence on each of the first labels: where it is clustered best, and whether a null explains it."""
    if not subject.clusterings:
        return []
    return [*filter(None, (measured(_best, subject, label) for label in subject.labels[:5]))]


def _lead(subject: States) -> str:
    return measured(_best, subject, subject.labels[0]) or ""


def _best(subject: States, label: str) -> str:
    place = subject.best(REDUCERS, label)
    f1 = subject.value(place, label=label)
    words = f"By {label}, the best F1 is {f1:.2f} ({subject.where(place)})"
    nulls = {kind: subject.highest(label=f"{null}_{label}", score="f1") for null, kind in NULLS.items()}
    nulls = {kind: value for kind, value in nulls.items() if value is not None}
    return f"{words}. {explanation('it', f1, nulls) if nulls else 'No null was drawn.'}"


def _facts(subject: States) -> list[tuple[str, str]]:
    states = subject.states
    if not states:
        return [("File", "not run")]
    training = f", beside {states['training']:,} of the training set" if states["training"] else ""
    return [
        ("File", f"{states['file']}, SHA-256 {states['sha256'][:12]}…"),
        ("Scored", f"{states['instances']:,} states of width {states['width']:,}{training}"),
        ("Labels", ", ".join(f"{label} ({len(names)} values)" for label, names in states["names"].items())),
        ("Jobs", ", ".join(states["jobs"])),
        ("Layers scored", f"{max(subject.scored.values())} of {len(subject.layers)}"),
        ("Wall time by stage", seconds_words(subject)),
    ]
