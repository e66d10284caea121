"""Hypothesis profiles: `dev` (default), `ci` (derandomised) and `thorough` (by hand)."""

import os

# Workers run side by side, and inherit this: threads of one that wait for a core of the other's
# made some tests fifty times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
from importlib import util
from pathlib import Path

from hypothesis import HealthCheck, settings

# Opacus, too, brings a package of this name; ours is not installed.
_BENCHMARKS = Path(__file__).parents[1] / "benchmarks" / "__init__.py"
if _BENCHMARKS.is_file():  # a copy of the tests may have none
    _spec = util.spec_from_file_location("benchmarks", _BENCHMARKS)
    assert _spec is not None
    assert _spec.loader is not None
    sys.modules["benchmarks"] = util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules["benchmarks"])

collect_ignore = ["third_party"]  # a project of its own; test_testing_third_party runs it

_SHARED = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("dev", max_examples=40, **_SHARED)
settings.register_profile("ci", max_examples=40, derandomize=True, **_SHARED)
settings.register_profile("thorough", max_examples=1000, **_SHARED)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))
