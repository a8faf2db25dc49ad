"""Cells -> rows: what their jobs ask for, and what answers it; another engine is in `device_analysis`."""
