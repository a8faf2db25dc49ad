"""Natural instructions: are they clustered by task in pretrained LLaMA and GPT-J models (paper 3.4, tables 1, 9, 10)?

Reproduces table 1, one model at a time:

    python -m clusterlm_jax.main --config=configs/probing.py:gptj_6b --workdir=runs/gptj_6b
    python -m clusterlm_jax.main --config=configs/probing.py --config.checkpoint=PATH --workdir=runs/mine

The forms are the paper's models: `llama_7b`, `llama_13b` (the open reproductions), `gptj_6b`, `llama2_7b_32k_instruct`
and `instruct_gptj_6b`, downloaded from Hugging Face; the last has PyTorch files only, so it needs torch. PATH is the
directory of any LLaMA or GPT-J model. The five on one page:

    python -m clusterlm_jax.report.probing runs/llama_7b runs/llama_13b runs/gptj_6b --into=runs/table_1

`--config.extract.random_weights=True` reads the same architecture untrained, a null baseline.

`configs/probing.py:gptj_6b,quick` reads a fifth of the prompts, with a cheaper analysis. With the random LLaMA of
`benchmarks/random_llama.py` (109 million parameters) it takes 1 minute and 50 seconds on 2 cores; expect task F1 .63
in layer 1 with t-SNE, and a distribution-mapping F1 that is highest in layer 0, the input's last token alone. All
8,800 prompts go through that model in 66 seconds; what they score is in README.md. The paper's models were not run.
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
        config.extract.fast_tokenizer = not name.startswith("llama_")  # OpenLLaMA's converted one is wrong
    if "quick" in forms:
        config.data.wordings_per_task = 11  # 1,760 prompts, still 11 of each distribution-mapping
        config.eval.tsne_iterations = 1000
        config.eval.kmeans_restarts = 3
    return config
