"""Factories of modules that no silo may bring, each for a reason of its own, and of a few it may.

All take samples (N, 4), steps and labels (N,).
"""

import sys
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

FIXED = torch.tensor([1.0, 2.0, 3.0, 4.0])


class Plain(nn.Module):
    """Predicts its samples times a gain, plus a shift that is none where no weights are loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(0.5))
        self.register_buffer("count", torch.tensor(3))

    def forward(self, samples: Tensor, steps: Tensor, labels: Tensor) -> Any:
        return self.gain * samples


class Held(Plain):
    """Trains its shift alone: its own code holds the gain fixed."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(4))
        self.gain.requires_grad_(False)

    def forward(self, samples: Tensor, steps: Tensor, labels: Tensor) -> Any:
        return self.gain * samples + self.shift


class Dropped(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.9)

    def forward(self, samples: Tensor, steps: Tensor, labels: Tensor) -> Tensor:
        found: Tensor = self.dropout(self.gain * samples)
        return found


class Returning(Plain):
    """Returns whatever is made of its prediction."""

    def made(self, found: Tensor, steps: Tensor, labels: Tensor) -> Any:
        raise AssertionError("a subclass returns something")

    def forward(self, samples: Tensor, steps: Tensor, labels: Tensor) -> Any:
        return self.made(self.gain * samples, steps, labels)


class Tuples(Returning):
    def made(self, found: Tensor, steps: Tensor, labels: Tensor) -> Any:
        return (found,)


class Complex(Returning):
    def made(self, found: Tensor, steps: Tensor, labels: Tensor) -> Any:
        return found.to(torch.complex64)


class Whole(Returning):
    def made(self, found: Tensor, steps: Tensor, labels: Tensor) -> Any:
        return found.round().long()


class Undefined(Returning):
    def made(self, found: Tensor, steps: Tensor, labels: Tensor) -> Any:
        return torch.where(labels[:, None] == 1, torch.nan, found)


class Unbounded(Returning):
    def made(self, found: Tensor, steps: Tensor, labels: Tensor) -> Any:
        return found / (steps[:, None] < 999)


class FewSteps(Plain):
    """An embedding of 999 steps, where the schedule has 1000."""

    def forward(self, samples: Tensor, steps: Tensor, labels: Tensor) -> Any:
        return self.gain * samples + torch.zeros(999, 4)[steps]


class FewLabels(Plain):
    """An embedding of one label."""

    def forward(self, samples: Tensor, steps: Tensor, labels: Tensor) -> Any:
        return self.gain * samples + torch.zeros(1, 4)[labels]


class FewRows(Plain):
    def forward(self, samples: Tensor, steps: Tensor, labels: Tensor) -> Any:
        return self.gain * samples.reshape(2, 4)


class Exiting(Plain):
    def forward(self, samples: Tensor, steps: Tensor, labels: Tensor) -> Any:
        sys.exit(3)


class Deaf(Plain):
    """Takes any weights, and none of them."""

    def load_state_dict(self, state_dict: Mapping[str, Any], **_: Any) -> Any:  # type: ignore[override]
        return None


class Failing(Plain):
    def load_state_dict(self, state_dict: Mapping[str, Any], **_: Any) -> Any:  # type: ignore[override]
        raise OSError("no disk")


class Unprepared(Plain):
    def eval(self) -> Any:
        raise RuntimeError("always training")


class Stateful(Plain):
    """Keeps something beside tensors."""

    def get_extra_state(self) -> Any:
        return {"a": 1}

    def set_extra_state(self, state: Any) -> None:
        pass


class Fourier(Plain):
    """Random frequencies that no file keeps."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("frequencies", torch.randn(4), persistent=False)


class Drawn(Plain):
    """Random frequencies that its file keeps."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("frequencies", torch.randn(4))


class Tabled(Plain):
    """A table that follows from the code, and that no file has to keep."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", torch.arange(4.0), persistent=False)
        self.register_buffer("shared", FIXED, persistent=False)


_ONE = Plain()


def one() -> nn.Module:
    return _ONE


def half_shared() -> nn.Module:
    made = Plain()
    made.gain = _ONE.gain
    return made


_times: list[int] = []


def once() -> nn.Module:
    """Has a buffer in the first, third, ... module only."""
    _times.append(1)
    return Tabled() if len(_times) % 2 else Plain()


def compiled() -> Any:
    class Script(nn.Module):
        def forward(self, samples: Tensor, steps: Tensor, labels: Tensor) -> Tensor:
            return samples

    return torch.jit.trace(
        Script(), (torch.zeros(2, 4), torch.zeros(2), torch.zeros(2)), check_trace=False
    )


def lazy() -> nn.Module:
    return nn.LazyLinear(4)


def meta() -> nn.Module:
    return nn.Linear(4, 4, device="meta")


def leaving() -> nn.Module:
    sys.exit("no licence")


def silent() -> nn.Module:
    raise RuntimeError


def verbose() -> nn.Module:
    raise ValueError("first line " + "x" * 1000 + "\nsecond line")
