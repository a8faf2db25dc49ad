"""Reads the hidden states of every prompt's last token from a pretrained model, shard by shard."""
