"""A second engine of the analysis, in jax: all cells of an epoch at once where there is an accelerator."""
