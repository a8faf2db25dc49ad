"""Clusters in hidden states of one's own: which layer clusters by which label, and do the nulls explain it?

    .venv/bin/python examples/own_states.py

Replace the random arrays by states of your model: [layer, instance, width] in numpy, and a label for each instance.
"""

from __future__ import annotations

import numpy as np

from clusterlm_jax import cluster_layers

LANGUAGES, WORDINGS, WORDS, WIDTH = ("French", "Italian", "Spanish"), 6, 10, 16


def main() -> None:
    rng = np.random.default_rng(0)
    # An instance is a wording that asks for a language, and a word to translate.
    language, wording, word = (axis.ravel() for axis in np.indices((len(LANGUAGES), WORDINGS, WORDS)))
    of_word, of_wording, of_language = (
        rng.normal(size=(n, WIDTH)) for n in (WORDS, len(LANGUAGES) * WORDINGS, len(LANGUAGES))
    )
    own_wording = WORDINGS * language + wording  # each language has wordings of its own
    noise_ND = 0.5 * rng.normal(size=(len(word), WIDTH))
    hidden_LND = np.stack(  # three layers: the word; then how it was worded; then what was asked for
        [of_word[word], of_word[word] + of_wording[own_wording] + noise_ND, 2 * of_language[language] + noise_ND]
    )
    rows = cluster_layers(
        hidden_LND,
        {"task": np.array(LANGUAGES)[language], "distribution": own_wording, "input": word},
        train=rng.random(len(word)) < 0.7,
        jobs=("raw", "knn", "across", "probe"),
        null_draws=3,
    )
    print("layer  F1    null  neighbours of other wordings (chance)  probe on other wordings")
    for layer in ("0", "1", "2"):
        found = {(row.label, row.score): row.value for row in rows if row.layer == layer}
        print(
            f"{layer:5}  {found['task', 'f1']:.2f}  {found['regrouped_task', 'f1']:.2f}  "
            f"{found['task', 'across']:.2f} ({found['shuffled_task', 'across']:.2f}){'':28}"
            f"{found['task', 'probe_validation']:.2f}"
        )


if __name__ == "__main__":
    main()
