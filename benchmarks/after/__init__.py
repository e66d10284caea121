"""What rows are worth that are made after a run, for nothing, from its own rows."""
