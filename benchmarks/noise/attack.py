"""Recover a Mersenne Twister from the noise that it made, and say the noise that comes next.

The victim draws `torch.normal` in float64, as a DP-SGD optimizer does without a secure generator.
Whoever knows what an answer was before its noise (of an empty batch: zero) sees the noise itself.
Box-Muller turns blocks of 16 uniforms into Gaussians and is undone here; what is certain of a
uniform's 53 bits gives linear equations over GF(2) for the generator's 19,937 bits of state.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Forms = list[int]  # 32 affine forms over GF(2), lowest bit first; bit 0 of a form is its constant
Seen = tuple[int, int]  # (which of a word's 32 bits are certain, their values)

WORDS, MIDDLE = 624, 397
BLOCK = 16  # Gaussians that torch makes of as many uniforms at once
GUARD = 8  # low bits of a uniform that rounding may have changed
_TWIST, _ALL = 0x9908B0DF, 0xFFFFFFFF
_TEMPERING = ((-11, _ALL), (7, 0x9D2C5680), (15, 0xEFC60000), (-18, _ALL))


@dataclass(frozen=True)
class Outcome:
    """What the attack made of the noise.

    Attributes:
        equations: that were left over to check the solution by. hold: the share of them that do.
        recovered: share of the next draws that were foretold to a millionth of a std.
    """

    equations: int
    hold: float
    recovered: float


def attack(noise: Array, following: Array) -> Outcome:
    """Solve for a twister that made `noise` (std 1), foretell `following`, and compare."""
    state, held = recovered_state([word for block in uniforms(noise) for word in seen(block)])
    foretold = gaussians(islice(outputs(state), 2 * len(noise), 2 * (len(noise) + len(following))))
    close = np.abs(foretold - following) < 1e-6
    return Outcome(len(held), sum(held) / len(held), float(close.mean()))


def uniforms(noise: Array) -> NDArray[np.int64]:
    """Return the 53-bit uniforms (blocks, 16) behind Gaussians, wrong by a few units at most."""
    cosines, sines = np.moveaxis(noise.reshape(-1, 2, BLOCK // 2), 1, 0)
    radii = -np.expm1(-0.5 * (cosines**2 + sines**2))
    angles = np.arctan2(sines, cosines) / (2.0 * math.pi) % 1.0
    return np.rint(np.concatenate([radii, angles], axis=1) * 2.0**53).astype(np.int64)


def gaussians(words: Iterator[int]) -> Array:
    """Return what torch makes of a twister's words: two a uniform, 16 uniforms a block."""
    halves = np.array(list(words), dtype=np.uint64).reshape(-1, 2)
    whole = halves[:, 0] << np.uint64(32) | halves[:, 1]
    drawn = ((whole & np.uint64(2**53 - 1)).astype(np.float64) * 2.0**-53).reshape(-1, 2, 8)
    radii, angles = np.sqrt(-2.0 * np.log1p(-drawn[:, 0])), 2.0 * math.pi * drawn[:, 1]
    return np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1).ravel()


def seen(block: Sequence[Any]) -> Iterator[Seen]:
    """Yield what a block's uniforms show of the two words of each."""
    for uniform in map(int, block):
        edge = uniform % 2**GUARD
        certain = 8 <= edge < 2**GUARD - 8  # no carry can have passed the guard
        yield ((2**21 - 1) * certain, uniform >> 32)
        yield ((_ALL << GUARD & _ALL) * certain, uniform & _ALL)


def recovered_state(words: Sequence[Seen]) -> tuple[list[int], list[bool]]:
    """Return the state (624 words) that fits, and which of the equations left over hold.

    What is not certain of the first 624 words are the unknowns; every later bit that is certain
    is an equation for them.
    """
    forms, rows = _first(words[:WORDS]), dict[int, int]()
    held = []
    for equation in _equations(forms, words):
        left = _reduced(equation, rows)
        if left > 1:
            rows[left.bit_length() - 1] = left
        else:
            held.append(left == 0)
    solution = _solved(rows)
    state = [_number(word, solution) for word in forms]
    return state, held


def outputs(state: Sequence[int]) -> Iterator[int]:
    """Yield the words of a twister from this state (untempered) on."""
    numbers = list(state)
    for n in range(2**31):
        if n >= WORDS:
            y = numbers[n - WORDS] & 0x80000000 | numbers[n - WORDS + 1] & 0x7FFFFFFF
            numbers.append(numbers[n - WORDS + MIDDLE] ^ y >> 1 ^ _TWIST * (y & 1))
        word = numbers[n]
        for shift, mask in _TEMPERING:
            word ^= (word << shift if shift > 0 else word >> -shift) & mask
        yield word


def _first(words: Sequence[Seen]) -> list[Forms]:
    """Return the state behind the first words: each bit that is not certain is an unknown."""
    unknowns, state = 0, []
    for mask, value in words:
        forms = []
        for bit in range(32):
            if mask >> bit & 1:
                forms.append(value >> bit & 1)
            else:
                unknowns += 1
                forms.append(1 << unknowns)
        for shift, kept in reversed(_TEMPERING):
            forms = _undone(forms, shift, kept)
        state.append(forms)
    return state


def _equations(first: Sequence[Forms], words: Sequence[Seen]) -> Iterator[int]:
    """Yield a form that is zero for each certain bit of the words after the first 624."""
    state = list(first)
    for n in range(WORDS, len(words)):
        y = state[n - WORDS + 1][:31] + state[n - WORDS][31:]
        shifted = _shifted(y, -1, _ALL)
        fed = [y[0] if _TWIST >> bit & 1 else 0 for bit in range(32)]
        state.append(_sum(_sum(state[n - WORDS + MIDDLE], shifted), fed))
        forms = state[n]
        for shift, kept in _TEMPERING:
            forms = _sum(forms, _shifted(forms, shift, kept))
        mask, value = words[n]
        for bit in range(32):
            if mask >> bit & 1:
                yield forms[bit] ^ value >> bit & 1


def _shifted(forms: Forms, shift: int, mask: int) -> Forms:
    moved = [0] * shift + forms[: 32 - shift] if shift > 0 else forms[-shift:] + [0] * -shift
    return [form if mask >> bit & 1 else 0 for bit, form in enumerate(moved)]


def _sum(one: Forms, other: Forms) -> Forms:
    return [a ^ b for a, b in zip(one, other, strict=True)]


def _undone(forms: Forms, shift: int, mask: int) -> Forms:
    """Solve x ^ (x shifted & mask) = forms for x: each round settles `shift` more bits."""
    found = forms
    for _ in range(32 // abs(shift)):
        found = _sum(forms, _shifted(found, shift, mask))
    return found


def _reduced(form: int, rows: dict[int, int]) -> int:
    """Return a form less the rows that lead with its highest unknowns."""
    while form > 1 and (row := rows.get(form.bit_length() - 1)) is not None:
        form ^= row
    return form


def _solved(rows: dict[int, int]) -> int:
    """Return values of the unknowns, one bit each; bit 0 is the forms' constant."""
    solution = 1
    for leading in sorted(rows):
        solution |= ((rows[leading] & solution).bit_count() & 1) << leading
    return solution


def _number(forms: Forms, solution: int) -> int:
    return sum(((form & solution).bit_count() & 1) << bit for bit, form in enumerate(forms))
