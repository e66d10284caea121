"""Benchmark `audit`: which bugs are found, in how many calls, and how often a correct one is."""
