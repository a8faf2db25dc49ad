"""Instructions in natural language (paper 3.4, table 10)."""
