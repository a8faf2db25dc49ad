"""Hidden states -> score rows, on the host: numpy, scipy and scikit-learn, never jax (paper 3.2, 3.3, appendix C)."""
