"""Several runs of the main experiment side by side."""
