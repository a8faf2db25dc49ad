"""Natural instructions: are they clustered by task in pretrained LLaMA and GPT-J models (paper 3.4, tables 1, 9, 10)?

Reproduces table 1, one model at a time:

    .venv/bin/python -m clusterlm_jax.main --config=configs/probing.py:gptj_6b --workdir=runs/gptj_6b
    .venv/bin/python -m clusterlm_jax.main --config=configs/probing.py --config.checkpoint=PATH --workdir=runs/mine

The forms are the paper's models: `llama_7b`, `llama_13b` (the open reproductions), `gptj_6b`, `llama2_7b_32k_instruct`
and `instruct_gptj_6b`. They are downloaded from Hugging Face. The last one has PyTorch files only, so it needs torch.
PATH is the directory of any LLaMA or GPT-J model. Only the 16 tasks of table 10 can be probed, with our wordings and
pairs of words or with yours (docs/pretrained.md). This puts all five on one page:

    .venv/bin/python -m clusterlm_jax.experiments.compare runs/llama_7b runs/llama_13b runs/gptj_6b \
        runs/llama2_7b_32k_instruct runs/instruct_gptj_6b --into=runs/table_1

`--config.extract.random_weights=True` reads the same architecture without trained weights, a null baseline.

`configs/probing.py:gptj_6b,quick` reads a fifth of the prompts, with a cheaper analysis. With the random LLaMA of
`benchmarks/random_llama.py` (109 million parameters) it takes 1 minute and 50 seconds on 2 cores. Expect task F1 .63
in layer 1 with t-SNE, and a distribution-mapping F1 that is highest in layer 0, the embedding of the input's last
token. All 8,800 prompts take 66 seconds through that model; README.md has their scores. The paper's models were not
run.
"""

from clusterlm_jax import config as configuration
from clusterlm_jax.records import UserError

MODELS = {
    "llama_7b": "openlm-research/open_llama_7b",
    "llama_13b": "openlm-research/open_llama_13b",
    "gptj_6b": "EleutherAI/gpt-j-6b",
    "llama2_7b_32k_instruct": "togethercomputer/Llama-2-7B-32K-Instruct",
    "instruct_gptj_6b": "nlpcloud/instruct-gpt-j-fp16",
}


def get_config(argument: str = "") -> configuration.config_dict.ConfigDict:
    forms = configuration.forms(argument, allowed=("quick", *MODELS))
    config = configuration.default("probing")
    models = forms & MODELS.keys()
    if len(models) > 1:
        raise UserError(f"One model at a time, not {' and '.join(sorted(models))}.")
    for name in models:
        config.checkpoint = MODELS[name]
        config.extract.fast_tokenizer = not name.startswith("llama_")  # OpenLLaMA's converted fast tokenizer is wrong
    if "quick" in forms:
        config.data.wordings_per_task = 11  # 1,760 prompts, which are still 11 of each distribution-mapping
        config.eval.tsne_iterations = 1000
        config.eval.kmeans_restarts = 3
    return config
