"""Benchmark `scale`: what a row costs, in seconds and bytes, from a thousand rows to a million."""
