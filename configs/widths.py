"""The main experiment at four widths (paper G.1, figures 7 to 10, table 9), compared on one page.

Reproduces figures 7 and 8 (width 32, which trains 500 epochs) and 9 and 10 (width 2048). The page compares these with
the main run's 768, and with width 256:

    .venv/bin/python -m clusterlm_jax.main --config=configs/widths.py --workdir=runs/widths

Each point is an ordinary run in its own directory, for example `runs/widths/hidden_dim=256`, with its own report.
`runs/widths/report.html` compares the points so far. Any other grid of overrides works in the same way. `config.grid`
is a tuple of axes, an axis is a list of points, and a point is a dict of the keys it sets. An axis of one key can also
be `{KEY: [VALUE, ...]}`. Several axes give their product:

    .venv/bin/python -m clusterlm_jax.main --config=configs/widths.py --workdir=runs/grid --config.seeds='(0, 1, 2)' \
        --config.grid="([{'model.hidden_dim': 32, 'train.epochs': 500}, {'model.hidden_dim': 256}],
                        {'train.learning_rate': [1e-4, 3e-4]})"

The same command resumes. Several machines that share the directory may run it: each machine takes the points that no
other holds (tried with the tasks of a Slurm array on one node). A point that fails, for example because it diverges, is
named at the end; the other points are run.

`configs/widths.py:quick` is the form for a CPU: the quick regime of `configs/synthetic.py` at three small widths. It
was last measured at commit f52c208, when the quick data did not have table 2's proportions yet: 8 minutes and 40
seconds on 2 cores. At widths 32, 64 and 128:

| | 32 | 64 | 128 |
|---|---|---|---|
| best validation accuracy | .25 | .81 | .92 |
| task F1 (t-SNE, best block) at the end | .47 | .54 | .40 |
| the same without the input symbol (mean of the blocks) | .34 | .49 | .49 |
| neighbours with the same task, block 4 | .77 | .85 | .88 |
| Pearson's r of accuracy and task ARI, block 4 | .95 | .84 | .94 |

Of the full form only width 32 was run (at f52c208, with a free draw of distributions) with one change
(`train.batch_unit=instruction`): 22 minutes of training and 8 of analysis (11 epochs) on 2 busy cores. It does not
learn the outputs (.08), but its neighbours come to have the same task (.57 in block 6, .16 untrained); see
docs/results.md.
"""

from pathlib import Path

from clusterlm_jax import config as configuration


def get_config(argument: str = "") -> configuration.config_dict.ConfigDict:
    forms = configuration.forms(argument, allowed=("quick",))
    config = configuration.from_file(Path(__file__).with_name("synthetic.py"), argument)
    config.grid = (
        [
            {"model.hidden_dim": 32, "train.epochs": 500},
            {"model.hidden_dim": 256},
            {"model.hidden_dim": 768},
            {"model.hidden_dim": 2048},
        ],
    )
    if "quick" in forms:
        # Narrower models have larger initial values: .02 times the square root of 768 / width.
        scales = {32: 0.1, 64: 0.07, 128: 0.05}
        config.grid = ([{"model.hidden_dim": width, "model.initial_scale": scale} for width, scale in scales.items()],)
        config.train.epochs = 40
        config.eval.every = 10  # 5 analyses each
    return config
