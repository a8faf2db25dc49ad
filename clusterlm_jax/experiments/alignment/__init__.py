"""Alignment with less forgetting (paper F.1, table 11)."""
