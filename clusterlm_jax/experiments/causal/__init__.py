"""Do the clusters do anything? Causal tests on the best models of a finished main run. Not in the paper."""
