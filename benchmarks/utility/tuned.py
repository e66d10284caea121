"""What preset `best` is told for MNIST at other budgets than its example's, as TOML overrides.

The larger the budget of a label, the more cells it pays for, and the more directions they differ
in. All of it was chosen on the development split, whose test images are training images of MNIST.
"""

from __future__ import annotations

_ORIGIN = ("base.origin_share=0.03", "base.origin_radius=9.0", "base.means_share=0.1")
"""Of small budgets: labels' sums about the mean of all records."""


def tuned(size: int, epsilon: float, *, canonical: bool) -> tuple[str, ...]:
    """Return the overrides for silos of `size` images of two digits each.

    Args:
        canonical: whether slant and size are taken out of each image; what is left about a label's
            mean is longer where they are not.
    """
    chosen = _few(epsilon) if size < 1000 else _many(epsilon, canonical=canonical)
    return (f"privacy.counts_share={0.01 if size >= 6000 else 0.03}", *chosen)


def _many(epsilon: float, *, canonical: bool) -> tuple[str, ...]:
    if epsilon < 1.0:
        return (*_cells(4, 12, 0.3, 0), *_ORIGIN)
    if epsilon < 3.0:
        return _cells(10, 16, 0.4, 1)
    longer = () if canonical else ("base.residual_radius=5.0", "base.cluster_radius=5.0")
    return (*_cells(30, 30 if epsilon < 10.0 else 40, 0.6, 2), *longer)


def _few(epsilon: float) -> tuple[str, ...]:
    if epsilon < 3.0:
        return (*_cells(4, 10, 0.2, 0), *_ORIGIN, "base.label_prior=200.0", "base.shrinkage=0.5")
    if epsilon < 10.0:
        return (*_cells(8, 12, 0.35, 1), "base.label_prior=200.0")
    return _cells(16, 20, 0.5, 1)


def _cells(number: int, axes: int, share: float, rounds: int) -> tuple[str, ...]:
    return (
        f"base.clusters={number}",
        f"base.cluster_axes={axes}",
        f"base.clusters_share={share}",
        f"base.cluster_rounds={rounds}",
    )
