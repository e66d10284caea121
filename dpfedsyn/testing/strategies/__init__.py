"""Hypothesis strategies for private programs: `from dpfedsyn.testing import strategies as dps`.

Importing them registers `accountants`' events for `st.from_type` and `st.builds`.
"""

from hypothesis import strategies as st

import accountants
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

for _kind in (accountants.Gaussian, accountants.Laplace, accountants.ApproximateDP):
    st.register_type_strategy(_kind, events(kinds=(_kind,)))
st.register_type_strategy(accountants.PoissonSampled, events(kinds=(accountants.PoissonSampled,)))
st.register_type_strategy(accountants.Header, headers())
