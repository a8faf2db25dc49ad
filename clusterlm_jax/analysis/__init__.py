"""Hidden states -> score rows, on the CPU with numpy, scipy and scikit-learn, without jax (paper 3.2, 3.3, C)."""
