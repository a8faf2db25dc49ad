"""Pretrained LLaMA, GPT-J and GPT-2: their architectures, and how their checkpoints are read."""
