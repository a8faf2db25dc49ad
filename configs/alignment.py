"""Alignment with less forgetting: source tasks take the outputs of their targets, in four ways (paper F.1).

Reproduces table 11, with the data of table 8:

    .venv/bin/python -m clusterlm_jax.main --config=configs/alignment.py --workdir=runs/alignment

A base model is trained on all tasks. Then the source tasks' instructions get their targets' outputs, and four methods
learn them: fine-tuning the whole model, fine-tuning its (untied) language head alone, or a new head behind a switch,
which is linear or an MLP. The report compares the four with table 11. It also shows what the paper leaves out: switches
trained with 1, 2 and 5 examples of each other task, switches on the states of every layer, and switches without
training (the nearest centroid).

The paper gives no learning rate and no number of epochs for this experiment: ours are table 4's, for the base model and
for the fine-tunings. It does not say how a switch is trained either. Here the two classes have the same weight, and the
training is 500 full-batch steps of AdamW.

`configs/alignment.py:quick` is the form for a CPU: the regime of `configs/synthetic.py:quick` at half the width, with
three seeds; 5 minutes on 2 cores, 2026-11-21. Mean and standard deviation over the seeds: validation accuracy of the
base model .935 +- .014, and

| | accuracy on updated source tasks | accuracy drop on the others |
|---|---|---|
| direct fine-tuning | 1.00 | .62 +- .05 |
| language head alone | .93 +- .06 | .40 +- .12 |
| linear switch | .92 +- .06 | .22 +- .07 |
| MLP switch | .93 +- .06 | .26 +- .11 |

So the order is the paper's, except for the last two. With 5 examples of each other task both have a drop of .09. The
switches are on for 98 and 100% of the source instances. They are wrongly on for 51 and 55% of the others (18 and 15%
with 5 examples), a little more often for those with a source task's input symbol. KMeans with as many clusters as tasks
finds almost no cluster of source tasks. With as many clusters as pairs of distribution and mapping, its nearest
centroid is on for 97% of the source instances and .1% of the others: source accuracy .91 +- .04, drop .001.

The paper-size run was not run.
"""

from clusterlm_jax import config as configuration


def get_config(argument: str = "") -> configuration.config_dict.ConfigDict:
    forms = configuration.forms(argument, allowed=("quick",))
    config = configuration.default("alignment")
    if "quick" in forms:
        # Sizes: with 20 tasks on 26 symbols, 3.8 tasks share each input (the paper: 50 on 65, 3.8).
        config.data.number_of_tasks = 20
        config.data.task_vocabulary_size = 26
        # A narrow model needs more instructions of a distribution to recognise it,
        # and an instruction of only a few symbols does not show its task.
        config.data.instructions_per_distribution = 20
        config.data.shortest_instruction = 5
        config.model.layers = 4
        config.model.hidden_dim = 64
        # Regime of configs/synthetic.py:quick; .07 is .02 times the square root of 768 / 64.
        config.model.initial_scale = 0.07
        config.model.dropout = 0.1
        for part in (config.train, config.finetune):
            part.learning_rate = 1e-3
            part.batch_unit = "instruction"
            part.batch_size = 30
        config.train.epochs = 30
        config.finetune.epochs = 30
    return config
