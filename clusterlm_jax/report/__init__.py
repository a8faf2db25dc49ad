"""The report: rows of a work directory -> figures, tables and one page to read. Never touches a model."""
