"""Where a mechanism's randomness comes from: the generator it is given, or a global one.

Hypothesis gives `random` and numpy's global generator the same state before every example: noise
from there is the same in all of them, and an audit would say so of Hypothesis, not of the
mechanism. torch's generator is left alone by Hypothesis; it is seeded here from the audit's own.
"""

from __future__ import annotations

import functools
import random
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from dpfedsyn.errors import AuditError

NUMPY, PYTHON, TORCH = "numpy's global generator", "the module `random`", "torch's generator"


def global_sources(mechanism: Callable[..., Any], data: Any, vectorised: bool) -> set[str]:
    """Call a mechanism once and return the global generators that it advanced."""
    before = _states()
    rng = np.random.default_rng(0)
    try:
        mechanism(data, 2, rng) if vectorised else mechanism(data, rng)
    except Exception:  # errors are outcomes; the audit looks at them
        return set()
    after = _states()
    return {name for name in after if before.get(name, after[name]) != after[name]}


def _states() -> dict[str, Any]:
    kind, words, *rest = np.random.get_state(legacy=True)
    states: dict[str, Any] = {
        NUMPY: (kind, np.asarray(words).tobytes(), *rest),
        PYTHON: random.getstate(),
    }
    if "torch" in sys.modules:
        states[TORCH] = sys.modules["torch"].get_rng_state().numpy().tobytes()
    return states


def refuse_reseeded(sources: set[str]) -> None:
    """Refuse generators that Hypothesis seeds alike for every example.

    Raises:
        AuditError: the mechanism drew from one of them.
    """
    reseeded = sorted(sources & {NUMPY, PYTHON})
    if reseeded:
        raise AuditError(
            f"The mechanism drew from {' and '.join(reseeded)}. Inside `@given` Hypothesis seeds "
            "that one alike before every example, so that its noise repeats and an audit would "
            "tell nothing about the mechanism. Draw the noise from the Generator that the "
            "mechanism is given: `rng.normal(...)`."
        )


def seeded_torch(mechanism: Callable[..., Any]) -> Callable[..., Any]:
    """Return the mechanism with torch's generator seeded from `rng` before each call."""
    torch = sys.modules["torch"]

    @functools.wraps(mechanism)
    def seeded(*arguments: Any) -> Any:
        torch.manual_seed(int(arguments[-1].integers(2**63)))
        return mechanism(*arguments)

    return seeded
