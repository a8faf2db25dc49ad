"""The main experiment: task clusters emerge in the hidden states of a GPT-2 (paper 2.2, 3.1 to 3.3)."""
