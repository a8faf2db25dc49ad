"""Prompts and a pretrained model -> the hidden states of every prompt's last token, shard by shard."""
