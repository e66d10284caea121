"""Benchmarks: one question per name, `python -m benchmarks NAME [--smoke] [--json FILE]`."""
