"""Where cells are scored: executors as those of `concurrent.futures`, of processes here or in a Dask cluster."""
