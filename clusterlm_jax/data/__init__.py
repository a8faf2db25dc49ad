"""The data: random regular expressions, instructions, tasks, and their way into fixed shapes (paper 2.2, B)."""
