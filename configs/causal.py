"""Does it matter? Causal tests on a finished main run, or on a pretrained model (ours; the paper has none).

At every layer and in every seed, states of the best models are replaced, and answers to validation instances counted:

    .venv/bin/python -m clusterlm_jax.main --config=configs/causal.py --workdir=runs/causal --config.run=runs/synthetic

`config.run` is the work directory of any finished main run. It is read and never written. `configs/causal.py:quick`
takes `runs/quick`, which ./launch/local.sh leaves:

    .venv/bin/python -m clusterlm_jax.main --config=configs/causal.py:quick

That took 2 minutes on 2 cores, 2026-11-21. Expect, in blocks 1 to 4: Swap gives the other task's output in .32 .68 .98
1.00 of 657 pairs. Move along the difference of task means does in .03 .07 .16 .14, and given the input in .29 .66 .98
1.00. A probe reads the task across distributions with an accuracy of .34 .59 .77 .75. docs/results.md has the rest.

`configs/causal.py:pretrained` tests a LLaMA or GPT-J on the 16 natural tasks, on words that several of them take:

    .venv/bin/python -m clusterlm_jax.main --config=configs/causal.py:pretrained --config.checkpoint=PATH_OR_NAME \
        --workdir=runs/causal_mine

First it prints how much of each task the model can do; what it cannot do cannot be moved. If its accuracy is low, let
an ending ask for the answer: `--config.data.ending=" ->"`. `configs/causal.py:pretrained,quick` has fewer prompts,
pairs and strengths. No real checkpoint was run. On the small LLaMA of `benchmarks/trained_llama.py` (4 blocks, accuracy
.98) expect Swap .65 .97 1.00 1.00 of 1,000 pairs, Move .06 .08 .06 .05, and given the input .66 .98 1.00 1.00.
"""

from clusterlm_jax import config as configuration


def get_config(argument: str = "") -> configuration.config_dict.ConfigDict:
    forms = configuration.forms(argument, allowed=("quick", "pretrained"))
    config = configuration.default("causal")
    if "pretrained" not in forms:
        config.run = "runs/quick" if "quick" in forms else "runs/synthetic"
    elif "quick" in forms:
        config.data.wordings_per_task, config.data.held_out = 6, 2
        config.pairs, config.draws = 300, 1
        config.strengths, config.ranks, config.symbols = (1.0, 2.0), (1, 4, 16), (1, 4, 64)
        config.eval.kmeans_restarts = 3
    return config
