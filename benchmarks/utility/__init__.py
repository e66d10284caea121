"""Benchmark `utility`: how useful synthetic images are, with privacy and without."""
