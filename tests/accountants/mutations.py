"""Where `accountants` rounds to the safe side, and each place without it."""

from tests.accountants.mutate import Mutation

GAUSSIAN = ("test_gaussian.py",)
RDP = ("test_rdp.py",)
KNOTS = ("test_knots.py",)
FILTER = ("test_filter.py",)
SEARCH = ("test_search.py",)
ROUNDING = ("test_rounding.py",)
EXACT = ("test_exact.py::test_corners_and_published_runs_hold_the_exact_value",)

MUTATIONS = (
    Mutation(
        "gaussian.delta_bounds: upper end without its error", "gaussian.py",
        "np.minimum(value + error, 1.0)", "np.minimum(value, 1.0)", GAUSSIAN,
    ),
    Mutation(
        "gaussian.delta_bounds: lower end without its error", "gaussian.py",
        "np.maximum(value - error, floor", "np.maximum(value, floor", GAUSSIAN,
    ),
    Mutation(
        "gaussian.epsilon_bounds: upper end without the error of delta", "gaussian.py",
        "return value + error > delta", "return value > delta", GAUSSIAN,
    ),
    Mutation(
        "gaussian.mu: without the error of delta", "gaussian.py",
        "return value + error <= delta", "return value <= delta", GAUSSIAN,
    ),
    Mutation(
        "gaussian._delta_at: error of erfcx and exp left out", "gaussian.py",
        "_UNIT * (16 * (near_term + far_term) + relative)", "_UNIT * relative", GAUSSIAN,
    ),
    Mutation(
        "gaussian._delta_at: error of the argument left out", "gaussian.py",
        "relative = z * z * np.abs(difference) + size * moving + 4 * (z <= 0)",
        "relative = 4.0 * (z <= 0)", GAUSSIAN,
    ),
    Mutation(
        "gaussian._from_z: not moved outward", "gaussian.py",
        "side * 4 * _UNIT * terms", "0.0 * terms", GAUSSIAN,
    ),
    Mutation(
        "rdp.subsampled: a step's rounding left out", "rdp.py",
        "curve + 1e-14 * (1 + np.abs(curve))", "curve", RDP,
    ),
    Mutation(
        "rdp._remove: quadrature error left out", "rdp.py",
        "sums -= math.log1p(-2 * math.exp(a * a / 2) / math.expm1(2 * math.pi * a / step))",
        "sums -= 0.0", ROUNDING,
    ),
    Mutation(
        "rdp._remove: what lies outside of the window left out", "rdp.py",
        "np.logaddexp(sums, np.logaddexp(left, right))\n    return result\n\n\ndef _add",
        "sums\n    return result\n\n\ndef _add", ROUNDING,
    ),
    Mutation(
        "rdp._add: what lies outside of the window left out", "rdp.py",
        "np.logaddexp(sums, np.logaddexp(left, right))\n    return result\n\n\ndef _dyadic",
        "sums\n    return result\n\n\ndef _dyadic", ROUNDING,
    ),
    Mutation(
        "rdp._add: quadrature error left out", "rdp.py",
        "np.where(error < -1, np.log1p(-np.exp(np.minimum(error, -1.0))), -np.inf)", "0.0",
        ROUNDING,
    ),
    Mutation(
        "rdp.log_delta: conversion without its constant", "rdp.py",
        "rows = (moments + LOG_CONVERSION)", "rows = (moments + 2 * LOG_CONVERSION)", RDP,
    ),
    Mutation(
        "knots.mixed: rounding left out", "knots.py",
        "(values @ knots.weight + knots.delta[-1]) * (1 + _WORST_ROUNDING)",
        "(values @ knots.weight + knots.delta[-1])", ROUNDING,
    ),
    Mutation(
        "knots.mixed: infinite loss left out", "knots.py",
        "(values @ knots.weight + knots.delta[-1])", "(values @ knots.weight)", KNOTS,
    ),
    Mutation(
        "knots.at: rounding left out", "knots.py",
        "np.minimum(result * (1 + _WORST_ROUNDING), 1.0)", "np.minimum(result, 1.0)", ROUNDING,
    ),
    Mutation(
        "search.smallest: the last point that fails instead of the first that meets", "search.py",
        "    return high\n", "    return low\n", SEARCH,
    ),
    Mutation(
        "filter.rounded_up: to nearest", "filter.py",
        "nearest if Fraction(nearest) >= total else math.nextafter(nearest, math.inf)", "nearest",
        FILTER,
    ),
    Mutation(
        "accountant._upper: one direction only", "accountant.py",
        "upper = max(_upper(parts, side, delta) for side in DIRECTIONS)",
        "upper = _upper(parts, 1, delta)", EXACT,
    ),
)  # fmt: skip
