"""Hypothesis strategies for private programs: `from dpfedsyn.testing import strategies as dps`.

`st.from_type` and `st.builds` know `accountants`' events, headers and charges, also without this
import where the package is installed.
"""

from dpfedsyn.testing import registration
from dpfedsyn.testing.strategies.accounting import charges, events, headers
from dpfedsyn.testing.strategies.data import EXTREMES, datasets, neighbours, records
from dpfedsyn.testing.strategies.mechanisms import (
    BROKEN,
    Mechanism,
    broken_mechanisms,
    correct_mechanisms,
    worst_case,
)
from dpfedsyn.testing.strategies.models import (
    Affine,
    model_pairs,
    models,
    queries,
    score_queries,
    trained_pairs,
)

__all__ = [
    "BROKEN",
    "EXTREMES",
    "Affine",
    "Mechanism",
    "broken_mechanisms",
    "charges",
    "correct_mechanisms",
    "datasets",
    "events",
    "headers",
    "model_pairs",
    "models",
    "neighbours",
    "queries",
    "records",
    "score_queries",
    "trained_pairs",
    "worst_case",
]

registration.register()  # entry points are of installed packages only
