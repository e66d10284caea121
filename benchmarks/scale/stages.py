"""What the stages of a run are called in the tables."""

READ = "read and encode"
BASE = "private base"
STEPS = "DP-SGD"
ROUNDS = "rounds"
WRITE = "decode and write"
EVALUATE = "evaluation"
REPORT = "report"

WORK = (READ, BASE, STEPS, ROUNDS, WRITE)
"""What grows with rows without end: evaluation trains on so many of them at most."""
