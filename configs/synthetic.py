"""The main experiment: clusters by task emerge in a GPT-2 (paper 2.2, 3.1 to 3.3).

Reproduces figures 2, 3, 4, 6 and 15 and tables 2 and 9. With other widths it reproduces figures 7 to 10:

    .venv/bin/python -m clusterlm_jax.main --config=configs/synthetic.py --workdir=runs/synthetic
    .venv/bin/python -m clusterlm_jax.main --config=configs/synthetic.py --workdir=runs/w32 \
        --config.model.hidden_dim=32 --config.train.epochs=500

The defaults, in `clusterlm_jax/*/spec.py`, are the paper's where it gives them. It gives no batch size, weight decay or
initial values. Ours are 32 instances, 0.01, and GPT-2's 0.02.

`configs/synthetic.py:quick` is the form for a CPU. It is the cheapest regime we found that learns the tasks well enough
(validation accuracy above .9) to show what happens to the clusters. The lines below say what it changes. It took 3
minutes 28 s on 2 cores, 2026-11-22. Expect validation accuracy .988 (best at epoch 28) and task F1 with t-SNE .38 in
block 4 (.49 untrained). 85% of the neighbours from other distributions have the same task (15% untrained).

The paper-size run, with `--config.train.batch_unit=instruction --config.train.batch_size=70
--config.model.compute_dtype=bfloat16 --config.eval.every=10`, takes 2 h 6 min of training on 2 cores. Expect validation
accuracy .867 (best at epoch 160), and .98 on the training subset. At epoch 200 in block 6, expect a task F1 of .50
(t-SNE; .50 untrained), while 75% of the neighbours from other distributions have the same task (3% untrained, 1% by
chance). docs/results.md has the other numbers.
"""

from clusterlm_jax import config as configuration


def get_config(argument: str = "") -> configuration.config_dict.ConfigDict:
    forms = configuration.forms(argument, allowed=("quick",))
    config = configuration.default("emergence")
    # Table 2: 315 validation instances are 21 distributions x 3 instructions x 5 mappings. 180 in the training subset
    # are 6 distributions x (3 hard examples + their 3 originals) x 5. 156 distributions give 7,275 training instances.
    # Table 2 has 7,300; with ten instructions for each distribution, no other number is nearer.
    config.data.number_of_distributions = 156
    config.data.validation_distributions = 21
    config.data.hard_distributions = 6
    if "quick" in forms:
        # Sizes: with 20 tasks on 12 symbols, 8 tasks share each input (the paper: 10).
        config.data.number_of_tasks = 20
        config.data.hard_tasks = 3
        config.data.validation_tasks = 8
        config.data.task_vocabulary_size = 12
        # Table 2's proportions: 2 distributions for a validation task, 1 for a hard one and its original, 4 for others.
        config.data.number_of_distributions = 50
        config.data.validation_distributions = 17
        config.data.hard_distributions = 4
        # A narrow model needs more instructions of a distribution to recognise it,
        # and an instruction of only a few symbols does not show its task.
        config.data.instructions_per_distribution = 30
        config.data.shortest_instruction = 5
        config.model.layers = 4
        config.model.hidden_dim = 128
        # Regime: 0.05 is .02 times the square root of 768 / 128, so sums over the width are as large as at width 768.
        config.model.initial_scale = 0.05
        config.model.dropout = 0.1
        config.train.learning_rate = 1e-3
        config.train.epochs = 40
        # Six instructions with their five mappings in a step: at most a third of the work of 30 separate instances.
        config.train.batch_unit = "instruction"
        config.train.batch_size = 30
        # 9 analyses of 6 states on 2 splits, with half the t-SNE iterations.
        config.eval.every = 5
        config.eval.tsne_iterations = 1000
    return config
