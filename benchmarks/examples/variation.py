"""How far the shares found are from those wanted, beyond the classifier's own error."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from benchmarks.record import Target

Row = dict[str, Any]

BEYOND = 0.04  # total variation beyond the classifier's own error


def total_variation(first: Sequence[float], second: Sequence[float]) -> float:
    """Return half the L1 distance of two laws on the silos, in [0, 1]."""
    return 0.5 * math.fsum(abs(a - b) for a, b in zip(first, second, strict=True))


def beyond(row: Row, found: Sequence[Row]) -> float:
    """Return total variation to the wanted shares, less that of the union's pass beside it."""
    error = total_variation(_union(row, found)["shares"], row["wanted"])
    return total_variation(row["shares"], row["wanted"]) - error


def target(found: Sequence[Row]) -> Target:
    """The worst `mix` row, and by how much its neighbours differ from the union."""
    ours = [row for row in found if row["sampler"] == "mix"]
    worst = max(ours, key=lambda row: beyond(row, found))
    union = _union(worst, found)
    apart = max(total_variation(row["shares"], _union(row, found)["shares"]) for row in ours)
    errors = [
        total_variation(row["shares"], row["wanted"]) for row in found if row["sampler"] == "union"
    ]
    reason = (
        f"worst of {len(ours)}: {worst['kernel']}, {worst['rounds']} rounds, sigma "
        f"{worst['sigma']:g}: {total_variation(worst['shares'], worst['wanted']):.3f} against the "
        f"union's {total_variation(union['shares'], worst['wanted']):.3f}; the union's own is at "
        f"most {max(errors):.3f}; between mix and union at most {apart:.3f}; drawing "
        f"{worst['rows']} silos alone gives {drawing(worst['wanted'], worst['rows']):.3f}"
    )
    return Target(beyond(worst, found), BEYOND, at_least=False, reason=reason)


def drawing(wanted: Sequence[float], count: int) -> float:
    """Return the expected total variation of `count` independent draws (normal approximation)."""
    widths = (math.sqrt(2.0 * w * (1.0 - w) / (math.pi * count)) for w in wanted)
    return 0.5 * math.fsum(widths)


def table(found: Sequence[Row]) -> list[Row]:
    """Return one line per pass; `posterior` is the mean responsibility of each silo, unjudged."""
    return [
        {
            "kernel": row["kernel"],
            "sampler": row["sampler"],
            "rounds": row["rounds"],
            "sigma": row["sigma"],
            "found": _written(row["shares"]),
            "TV": total_variation(row["shares"], row["wanted"]),
            "excess": beyond(row, found),
            "posterior": _written(row["responsibilities"]),
            "its TV": total_variation(row["responsibilities"], row["wanted"]),
            "Frechet": row["frechet"],
            "misplaced": row["misplaced"],
        }
        for row in found
    ]


def _union(row: Row, found: Sequence[Row]) -> Row:
    """The union's row under the same kernel, rounds and noise."""
    same = ("kernel", "rounds", "sigma")
    matching = (u for u in found if u["sampler"] == "union" and all(u[k] == row[k] for k in same))
    return next(matching)


def _written(shares: Sequence[float]) -> str:
    return " ".join(f"{share:.2f}".removeprefix("0") for share in shares)
