"""Pre-training with task identities: three starts for the same fine-tuning (paper 4.1, figure 5).

Reproduces figure 5, at width 256:

    python -m clusterlm_jax.main --config=configs/pretraining.py --workdir=runs/pretraining

One model learns to name the task of an instruction, without a mapping; one learns the instructions alone; one nothing.
Then all learn to follow instructions, on the same instances in the same order. The page shows the clusters at the
trigger over the pre-training (figure 5a), the three validation accuracies over fine-tuning (5b), and when each comes to
.5 and .9, seed by seed.

What the paper does not give is as in `configs/synthetic.py`. Both pre-trainings have the epochs, rate and batch size of
the fine-tuning; of instructions there are a fifth as many as of instances, so they take a fifth of its steps.

`configs/pretraining.py:quick` is the form for a CPU. It was last measured at commit f52c208, when the quick data did
not have table 2's proportions yet: 4 minutes and 30 seconds on 2 cores; as mean and standard deviation over the seeds,
task-ID accuracy on validation .96 +- .02, task F1 at the trigger (validation, mean of the blocks) from .32 to .70;
validation accuracy .5 after 6.0 +- 2.6 epochs of fine-tuning from task IDs, 6.7 +- 3.5 from instructions and 8.0 +- 3.0
from nothing; best .908 +- .005, .904 +- .003 and .901 +- .022. Either pre-training comes to .5 sooner than none, in
every seed. That task identities do better than instructions, and that they end higher than both, holds in one seed of
three.

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
        # Data, model and regime of `configs/seeds.py:quick`, but for what follows. Its 40 epochs five times over would
        # take half an hour: fewer tasks, shorter instructions and a block less are learned in 30 cheaper ones.
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
        # An instruction is one instance here, and of these there are a fifth: more steps out of each epoch.
        config.pretrain.batch_unit = "instance"
        config.pretrain.batch_size = 10
        config.eval.every = 5
        config.eval.tsne_iterations = 1000
    return config
