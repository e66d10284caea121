"""What a baseline would promise if somebody ran it: epsilon per silo, from its mechanisms."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from accountants import epsilon
from dpfedsyn.comparison import Baseline, Comparison, spending
from dpfedsyn.comparison.spending import Spending

# Of a row: what its training table is made from.
OURS, WITHOUT_PRIVACY, PRIVATE = "ours", "baseline without privacy", "private baseline"


def kind_of_models(comparison: Comparison) -> str:
    """The kind of what the run's models generate without noise on their answers."""
    config = comparison.config
    here = config.train.method == "dp-sgd" and not config.bringing
    return PRIVATE if here else WITHOUT_PRIVACY


def of_models(comparison: Comparison, *, network: bool = True) -> dict[str, Any] | None:
    """Return the claim of the run's own models (or bases), used freely.

    None without DP-SGD, and where some model was not trained here.
    """
    if kind_of_models(comparison) != PRIVATE:
        return None
    charged = spending.own_model if network else spending.own_base
    return _claim(comparison, {name: charged(b) for name, b in comparison.budgets.items()})


def of_baseline(comparison: Comparison, baseline: Baseline) -> dict[str, Any] | None:
    """Return the claim of a trained baseline; None of its twin without noise."""
    if not comparison.private:
        return None
    silos = comparison.config.silos
    return _claim(comparison, {silo.name: baseline.charged(comparison, silo) for silo in silos})


def of_silo(claim: dict[str, Any] | None, silo: str) -> dict[str, Any] | None:
    """Return the part of a claim that is about one silo."""
    return None if claim is None else {**claim, "epsilon": {silo: claim["epsilon"][silo]}}


def _claim(comparison: Comparison, spent: Mapping[str, Spending]) -> dict[str, Any]:
    """Upper bounds on epsilon by silo, with the terms that they mean nothing without."""
    privacy = comparison.config.privacy
    uppers = {s: _upper(part, privacy.delta, privacy.adjacency) for s, part in spent.items()}
    return {
        "epsilon": uppers,
        "delta": privacy.delta,
        "unit": privacy.unit,
        "adjacency": privacy.adjacency,
    }


@cache
def _upper(spent: Spending, delta: float, adjacency: str) -> float:
    return epsilon(spent.claim(), delta=delta, adjacency=adjacency).upper
