"""Layers that a row gives nothing to try, and why."""

from __future__ import annotations

from tests.corpus.case import Layer

TRIED: tuple[Layer, ...] = (
    Layer.STATISTICAL,
    Layer.PROPERTY,
    Layer.REPLAY,
    Layer.CANARY,
    Layer.LEDGER,
)
_ON_DATA = (Layer.STATISTICAL, Layer.REPLAY, Layer.CANARY)
_KEPT = {23, 24, 25, 26, 27, 45}  # rows whose mistake is one of keeping charges

# (rows, layers, reason)
NOTHING_TO_TRY: tuple[tuple[set[int], tuple[Layer, ...], str], ...] = (
    ({22, 24, 25, 44, 45}, _ON_DATA, "an accountant sees settings and no data"),
    (
        {23, 26},
        (*_ON_DATA, Layer.PROPERTY),
        "a ledger noises nothing, and its properties are those of its state machine",
    ),
    ({42}, TRIED, "an auditor is no mechanism; its *calibration* on correct ones catches it"),
    ({9, 10}, (Layer.PROPERTY,), "which records are drawn is wrong, not what moves with them"),
    ({43}, (Layer.REPLAY,), "the twin draws from the operating system, which nothing holds still"),
    ({*range(15, 22), *range(34, 42), 48}, (Layer.CANARY,), "no step of training is in it"),
    ({22}, (Layer.LEDGER,), "the bound is no sum of charges, which the state machine asks for"),
    (
        set(range(1, 50)) - _KEPT - {22, 42},
        (Layer.LEDGER,),
        "the mistake lies before any charge: a ledger would keep what it is told",
    ),
)


def reason(number: int, layer: Layer) -> str | None:
    """Return why a row gives a layer nothing to try, or None where it gives it something."""
    found = [why for rows, layers, why in NOTHING_TO_TRY if number in rows and layer in layers]
    assert len(found) <= 1, (number, layer, found)
    return found[0] if found else None
