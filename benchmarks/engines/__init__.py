"""Benchmark `engines`: what it costs to carry a run's bytes, and what is kept when things die."""
