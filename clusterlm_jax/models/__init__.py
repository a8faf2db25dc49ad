"""Causal language models whose hidden states can be read at every layer."""
