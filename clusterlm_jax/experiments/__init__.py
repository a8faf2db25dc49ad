"""The experiments: the only rooms where stages meet."""
