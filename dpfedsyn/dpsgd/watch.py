"""What every layer of a module is given and returns in a pass, to say where something begins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from dpfedsyn.brought.network_weights import same_bits


@dataclass(frozen=True, eq=False)
class Event:
    """A layer is entered or left.

    Args:
        place: the layer in words; on entry the one around it too, whose code comes before.
        tensors: copies of what it is given, or returns.
        drawn: whether torch's generators had moved since the watch began.
    """

    place: str
    tensors: tuple[Tensor, ...]
    drawn: bool


@dataclass(eq=False)
class Watch:
    """Events in their order, and the layers that are entered and not yet left."""

    device: torch.device
    events: list[Event] = field(default_factory=list)
    inside: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._start = generators(self.device)

    @property
    def innermost(self) -> str:
        """The layer in which a pass that failed was."""
        return self.inside[-1] if self.inside else "the module"

    @property
    def drawn(self) -> bool:
        """Whether torch's generators have moved."""
        return not all(map(torch.equal, self._start, generators(self.device)))

    def entered(self, name: str, given: Any) -> None:
        """Note that a layer begins."""
        place = f"{self.inside[-1]}, before {name}" if self.inside else name
        self.inside.append(name)
        self.events.append(Event(place, tuple(_tensors(given)), self.drawn))

    def left(self, returned: Any) -> None:
        """Note that the layer that was entered last is done."""
        self.events.append(Event(self.inside.pop(), tuple(_tensors(returned)), self.drawn))


@contextmanager
def watching(module: nn.Module, device: torch.device) -> Iterator[Watch]:
    """Watch the passes through a module that are made in the context."""
    watch, handles = Watch(device), []
    for name, layer in module.named_modules():
        words = f"{name or 'the module'} ({type(layer).__name__})"

        def before(_: nn.Module, given: Any, named: Any, words: str = words) -> None:
            watch.entered(words, (given, named))

        def after(_: nn.Module, _given: Any, returned: Any) -> None:
            watch.left(returned)

        handles.append(layer.register_forward_pre_hook(before, with_kwargs=True))
        handles.append(layer.register_forward_hook(after))
    try:
        yield watch
    finally:
        for handle in handles:
            handle.remove()


def generators(device: torch.device) -> list[Tensor]:
    """Return the states of torch's global generators that a pass on the device could move."""
    states = [torch.get_rng_state()]
    return [*states, torch.cuda.get_rng_state(device)] if device.type == "cuda" else states


def first_mixed(
    before: Sequence[Event], after: Sequence[Event], records: int, changed: int
) -> str | None:
    """Return where a pass first differs in rows of other records than the one that was changed.

    Tensors whose dimension 0 is no multiple of the records are passed over.
    """
    for one, other in zip(before, after, strict=False):
        if one.place != other.place or len(one.tensors) != len(other.tensors):
            return one.place
        for left, right in zip(one.tensors, other.tensors, strict=True):
            if left.shape != right.shape:
                return one.place
            if left.dim() == 0 or len(left) % records or left.numel() == 0:
                continue
            rows = [tensor.reshape(records, -1) for tensor in (left, right)]
            if not all(
                same_bits(*(side[k] for side in rows)) for k in range(records) if k != changed
            ):
                return one.place
    return None


def _tensors(value: Any) -> Iterator[Tensor]:
    """Copies of the tensors in what a layer is given or returns."""
    if isinstance(value, Tensor):
        yield value.detach().clone()
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _tensors(part)
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        for part in value:
            yield from _tensors(part)
