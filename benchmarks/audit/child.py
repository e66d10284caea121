"""`python -m benchmarks.audit.child`: other projects' bounds, in the interpreter that has them.

Standard input: {"peer": ..., "file": an .npz, "delta": ..., "significance": ..., "jobs": [[method,
key], ...]}. The file holds `KEY/without` and `KEY/with`, (repetitions, n / 2) scores each, higher
where the record is in. Standard output: versions, and for each job its bounds on epsilon, processor
seconds of each, or why there are none. Needs numpy and the peer, nothing of this project.
"""

from __future__ import annotations

import contextlib
import json
import math
import sys
import time
import warnings
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Bound = Callable[[Array, Array, float, float], float]  # without, with, delta, significance

JAX, MICROSOFT = "jax_privacy", "privacy-estimates"


def jax_privacy() -> dict[str, Bound]:
    """Bounds of `jax_privacy.auditing.CanaryScoreAuditor`, thresholds chosen as it offers."""
    from jax_privacy.auditing import CanaryScoreAuditor, Split

    def bound(name: str, **options: Any) -> Bound:
        def found(without: Array, with_: Array, delta: float, significance: float) -> float:
            auditor = CanaryScoreAuditor(with_, without)
            return float(getattr(auditor, name)(significance, delta, **options))

        return found

    split = {"threshold_strategy": Split(seed=0)}
    return {
        "GDP": bound("epsilon_from_gdp"),
        "Clopper-Pearson": bound("epsilon_clopper_pearson"),
        "one run": bound("epsilon_one_run", **split),
        "f-DP one run": bound("epsilon_one_run_fdp", **split),
    }


def privacy_estimates() -> dict[str, Bound]:
    """Its Clopper-Pearson bound; the threshold, left to the caller, is learnt on half the calls."""
    from privacy_estimates import AttackResults, compute_eps_lo

    def at(without: Array, with_: Array, threshold: float, delta: float, error: float) -> float:
        false, true = int((without > threshold).sum()), int((with_ > threshold).sum())
        count = AttackResults(FN=len(with_) - true, FP=false, TN=len(without) - false, TP=true)
        return float(compute_eps_lo(count, delta, error, "beta"))

    def beta(without: Array, with_: Array, delta: float, significance: float) -> float:
        half = len(without) // 2
        past = np.concatenate([without[:half], with_[:half]])
        best = max(
            np.quantile(past, np.linspace(0.005, 0.995, 100)),
            key=lambda t: at(without[:half], with_[:half], float(t), delta, significance),
        )
        return at(without[half:], with_[half:], float(best), delta, significance)

    return {"beta": beta}


PEERS: dict[str, Callable[[], dict[str, Bound]]] = {
    JAX: jax_privacy,
    MICROSOFT: privacy_estimates,
}


def answer(asked: dict[str, Any]) -> dict[str, Any]:
    """Bounds and seconds of each job; `failed` in place of what a peer lacks or raises."""
    try:
        known = version(asked["peer"])
        bounds = PEERS[asked["peer"]]()
    except (PackageNotFoundError, ImportError):
        return {"failed": "not installed"}
    found = []
    with np.load(asked["file"]) as scores:
        for method, key in asked["jobs"]:
            pairs = zip(scores[f"{key}/without"], scores[f"{key}/with"], strict=True)
            found.append(
                _bounds(bounds[method], list(pairs), asked["delta"], asked["significance"])
            )
    return {"version": known, "jobs": found}


def _bounds(
    bound: Bound, pairs: list[tuple[Array, Array]], delta: float, significance: float
) -> dict[str, Any]:
    values, seconds = [], []
    try:
        for without, with_ in pairs:
            began = time.process_time()
            value = bound(without, with_, delta, significance)
            seconds.append(time.process_time() - began)
            values.append(value if math.isfinite(value) else None)
    except Exception as error:  # another project's auditor may raise anything
        return {"failed": f"{type(error).__name__}: {error}"[:120]}
    return {"bounds": values, "seconds": seconds}


def main() -> None:
    """Answer on standard output; what peers print goes to standard error."""
    warnings.simplefilter("ignore")
    asked = json.loads(sys.stdin.read())
    with contextlib.redirect_stdout(sys.stderr):
        found = answer(asked)
    print(json.dumps(found, allow_nan=False))


if __name__ == "__main__":
    main()
