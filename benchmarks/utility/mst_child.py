"""MST over `mbi`, in the interpreter that has it: JSON in on standard input, JSON out.

McKenna, Miklau and Sheldon (2021), section 4: a third of rho for all one-way marginals, a third to
choose a spanning tree of pairs by the exponential mechanism, a third for the pairs' marginals; a
graphical model (McKenna, Sheldon and Miklau 2019) is fitted to what was measured. The package holds
the inference; the mechanism is written out here because it ships none.
"""

from __future__ import annotations

import itertools
import json
import math
import sys
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import numpy as np

ITERATIONS = 1000


def main() -> None:
    """Answer one question."""
    import jax

    jax.config.update("jax_enable_x64", True)
    warnings.simplefilter("ignore")
    question = json.load(sys.stdin)
    rows = mst(
        np.array(question["codes"], dtype=np.int64),
        question["sizes"],
        rho=question["rho"],
        rows=question["rows"],
        seed=question["seed"],
    )
    json.dump({"version": version("mbi"), "codes": rows.tolist()}, sys.stdout)


def mst(codes: Any, sizes: Sequence[int], *, rho: float, rows: int, seed: int) -> Any:
    """Return synthetic codes (rows, columns) of codes (n, columns); `rho` of zCDP is used up."""
    import mbi

    rng = np.random.default_rng(seed)
    names = [str(k) for k in range(len(sizes))]
    domain = mbi.Domain(names, list(sizes))
    data = mbi.Dataset(dict(zip(names, codes.T, strict=True)), domain)
    sigma = math.sqrt(len(names) / (2.0 * rho / 3.0))
    measured = [_measured(mbi, data, (name,), sigma, rng) for name in names]
    total = max(float(np.mean([np.sum(m.noisy_measurement) for m in measured])), 1.0)
    model = mbi.estimation.MirrorDescent().estimate(domain, measured, total, iters=ITERATIONS)
    pairs = _tree(data, model, names, rho / 3.0, rng)
    sigma = math.sqrt(len(pairs) / (2.0 * rho / 3.0))
    measured += [_measured(mbi, data, pair, sigma, rng) for pair in pairs]
    model = mbi.estimation.MirrorDescent().estimate(domain, measured, total, iters=ITERATIONS)
    return _drawn(model, pairs, names, rows, rng)


def _drawn(
    model: Any, pairs: Sequence[tuple[str, str]], names: Sequence[str], rows: int, rng: Any
) -> Any:
    """Draw rows along the tree, each column given its parent (mbi's own draws have no seed)."""
    codes = np.zeros((rows, len(names)), dtype=np.int64)
    codes[:, 0] = rng.choice(len(_law(model, (names[0],))), rows, p=_law(model, (names[0],)))
    known = {names[0]}
    while len(known) < len(names):
        parent, child = next(
            (a, b) for pair in pairs for a, b in (pair, pair[::-1]) if a in known and b not in known
        )
        joint = _law(model, (parent, child))
        for value in np.unique(codes[:, int(parent)]):
            own = codes[:, int(parent)] == value
            law = joint[value] if joint[value].sum() > 0.0 else joint.sum(axis=0)
            codes[own, int(child)] = rng.choice(len(law), own.sum(), p=law / law.sum())
        known.add(child)
    return codes


def _law(model: Any, columns: tuple[str, ...]) -> Any:
    counts = np.maximum(np.asarray(model.project(columns).datavector(flatten=False)), 0.0)
    return counts / counts.sum()


def _measured(mbi: Any, data: Any, clique: tuple[str, ...], sigma: float, rng: Any) -> Any:
    """One record moves one cell of a marginal by 1."""
    counts = np.asarray(data.project(clique).datavector(), dtype=np.float64)
    noisy = counts + sigma * rng.standard_normal(counts.shape)
    return mbi.LinearMeasurement(noisy, clique, sigma)


def _tree(data: Any, model: Any, names: list[str], rho: float, rng: Any) -> list[tuple[str, str]]:
    """Choose a spanning tree edge by edge: epsilon^2 / 8 of zCDP for each choice."""
    epsilon = math.sqrt(8.0 * rho / (len(names) - 1))
    errors = {
        pair: float(np.abs(_counts(data, pair) - _counts(model, pair)).sum())
        for pair in itertools.combinations(names, 2)
    }
    component, chosen = {name: name for name in names}, []
    for _ in range(len(names) - 1):
        open_pairs = [pair for pair in errors if component[pair[0]] != component[pair[1]]]
        scores = 0.5 * epsilon * np.array([errors[pair] for pair in open_pairs])
        odds = np.exp(scores - scores.max())
        pair = open_pairs[rng.choice(len(open_pairs), p=odds / odds.sum())]
        chosen.append(pair)
        left, right = component[pair[0]], component[pair[1]]
        component = {name: left if c == right else c for name, c in component.items()}
    return chosen


def _counts(of: Any, pair: tuple[str, str]) -> Any:
    return np.asarray(of.project(pair).datavector(), dtype=np.float64)


if __name__ == "__main__":
    main()
