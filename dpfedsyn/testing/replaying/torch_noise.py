"""torch's noise on a tape, followed by a function mode: nothing in the program is patched.

Imported only where torch is loaded already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from dpfedsyn.testing.replaying.tape import Noise, Tape

_ADD = {"add", "__add__", "__radd__", "add_", "__iadd__"}
_SUBTRACT = {"sub", "subtract", "__sub__", "__rsub__", "rsub", "sub_", "__isub__"}
_MULTIPLY = {"mul", "multiply", "__mul__", "__rmul__", "mul_", "__imul__"}
_DIVIDE = {"div", "divide", "true_divide", "__truediv__", "div_", "__itruediv__"}
_IN_PLACE = {"add_", "__iadd__", "sub_", "__isub__"}
_KEEP = {"neg", "__neg__", "round", "view", "view_as", "reshape", "reshape_as", "to", "float",
         "double", "clone", "detach", "contiguous", "squeeze", "unsqueeze", "flatten", "type_as",
         "expand_as", "__getitem__"}  # fmt: skip
_UNIT = {"randn": "standard_normal", "randn_like": "standard_normal", "normal": "standard_normal",
         "normal_": "standard_normal", "exponential_": "standard_exponential"}  # fmt: skip


class NoiseMode(TorchFunctionMode):
    """Every call of torch passes here: draws of noise go on the tape, sums with it are noted."""

    def __init__(self, tape: Tape) -> None:
        super().__init__()
        self.tape = tape
        # Keeps what it knows alive: an id must not come to mean another tensor.
        self._known: dict[int, tuple[torch.Tensor, Noise]] = {}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in _UNIT:
            return self._drawn(name, func, args, kwargs)
        # `out += x` is also asked with x alone: the noise is found among positional operands.
        noises = [self._noise(x) for x in args[:2]]
        if all(x is None for x in noises):
            return func(*args, **kwargs)
        if name in _KEEP and noises[0] is not None:
            return self._remember(func(*args, **kwargs), noises[0])
        if name in _MULTIPLY | _DIVIDE and None in noises:
            return self._scaled(name, func, args, kwargs, noises)
        if name in _ADD | _SUBTRACT:
            return self._added(name, func, args, kwargs, noises)
        return func(*args, **kwargs)

    def _noise(self, x: Any) -> Noise | None:
        found = self._known.get(id(x))
        return None if found is None else found[1]

    def _remember(self, x: Any, noise: Noise) -> Any:
        if isinstance(x, torch.Tensor):
            self._known[id(x)] = (x, noise)
        return x

    def _drawn(self, name: str, func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        law = "exponential" if name == "exponential_" else "gaussian"
        mean, scale = _mean_and_std(name, args, kwargs)
        like = func(*args, **kwargs)  # shape, dtype, device; its numbers are replaced
        shape = tuple(like.shape)
        number, rng = self.tape.drawn(law, shape, located=not _is_zero(mean))
        unit = np.asarray(getattr(rng, _UNIT[name])(size=shape))
        drawn = torch.from_numpy(unit).to(like) * scale
        noise = Noise(law, _array(scale), (number,))
        located = number in self.tape.located
        if located:
            value = torch.as_tensor(mean).to(like).broadcast_to(like.shape)
            drawn = self._sum(noise, drawn, value, value + drawn)
        if name.endswith("_"):
            with torch.no_grad():
                drawn = like.copy_(drawn)
        # An initial weight is no noise that will hide something.
        return drawn if located or like.requires_grad else self._remember(drawn, noise)

    def _scaled(
        self, name: str, func: Callable[..., Any], args: Any, kwargs: Any, noises: list[Any]
    ) -> Any:
        place = 0 if noises[0] is not None else 1
        if name in _DIVIDE and place == 1:
            return func(*args, **kwargs)
        factor = _array(args[1 - place])
        with np.errstate(divide="ignore", invalid="ignore"):
            noise = noises[place].scaled(1 / factor if name in _DIVIDE else factor)
        return self._remember(func(*args, **kwargs), noise)

    def _added(
        self, name: str, func: Callable[..., Any], args: Any, kwargs: Any, noises: list[Any]
    ) -> Any:
        weight = kwargs.get("alpha", 1)
        if None not in noises:
            both = noises[0].plus(noises[1].scaled(weight))
            return self._remember(func(*args, **kwargs), both)
        place = 0 if noises[0] is not None else 1
        drawn, value = args[place], args[1 - place]
        value = torch.as_tensor(value).detach().clone() * (weight if place == 0 else 1)
        noise = noises[place].scaled(weight if place == 1 else 1)
        result = func(*args, **kwargs)
        self._known.pop(id(result), None)
        released = self._sum(noise, drawn, value, result.detach())
        if name in _IN_PLACE:
            return result.copy_(released)
        return released

    def _sum(
        self, noise: Noise, drawn: torch.Tensor, value: torch.Tensor, sum_: torch.Tensor
    ) -> torch.Tensor:
        released = self.tape.add(
            noise, drawn.numel(), tuple(drawn.shape), _array(value), _array(sum_).copy()
        )
        return torch.from_numpy(np.asarray(released)).to(sum_)


def _mean_and_std(name: str, args: Any, kwargs: Any) -> tuple[Any, Any]:
    if name not in ("normal", "normal_"):
        return 0.0, 1.0
    given = args[1:] if name == "normal_" else args
    mean = given[0] if given else kwargs.get("mean", 0.0)
    std = given[1] if len(given) > 1 else kwargs.get("std", 1.0)
    return mean, std


def _is_zero(mean: Any) -> bool:
    return not bool(mean.any()) if isinstance(mean, torch.Tensor) else mean == 0


def _array(x: Any) -> Any:
    return x.detach().cpu().numpy() if isinstance(x, torch.Tensor) else np.asarray(x)


@contextmanager
def torch_on(tape: Tape) -> Iterator[None]:
    """Follow torch's noise; its other draws are the same on both sides."""
    with torch.random.fork_rng(devices=[]), NoiseMode(tape):
        torch.manual_seed(tape.seed)
        yield
