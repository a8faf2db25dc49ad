"""Pre-training with task identities (paper 4.1, figure 5)."""
