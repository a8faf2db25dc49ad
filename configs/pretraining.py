"""Pre-training with task identities: three starts for the same fine-tuning (paper 4.1, figure 5).

Reproduces figure 5, at width 256:

    .venv/bin/python -m clusterlm_jax.main --config=configs/pretraining.py --workdir=runs/pretraining

One model learns to name the task of an instruction, without a mapping. One learns the instructions alone. One is not
pre-trained. Then all three learn to follow instructions, on the same instances in the same order. The page shows the
clusters at the trigger over the pre-training (figure 5a), the three validation accuracies over the fine-tuning (5b),
and the epoch at which each reaches .5 and .9, for every seed.

What the paper does not give is as in `configs/synthetic.py`. Both pre-trainings have the epochs, rate and batch size of
the fine-tuning. There is one instruction for five instances, so they take a fifth of its steps.

`configs/pretraining.py:quick` is the form for a CPU: 4 minutes on 2 cores, 2026-11-21. Mean and standard deviation over
the three seeds:

| start | .5 after epochs | .9 after epochs | best accuracy |
|---|---|---|---|
| task-ID pre-training | 4.3 +- .6 | 11.0 +- 3.6 | .976 +- .026 |
| instruction pre-training | 3.7 +- .6 | 12.7 +- 4.2 | .973 +- .028 |
| no pre-training | 4.7 +- .6 | 14.3 +- 4.5 | .968 +- .031 |

Task-ID accuracy on validation reaches 1.00 in every seed. Task F1 at the trigger (validation, mean of the blocks) goes
from .37 to .75. With task identities, fine-tuning reaches .5 later than with instructions alone and sooner than without
pre-training; it reaches .9 sooner than both on average, but not in every seed. The best accuracies differ by less than
a hundredth. So of the paper's claims only the first is seen, that the clusters evolve.

The paper-size run was not run.
"""

from pathlib import Path

from clusterlm_jax import config as configuration


def get_config(argument: str = "") -> configuration.config_dict.ConfigDict:
    forms = configuration.forms(argument, allowed=("quick",))
    config = configuration.default("pretraining")
    main = configuration.from_file(Path(__file__).with_name("synthetic.py")).to_dict()
    config.data.update(main["data"])  # the sizes of table 2
    if "quick" in forms:
        # Data, model and regime of `configs/seeds.py:quick`, with the changes that follow. Five trainings of its 40
        # epochs would take half an hour. Fewer tasks, shorter instructions and one block less need 30 cheaper epochs.
        quick = configuration.from_file(Path(__file__).with_name("seeds.py"), argument).to_dict()
        for section in ("data", "model", "train"):
            config[section].update(quick[section])
        config.pretrain.update(quick["train"])
        config.data.number_of_tasks = 12
        config.data.hard_tasks = 2
        config.data.validation_tasks = 6
        config.data.task_vocabulary_size = 10  # 6 tasks share an input
        config.data.number_of_distributions = 27
        config.data.validation_distributions = 13
        config.data.hard_distributions = 3
        config.data.longest_instruction = 24
        config.model.layers = 3
        config.train.epochs = 30
        config.train.learning_rate = 2e-3
        config.pretrain.epochs = 25
        # An instruction is one instance here, so there are a fifth as many: smaller batches give an epoch more steps.
        config.pretrain.batch_unit = "instance"
        config.pretrain.batch_size = 10
        config.eval.every = 5
        config.eval.tsne_iterations = 1000
    return config
