"""What is measured of one layer's states, each by a function of arrays."""
