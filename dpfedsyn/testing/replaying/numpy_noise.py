"""numpy's noise on a tape: a Generator that records, and arrays that know that they are noise."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import numpy as np

from dpfedsyn.testing.replaying.tape import Array, Noise, Tape

_KEEP = (np.negative, np.positive, np.rint)


class NoiseArray(np.ndarray):
    """Noise that was drawn and not yet added to anything.

    Adding it to a value is written to the tape and gives a plain array; times a constant it stays
    noise; any other use makes it a plain array, which the tape does not follow.
    """

    noise: Noise | None
    tape: Tape

    def __array_finalize__(self, source: Any) -> None:
        self.noise = getattr(source, "noise", None)
        self.tape = getattr(source, "tape", None)  # type: ignore[assignment]

    def __getitem__(self, key: Any) -> Any:
        found = super().__getitem__(key)
        if isinstance(found, np.ndarray) or self.noise is None:
            return found
        return as_noise(found, self.noise, self.tape)

    def __iter__(self) -> Iterator[Any]:
        return (self[k] for k in range(len(self)))

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, **keywords: Any
    ) -> Any:
        noises = [x if isinstance(x, NoiseArray) and x.noise is not None else None for x in inputs]
        plain = [_plain(x) for x in inputs]
        before = [x.copy() if out is not None and isinstance(x, np.ndarray) else x for x in plain]
        if out is not None:
            keywords["out"] = tuple(_plain(x) for x in out)
        result = getattr(ufunc, method)(*plain, **keywords)
        left: Noise | None = None
        if method == "__call__" and any(x is not None for x in noises):
            result, left = _followed(ufunc, noises, before, np.asarray(result))
        if out is not None:
            (target,) = out
            _plain(target)[...] = result
            if isinstance(target, NoiseArray):
                target.noise = left
            return target
        tape = next(x.tape for x in (*inputs, *([] if out is None else out)) if _is_noise(x))
        if left is not None:
            return as_noise(result, left, tape)
        return result[()] if isinstance(result, np.ndarray) and result.ndim == 0 else result


def _followed(
    ufunc: np.ufunc, noises: list[NoiseArray | None], inputs: list[Any], result: Array
) -> tuple[Any, Noise | None]:
    """Return the result, and what noise it is, if it is still noise and nothing else."""
    place, one = next((k, x) for k, x in enumerate(noises) if x is not None)
    both = all(x is not None for x in noises)
    noise = one.noise
    assert noise is not None
    if ufunc in _KEEP:
        return result, noise
    if ufunc is np.multiply and not both:
        return result, noise.scaled(inputs[1 - place])
    if ufunc is np.divide and place == 0 and not both:
        with np.errstate(divide="ignore", invalid="ignore"):
            return result, noise.scaled(1 / np.asarray(inputs[1]))
    if ufunc in (np.add, np.subtract):
        if both:
            first, second = (x.noise for x in noises if x is not None)
            assert first is not None
            assert second is not None
            return result, first.plus(second)
        # Its sign does not matter: only how far it lies from the neighbour's.
        return one.tape.add(noise, one.size, one.shape, inputs[1 - place], result), None
    return result, None


def _is_noise(x: Any) -> bool:
    return isinstance(x, NoiseArray)


def _plain(x: Any) -> Any:
    return x.view(np.ndarray) if isinstance(x, NoiseArray) else x


def as_noise(array: Any, noise: Noise, tape: Tape) -> NoiseArray:
    """Return the array as noise."""
    result = np.asarray(array).view(NoiseArray)
    result.noise, result.tape = noise, tape
    return result


class RecordingGenerator(np.random.Generator):
    """A Generator whose noise is on the tape; its other draws are repeated, but not compared."""

    def __init__(self, tape: Tape) -> None:
        super().__init__(np.random.PCG64(tape.seed))
        self.tape = tape

    def spawn(self, n_children: int) -> list[np.random.Generator]:
        """Return generators on the same tape."""
        return [RecordingGenerator(self.tape) for _ in range(n_children)]

    def _noise(self, law: str, unit: str, loc: Any, scale: Any, size: Any) -> Any:
        shape = (
            np.broadcast_shapes(np.shape(loc), np.shape(scale)) if size is None else _shape(size)
        )
        number, rng = self.tape.drawn(law, shape, located=bool(np.any(loc)))
        drawn = np.asarray(getattr(rng, unit)(size=shape)) * scale
        noise = as_noise(drawn, Noise(law, scale, (number,)), self.tape)
        return np.asarray(loc) + noise if number in self.tape.located else noise

    def normal(self, loc: Any = 0.0, scale: Any = 1.0, size: Any = None) -> Any:
        """Return N(loc, scale^2)."""
        return self._noise("gaussian", "standard_normal", loc, scale, size)

    def standard_normal(self, size: Any = None, dtype: Any = np.float64, out: Any = None) -> Any:
        """Return N(0, 1)."""
        drawn = self._noise("gaussian", "standard_normal", 0.0, 1.0, () if size is None else size)
        if out is not None:
            out[...] = _plain(drawn)
        return drawn.astype(dtype)

    def laplace(self, loc: Any = 0.0, scale: Any = 1.0, size: Any = None) -> Any:
        """Return Laplace(loc, scale)."""
        return self._noise("laplace", "laplace", loc, scale, size)

    def gumbel(self, loc: Any = 0.0, scale: Any = 1.0, size: Any = None) -> Any:
        """Return Gumbel(loc, scale)."""
        return self._noise("gumbel", "gumbel", loc, scale, size)

    def exponential(self, scale: Any = 1.0, size: Any = None) -> Any:
        """Return exponential noise."""
        return self._noise("exponential", "standard_exponential", 0.0, scale, size)


def _shape(size: Any) -> tuple[int, ...]:
    return tuple(int(n) for n in np.atleast_1d(size)) if size != () else ()


def _repeated(name: str) -> Any:
    def method(self: RecordingGenerator, *arguments: Any, **keywords: Any) -> Any:
        return getattr(self.tape.other(), name)(*arguments, **keywords)

    return method


for _name in ("random", "integers", "choice", "permutation", "permuted", "shuffle", "uniform",
              "binomial", "poisson", "geometric"):  # fmt: skip
    setattr(RecordingGenerator, _name, _repeated(_name))


@contextmanager
def numpy_on(tape: Tape) -> Iterator[RecordingGenerator]:
    """Record what the program draws from the generator it is given, its own ones or global ones."""
    rng = RecordingGenerator(tape)
    named = {name: getattr(rng, name) for name in (
        "normal", "standard_normal", "laplace", "gumbel", "exponential", "uniform", "permutation",
        "shuffle", "choice", "random",
    )}  # fmt: skip
    named["randn"] = lambda *shape: rng.standard_normal(shape)
    named["rand"] = lambda *shape: tape.other().random(shape)
    named["default_rng"] = lambda seed=None: rng
    with ExitStack() as stack:
        for name, replacement in named.items():
            stack.enter_context(mock.patch.object(np.random, name, replacement))
        for name in ("gauss", "normalvariate"):
            stack.enter_context(mock.patch.object(random, name, rng.normal))
        yield rng
