"""Where `accountants` rounds to the safe side, and each place without it."""

from tests.accountants.mutate import Mutation

GAUSSIAN = ("test_gaussian.py",)
RDP = ("test_rdp.py",)
KNOTS = ("test_knots.py",)
FILTER = ("test_filter.py",)
SEARCH = ("test_search.py",)
ROUNDING = ("test_rounding.py",)
CERTIFICATE = ("test_certificate.py",)
COARSE = ("test_certificate.py::test_coarse_contours_know_how_coarse_they_are",)
LATER = ("test_certificate.py::test_no_later_frequency_is_above_the_bound",)
LATTICE = ("test_loss_lattice.py::test_roundings_of_the_last_sums_go_outward",)
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
        "gaussian.epsilon_bounds: both ends without the error of delta", "gaussian.py",
        "        return value - error, value + error\n", "        return value, value\n", GAUSSIAN,
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
        "search.crossing: the last point that fails instead of the first that meets", "search.py",
        "    return low, high\n", "    return high, low\n", SEARCH,
    ),
    Mutation(
        "filter.rounded_up: to nearest", "filter.py",
        "nearest if Fraction(nearest) >= total else math.nextafter(nearest, math.inf)", "nearest",
        FILTER,
    ),
    Mutation(
        "accountant._epsilon: one direction only", "accountant.py",
        "lower, upper = epsilon_bounds(parts, REMOVE, delta)",
        "lower, upper = epsilon_bounds(parts, ADD, delta)", EXACT,
    ),
    Mutation(
        "contour.Contour.bounds: aliases stay in the lower end", "contour.py",
        "return lower - self._aliases(mu2, epsilon), np", "return lower, np", COARSE,
    ),
    Mutation(
        "contour.Contour._aliases: those from the left left out", "contour.py",
        "bound: Array = (left + right) * ONE_MORE", "bound: Array = right * ONE_MORE", COARSE,
    ),
    Mutation(
        "contour.Contour._aliases: those from the right left out", "contour.py",
        "bound: Array = (left + right) * ONE_MORE", "bound: Array = left + 0 * right", COARSE,
    ),
    Mutation(
        "contour.Contour.bounds: what lies beyond the last frequency left out", "contour.py",
        "cut = np.exp(self.beyond - falling[:, -1])", "cut = 0 * np.exp(-falling[:, -1])", COARSE,
    ),
    Mutation(
        "tilted.log_moments: quadrature error left out", "tilted.py",
        "upper: Array = value + error - np.log1p(-np.minimum(lost, 0.5))",
        "upper: Array = value + error", CERTIFICATE,
    ),
    Mutation(
        "tilted._log_growth: without the growth in the frequency", "tilted.py",
        "growth = 0.5 * a * a + reach * a / sigma", "growth = 0.5 * a * a", CERTIFICATE,
    ),
    Mutation(
        "tail._by_parts: a fifth of the boundary terms", "tail.py",
        "height = (f + _variation(f, rise))", "height = 0.2 * (f + _variation(f, rise))", LATER,
    ),
    Mutation(
        "tail._by_parts: a tenth of the mass left out", "tail.py",
        "left = 1.0 - right * (1 - 1e-9) + 1e-12", "left = 0.9 - right * (1 - 1e-9)", LATER,
    ),
    Mutation(
        "tail._regions: more variance than there is", "tail.py",
        "variance = 0.99 * (", "variance = 1.6 * (", LATER,
    ),
    Mutation(
        "tail.Tail.log_beyond: at one frequency instead of from it on", "tail.py",
        "beyond = np.maximum.accumulate(best[::-1])[::-1]", "beyond = best", LATER,
    ),
    Mutation(
        "loss_lattice._up: not outward", "loss_lattice.py",
        "def _up(value: float) -> float:\n    return value * (1 + _SUM)",
        "def _up(value: float) -> float:\n    return value", LATTICE,
    ),
    Mutation(
        "loss_lattice._down: not outward", "loss_lattice.py",
        "def _down(value: float) -> float:\n    return value * (1 - _SUM)",
        "def _down(value: float) -> float:\n    return value", LATTICE,
    ),
)  # fmt: skip
