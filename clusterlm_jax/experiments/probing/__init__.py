"""Pretrained language models on natural instructions (paper 3.4, table 1)."""
