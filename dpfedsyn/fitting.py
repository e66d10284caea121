"""Is an answer one to its query? What a silo sends is compared with what is public, before any use.

Spacing, bounds and noise of an honest answer follow from the query and the settings, and so does
how far a point can lie out; whatever differs would be in every sample of the round.
"""

from __future__ import annotations

from dpfedsyn.errors import ProtocolMismatch
from dpfedsyn.messages import Points, PrivateAnswer, ScoreQuery
from dpfedsyn.rounded_gaussian import COARSE, INDEX_BITS

ROUNDED_UP = 1.0 + 1e-9  # a silo's lattice may add so much noise to what was asked for
FARTHEST = 2 ** (INDEX_BITS - 1)  # spacings of the largest draw of noise


def require_fit(
    name: str, query: ScoreQuery, answer: PrivateAnswer, clip: float, energy_bound: float
) -> None:
    """Refuse an answer that is not one to this query; nothing is broadcast or filled up.

    Args:
        name: of the silo that was asked. clip, energy_bound: C and B of the run.

    Raises:
        ProtocolMismatch: something in it is not what follows from query and settings. It names the
            silo that was asked, whatever the answer says of its origin.
    """
    wrong = [key for key in ("round_number", "t") if getattr(answer, key) != getattr(query, key)]
    wrong += [] if answer.silo == name else ["silo"]
    bounds = (answer.clip, answer.energy_bound)
    wrong += [] if bounds == (clip, energy_bound) else ["bounds"]
    wrong += _lattice("score", query.score_std, answer.score_std, answer.spacing)
    wrong += _lattice("energy", query.energy_std, answer.energy_std, answer.energy_spacing)
    if not wrong:
        wrong += _points("points", answer.points, query.x.shape, answer.spacing, clip)
        shape = None if query.energy_std is None else query.labels.shape
        half, spacing = 0.5 * energy_bound, answer.energy_spacing
        wrong += _points("energy_points", answer.energy_points, shape, spacing, half)
    if wrong:
        raise ProtocolMismatch(
            f"{name}: its answer in round {query.round_number} does not fit the query "
            f"({', '.join(wrong)}); it was not used. Let all silos run the server's version."
        )


def _lattice(
    what: str, asked: float | None, drawn: float | None, spacing: float | None
) -> list[str]:
    """What is wrong with a lattice: its noise is as asked or a hair more, 1024 spacings of it."""
    if asked is None:
        return [] if drawn is spacing is None else [f"{what}_std"]
    if not (isinstance(drawn, float) and asked <= drawn <= asked * ROUNDED_UP):
        return [f"{what}_std"]
    own = drawn / COARSE
    close = isinstance(spacing, float) and own <= spacing * ROUNDED_UP <= own * ROUNDED_UP**2
    return [] if close and spacing else [f"{what}_spacing"]


def _points(
    what: str,
    points: Points | None,
    shape: tuple[int, ...] | None,
    spacing: float | None,
    bound: float,
) -> list[str]:
    """What is wrong with points: none lies farther out than a bound and the largest draw."""
    if points is None or spacing is None:
        return [] if shape is None and points is None else [what]
    if points.shape != shape:
        return [what]
    most = bound / spacing * ROUNDED_UP + FARTHEST
    farthest = max(-int(points.min(initial=0)), int(points.max(initial=0)))
    return [] if farthest <= most else [what]
