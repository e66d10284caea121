"""Benchmark `accounting`: how close to the exact epsilon, how fast, beside other accountants."""
