"""Training: state, the pure steps, the epoch loop, checkpoints (paper 3.1)."""
