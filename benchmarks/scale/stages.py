"""What the stages of a run are called in the tables."""

READ = "read and encode"
BASE = "private base"
STEPS = "DP-SGD"
ROUNDS = "rounds"
WRITE = "decode and write"
REPORT = "report"

WORK = (READ, BASE, STEPS, ROUNDS, WRITE)
"""What grows with rows; planning, starting and the report do not."""
