"""What decides whether clusters by task show? Nine factors, twelve short runs (ours).

The paper finds clusters by task. Our models learn the tasks too, but KMeans on their raw states finds little of the
task (docs/results.md). This grid asks which factor changes that: in the raw states, after t-SNE, and among the nearest
neighbours from other instruction distributions (`across`).

    .venv/bin/python -m clusterlm_jax.main --config=configs/what_decides.py --workdir=runs/what_decides

The design is Plackett and Burman's for 12 runs (Biometrika, 1946). Every factor has two levels. Each level is in six
runs, and any two factors meet in all four combinations, three runs each. So the effect of a factor is the mean of the
six runs at its high level minus the mean of the six at its low level, and no other factor's effect is in it. Nine of
the eleven columns are used. The effects of the two others are noise: their root mean square is the standard error that
the page shows. `runs/what_decides/report.html` has the settings of `run_01` to `run_12` and all effects.

Everything else is as in `configs/synthetic.py:quick`, except width 64, 20 epochs, and 50 distributions of 20
instructions.

| factor | low | high |
|---|---|---|
| distributions of the 8 validation tasks (all tasks: 50 at both levels) | 12, or 1.5 a task | 28, or 3.5 a task |
| symbols of an instruction | 1 to 16 (about 9 on average) | 5 to 62 (about 22) |
| symbols of the tasks | 12: an input is shared by 8 tasks | 24: by 4 |
| dropout | 0 | .2 |
| initial scale | .02, GPT-2's | .07, which is to width 64 what .02 is to 768 |
| language head | its own | the word embedding |
| loss | of the output token | of the whole sequence |
| learning rate | 5e-4 | 2e-3 |
| instances a step | 15 | 60 |

What this cannot tell:

- Interactions. If two factors change each other's effect, a third of that change (with either sign) is mixed into the
  effects of the other factors, and into the two unused columns. So this design finds candidates. A grid of the two or
  three factors with the largest effects, in all combinations, decides.
- Small effects. It is one seed, and the standard error comes from two columns: a 95% interval is about four standard
  errors to each side, not two (Student's t with two degrees of freedom). `--config.seeds='(0, 1)'` doubles the time.
- Which part of the effect of the number of distributions is trivial. With few of them, task and distribution are nearly
  one label, so task F1 is high before any training. For `across` the page also shows the share above chance; for F1,
  each run's own page has the null baselines.
- Anything beyond 20 epochs or other levels.

`configs/what_decides.py:quick` is a small grid with ordinary axes: loss and distributions in all four combinations, ten
epochs each.

Results (seed 0, 2 cores, 14 minutes while other work ran, 2026-11-21): no factor changes task F1 by KMeans by more than
.10. The share of same-task neighbours from other distributions follows the accuracy. The loss of the whole sequence
lowers the neighbours' share by .28 and the accuracy by .34. Fewer tasks for each input raise these two by .23 and .18,
the larger initial scale by .20 and .09. docs/results.md has the table.
"""

from pathlib import Path

from clusterlm_jax import config as configuration

# What each factor sets at its low and at its high level.
FACTORS = (
    ({"data.validation_distributions": 12}, {"data.validation_distributions": 28}),
    (
        {"data.shortest_instruction": 1, "data.longest_instruction": 16},
        {"data.shortest_instruction": 5, "data.longest_instruction": 62},
    ),
    ({"data.task_vocabulary_size": 12}, {"data.task_vocabulary_size": 24}),
    ({"model.dropout": 0.0}, {"model.dropout": 0.2}),
    ({"model.initial_scale": 0.02}, {"model.initial_scale": 0.07}),
    ({"model.tied": False}, {"model.tied": True}),
    ({"train.loss": "output"}, {"train.loss": "sequence"}),
    ({"train.learning_rate": 5e-4}, {"train.learning_rate": 2e-3}),
    ({"train.batch_size": 15}, {"train.batch_size": 60}),
)
FIRST_RUN = "++-+++---+-"  # Plackett and Burman's; its ten rotations follow, and a run with all factors low


def get_config(argument: str = "") -> configuration.config_dict.ConfigDict:
    forms = configuration.forms(argument, allowed=("quick",))
    config = configuration.from_file(Path(__file__).with_name("synthetic.py"), "quick")
    # With 50 distributions each task has between 1 and 6 at both levels, whichever tasks are drawn for validation.
    config.data.number_of_distributions = 50
    config.data.validation_distributions = 17
    config.data.hard_distributions = 4
    config.data.instructions_per_distribution = 20
    config.model.hidden_dim = 64
    config.model.initial_scale = 0.07
    config.train.epochs = 20
    config.eval.every = 10  # 3 analyses: untrained, halfway, at the end
    config.eval.tsne_iterations = 500
    config.eval.jobs = ("raw", "tsne", "knn", "across")
    config.eval.labels = ("task",)
    config.grid = (design(),)
    if "quick" in forms:
        config.train.epochs = 10
        config.eval.every = 5
        config.grid = ({"train.loss": ["output", "sequence"]}, {"data.validation_distributions": [12, 28]})
    return config


def design() -> list[configuration.Point]:
    """What every run sets: all levels of its row of the design, one for each factor."""
    rows = [FIRST_RUN[shift:] + FIRST_RUN[:shift] for shift in range(len(FIRST_RUN))] + ["-" * len(FIRST_RUN)]
    runs = []
    for number, row in enumerate(rows, start=1):
        point = {"name": f"run_{number:02}"}
        for (low, high), level in zip(FACTORS, row, strict=False):  # two of the eleven columns have no factor
            point |= high if level == "+" else low
        runs.append(point)
    return runs
