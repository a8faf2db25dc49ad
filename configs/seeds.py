"""The main experiment over three seeds, trained in one program (paper G.2, figures 11 to 13).

Reproduces figures 11 to 13. Every curve is the mean over the seeds, with one standard deviation shaded. The data, the
parameters, the dropout and the order of the batches follow from the seed:

    .venv/bin/python -m clusterlm_jax.main --config=configs/seeds.py --workdir=runs/seeds

The figures answer whether the trends agree over the seeds. The paper finds that they do, with more variance on the
training subset, which it attributes to learning the hard examples.

`configs/seeds.py:quick` is the form for a CPU: the quick regime of `configs/synthetic.py` at half the width. It was
last measured at commit f52c208, when the quick data did not have table 2's proportions yet: 6 minutes and 40 seconds on
2 cores. Mean and standard deviation over the seeds: best validation accuracy .86 +- .04; task F1 (t-SNE) of block 4
from .29 to .53 +- .04, while the mean of the blocks stays at .32 to .34 +- .01; neighbours with the same task from .35
+- .07 to .89 +- .04; Pearson's r of accuracy and task F1 in block 4 .84 +- .16; 91% of the hard examples with their
original's task.

The paper-size run was not run. On a CPU three seeds take three times as long as one. An accelerator computes them at
the same time (`.venv/bin/python -m benchmarks.seeds` measures what that saves).
"""

from pathlib import Path

from clusterlm_jax import config as configuration


def get_config(argument: str = "") -> configuration.config_dict.ConfigDict:
    forms = configuration.forms(argument, allowed=("quick",))
    config = configuration.from_file(Path(__file__).with_name("synthetic.py"), argument)
    config.seeds = (0, 1, 2)
    if "quick" in forms:
        config.model.hidden_dim = 64
        config.model.initial_scale = 0.07  # .02 times the square root of 768 / 64
        config.train.epochs = 40
        config.eval.every = 10  # 5 analyses of each seed
    return config
