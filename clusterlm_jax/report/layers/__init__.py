"""What pages show of states that were read once, layer by layer: scores over the layers, and spaces of points."""
