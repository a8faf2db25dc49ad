"""The data: synthetic instructions from random regular expressions (paper 2.2, B) and natural ones (3.4, E)."""
