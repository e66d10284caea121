"""From two tapes to findings: what must be the same on both neighbours and is not."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from dpfedsyn.testing.replaying.findings import Array, Finding, Kind, Release, distances, norms
from dpfedsyn.testing.replaying.outputs import differences
from dpfedsyn.testing.replaying.tape import Run, Sum

_MOST_PLACES = 5  # of one kind that are named
_UNSEEN = "Add noise to the whole value as an array (value + rng.normal(0, std, value.shape))"


def releases_of(recorded: Sequence[Sum], replayed: Sequence[Sum]) -> list[Release]:
    """Return the values that were noised on both sides, with their distances."""
    return [_release(one, other) for one, other in zip(recorded, replayed, strict=False)]


def _release(one: Sum, other: Sum) -> Release:
    if one.value.shape == other.value.shape:
        apart = distances(one.value, other.value)
        scale = _broadcast(one.noise.scale, other.noise.scale, apart.shape)
    else:
        apart, scale = np.array([math.inf]), np.ones(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(apart == 0.0, 0.0, apart / scale)
    mu = norms(ratios)["2"] if one.noise.law == other.noise.law == "gaussian" else None
    least = float(np.min(scale, initial=math.inf)) if scale.size else 0.0
    return Release(one.noise.law, least, one.value.shape, norms(apart), mu, one.where)


def _broadcast(first: object, second: object, shape: tuple[int, ...]) -> Array:
    """Return the smaller scale, for each entry, or the least of all where shapes were changed."""
    scales = [np.asarray(s, dtype=np.float64) for s in (first, second)]
    fitted = []
    for scale in scales:
        try:
            fitted.append(np.broadcast_to(scale, shape))
        except ValueError:
            fitted.append(np.full(shape, scale.min()))
    result: Array = np.minimum(*fitted)
    return result


def findings_of(
    recorded: Run,
    again: Run,
    replayed: Run,
    releases: list[Release],
    declared: list[float] | None,
    norm: float,
    mu: float | None,
    tolerance: float,
) -> list[Finding]:
    """Return everything that is wrong; only what makes the rest meaningless, if there is such."""
    unfrozen = list(_unfrozen(recorded, again))
    if unfrozen:
        return unfrozen
    failed = list(_failed(recorded, replayed))
    if failed:
        return failed
    return [
        *_flow(recorded, replayed),
        *_noise(recorded),
        *_scales(recorded.tape.sums, replayed.tape.sums),
        *_sensitivities(releases, declared, norm, tolerance),
        *_budget(releases, mu, tolerance),
        *_outputs(recorded, replayed),
    ]


def _unfrozen(recorded: Run, again: Run) -> Iterator[Finding]:
    sums = [differences(a.value, b.value, f"the value noised at {a.where}")
            for a, b in zip(recorded.tape.sums, again.tape.sums, strict=False)]  # fmt: skip
    places = [text for found in sums for text in found]
    places += differences(recorded.output, again.output)
    if places:
        yield Finding(
            Kind.UNFROZEN,
            f"two runs on the same data differ: {places[0]}.",
            "The program draws from a source that the replay cannot hold still, so that a "
            "difference between neighbours would say nothing.",
            "Draw from the Generator that the program is given, or pass a seed to the other source.",
        )


def _failed(recorded: Run, replayed: Run) -> Iterator[Finding]:
    if (recorded.error is None) == (replayed.error is None) and recorded.error is None:
        return
    yield Finding(
        Kind.ERROR,
        f"one neighbour gives {_outcome(recorded)}, the other {_outcome(replayed)}.",
        "Whoever sees the error knows which of both data sets was used.",
        "Make errors depend on public settings only, and noise or replace what cannot be computed.",
    )


def _outcome(run: Run) -> str:
    return "an output" if run.error is None else repr(run.error)


def _flow(recorded: Run, replayed: Run) -> Iterator[Finding]:
    one, other = recorded.tape.draws, replayed.tape.draws
    if one != other:
        place = next(
            (k for k, (a, b) in enumerate(zip(one, other, strict=False)) if a != b),
            min(len(one), len(other)),
        )
        yield Finding(
            Kind.CONTROL_FLOW,
            f"noise is drawn {len(one)} times on one side and {len(other)} times on the other; draw "
            f"{place} is {_draw(one, place)} against {_draw(other, place)}.",
            "Number, law or shape of the noise depends on the data, and so does what is released.",
            "Fix shapes and counts by public settings: a public size, a public list of categories.",
        )
    elif [s.value.shape for s in recorded.tape.sums] != [
        s.value.shape for s in replayed.tape.sums
    ]:
        yield Finding(
            Kind.CONTROL_FLOW,
            f"noise is added to {[s.value.shape for s in recorded.tape.sums]} on one side and to "
            f"{[s.value.shape for s in replayed.tape.sums]} on the other.",
            "Which values are noised depends on the data.",
            "Add noise to the same values whatever the data are, zeros included.",
        )


def _draw(draws: list[tuple[str, tuple[int, ...]]], place: int) -> str:
    if place >= len(draws):
        return "none"
    law, shape = draws[place]
    return f"{law} of shape {shape}"


def _noise(run: Run) -> Iterator[Finding]:
    for where in list(dict.fromkeys(run.tape.reused))[:_MOST_PLACES]:
        yield Finding(
            Kind.REUSE,
            f"at {where} noise is added that was added to another value before.",
            "The difference of both sums is free of noise.",
            "Draw fresh noise for every value.",
        )
    for sum_ in run.tape.sums:
        if int(np.prod(sum_.noise_shape)) < sum_.value.size:
            yield Finding(
                Kind.BROADCAST,
                f"at {sum_.where} noise of shape {sum_.noise_shape} is spread over a value of shape "
                f"{sum_.value.shape}.",
                "Entries that share a draw can be subtracted from each other, without noise.",
                "Draw noise of the value's own shape.",
            )


def _scales(one: Sequence[Sum], other: Sequence[Sum]) -> Iterator[Finding]:
    for a, b in zip(one, other, strict=False):
        if not np.array_equal(np.asarray(a.noise.scale), np.asarray(b.noise.scale)):
            yield Finding(
                Kind.SCALE,
                f"at {a.where} the noise has scale {_number(a.noise.scale)} on one side and "
                f"{_number(b.noise.scale)} on the other.",
                "The spread of the output tells both data sets apart, whatever the sensitivity is.",
                "Compute the noise from public settings.",
            )


def _number(scale: object) -> str:
    array = np.asarray(scale)
    return f"{float(array):.6g}" if array.ndim == 0 else f"{array.ravel()[:4]}..."


def _sensitivities(
    releases: list[Release], declared: list[float] | None, norm: float, tolerance: float
) -> Iterator[Finding]:
    for release, bound in zip(releases, declared or [], strict=False):
        measured = release.distance["inf" if norm == math.inf else f"{norm:g}"]
        if not measured <= bound * (1 + tolerance):
            yield Finding(
                Kind.SENSITIVITY,
                f"the value noised at {release.where} moves by {measured:.6g} in L{norm:g}, and "
                f"{bound:.6g} is declared.",
                "The noise is too small for this value.",
                "Clip each unit's contribution to the declared bound (non-finite ones to 0), or "
                "declare what it is and add noise for it.",
            )


def _budget(releases: list[Release], mu: float | None, tolerance: float) -> Iterator[Finding]:
    if mu is None:
        return
    other = sorted({r.noise for r in releases if r.mu is None})
    measured = math.sqrt(math.fsum((r.mu or 0.0) ** 2 for r in releases))
    if other:
        yield Finding(
            Kind.BUDGET,
            f"mu = {mu:g} is declared and {', '.join(other)} noise is used.",
            "The program is not Gaussian-DP by its noise alone; mu was not compared.",
            "Declare the sensitivity instead, with its norm, and audit the claim.",
        )
    elif not measured <= mu * (1 + tolerance):
        yield Finding(
            Kind.BUDGET,
            f"these neighbours' values lie {measured:.6g} standard deviations of the noise apart, "
            f"and mu = {mu:g} is declared.",
            "The program spends more than it says.",
            "Add noise of (sensitivity / mu), over all noised values together.",
        )


def _outputs(recorded: Run, replayed: Run) -> Iterator[Finding]:
    unseen = [k for k in range(len(recorded.tape.draws)) if k not in recorded.tape.used]
    for place in list(differences(recorded.output, replayed.output))[:_MOST_PLACES]:
        hint = "Release nothing but noised values and what is computed from them."
        if unseen:
            hint += (
                f" (Draw {unseen[0]} of the noise was never seen to be added to anything. {_UNSEEN}, "
                "so that the replay can follow it.)"
            )
        yield Finding(
            Kind.UNNOISED, f"{place}.", "It depends on the data and no noise hides it.", hint
        )
