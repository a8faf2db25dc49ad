"""Measures of one layer's hidden states; each is a function of arrays."""
