"""clusterlm_jax: task clusters in the hidden states of causal language models (arXiv 2402.12151)."""
