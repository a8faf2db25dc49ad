"""Similar tasks: the main experiment where one input has several outputs within a task identity (paper B.1).

Reproduces figure 14. Everything else is as in `configs/synthetic.py`:

    .venv/bin/python -m clusterlm_jax.main --config=configs/similar_tasks.py --workdir=runs/similar_tasks

Each distribution of a task identity has its own task. The similar tasks of one identity have the same five inputs and
share the mappings of three of them. For the other two inputs, each task has its own output. So instances of one
*distribution* have identical tasks; instances of one *task* identity have identical or similar tasks. A hard example
belongs to a new identity, which differs from its original's in the outputs alone.

What counts as correct is the output of the instance's own task (`*_accuracy`). The instruction determines this task, so
accuracy 1 is possible. `*_identity_accuracy` accepts any output that the task identity has for the input. A model that
knows only the identity, and guesses among its outputs, has identity accuracy 1 and accuracy (3 + 2 / D) / 5 if the
identity has D distributions: .71 over all distributions, .69 to .77 in the validation sets of seeds 0 to 19. A model
with a higher accuracy knows the distribution.

Of the 625 pairs of input and output 500 are used on average, twice as many as in the main experiment. Each input is
still shared by ten task identities.

`configs/similar_tasks.py:quick` is `configs/synthetic.py:quick` with a larger task vocabulary. It was last measured at
commit f52c208, when the quick data did not have table 2's proportions yet: 4 minutes and 40 seconds on 2 cores. The
validation accuracy was .967 (best at epoch 35) and the identity accuracy .973 at the end, so the model knows the
distribution almost always when it knows the task identity (at epoch 5: .41 and .45). The paper's two levels of clusters
do not show: task F1 is .39 in block 4 (untrained .51), distribution F1 .38. Clusters by distribution-mapping do: .94.
97% of the neighbours have the same task identity (61% untrained).

The paper-size run was not run.
"""

from pathlib import Path

from clusterlm_jax import config as configuration


def get_config(argument: str = "") -> configuration.config_dict.ConfigDict:
    forms = configuration.forms(argument, allowed=("quick",))
    config = configuration.from_file(Path(__file__).with_name("synthetic.py"), argument)
    config.data.shared_mappings = 3
    if "quick" in forms:
        # 20 identities need 200 pairs on average. 12 symbols have only 144 pairs. 16 have 256, of which about the same
        # share is used as of the paper's 625. Each input is shared by 6 identities.
        config.data.task_vocabulary_size = 16
    return config
