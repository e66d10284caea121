"""Benchmark `run`: what the embedded example reaches, how long it takes, where the time goes."""
