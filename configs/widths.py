"""The main experiment at four widths (paper G.1, figures 7 to 10, table 9), side by side.

Reproduces figures 7 and 8 (width 32, which trains 500 epochs) and 9 and 10 (width 2048) beside the main run's 768, and
width 256:

    python -m clusterlm_jax.main --config=configs/widths.py --workdir=runs/widths

Each point is an ordinary run in a directory of its own, `runs/widths/hidden_dim=256`, say, with its own report;
`runs/widths/report.html` compares those so far. Any other grid of overrides goes the same way: an axis is a string, its
points stand between bars, what changes together is joined by `&`, and several axes give their product.

    python -m clusterlm_jax.main --config=configs/widths.py --workdir=runs/grid --config.seeds='(0, 1, 2)' \
        --config.grid="('model.hidden_dim=32&train.epochs=500|256', 'train.learning_rate=1e-4|3e-4')"

The same command goes on where it stopped, and may run on several machines that share the directory: each takes the
points that no other holds (tried with processes of one machine only). A point that fails (diverges, say) is named at
the end, and the others go on.

`configs/widths.py:quick` is the form for a CPU: the quick regime of `configs/synthetic.py` at three small widths. It
was last measured at commit f52c208, when the quick data did not have table 2's proportions yet: 8 minutes and 40
seconds on 2 cores; at widths 32, 64 and 128 best validation accuracy .25, .81 and .92, task F1 (t-SNE, best block) .47,
.54 and .40 at the end, without the input symbol .34, .49 and .49 (mean of the blocks), neighbours with the same task
.77, .85 and .88 in block 4, and Pearson's r of accuracy and task ARI .95, .84 and .94 there.

Of the full form only width 32 was run (at f52c208, with a free draw of distributions) with one change
(`train.batch_unit=instruction`): 22 minutes of training and 8 of analysis (11 epochs) on 2 busy cores. It does not
learn the outputs (.08), though its neighbours come to share the task (.57 in block 6, after .16); see docs/results.md.
"""

from pathlib import Path

from clusterlm_jax import config as configuration


def get_config(argument: str = "") -> configuration.config_dict.ConfigDict:
    forms = configuration.forms(argument, allowed=("quick",))
    config = configuration.from_file(Path(__file__).with_name("synthetic.py"), argument)
    config.grid = ("model.hidden_dim=32&train.epochs=500|256|768|2048",)
    if "quick" in forms:
        # The narrower, the larger the initial values: .02 times the root of 768 / width.
        config.grid = (
            "model.hidden_dim=32&model.initial_scale=0.1|64&model.initial_scale=0.07|128&model.initial_scale=0.05",
        )
        config.train.epochs = 40
        config.eval.every = 10  # 5 analyses each
    return config
