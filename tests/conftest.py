"""Hypothesis profiles: `dev` (default), `ci` (derandomised) and `thorough` (by hand)."""

import os

# Workers run side by side, and inherit this: threads of one that wait for a core of the other's
# made some tests fifty times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from hypothesis import HealthCheck, settings

collect_ignore = ["third_party"]  # a project of its own; test_testing_third_party runs it

_SHARED = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("dev", max_examples=40, **_SHARED)
settings.register_profile("ci", max_examples=40, derandomize=True, **_SHARED)
settings.register_profile("thorough", max_examples=1000, **_SHARED)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))
