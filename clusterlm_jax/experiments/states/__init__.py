"""Hidden states of one's own, from a file that any tool can write."""
