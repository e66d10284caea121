"""Models to bring, made small: folders as `diffusers` saves them, and modules of one's own."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from dpfedsyn.images import ImageEncoder, ImageSchema

ONE = {"data.conditional": False}
PIXELS = ImageSchema(
    "pixels", ("0", "1"), 8, 8, 64, grey=0.5, largest=16, scale=2.0, basis="pixels"
)
UNLABELLED = ImageEncoder(PIXELS, conditional=False)
LABELLED = ImageEncoder(PIXELS)
SCHEDULE = {"prediction_type": "epsilon", "beta_schedule": "linear"}


class Linear(nn.Module):
    """Predicts a scaled copy of what it is given, shifted by time and label: all can be checked."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(0.5))
        self.shift = nn.Parameter(torch.tensor([0.0, 0.25]))

    def forward(self, samples: Tensor, steps: Tensor, labels: Tensor) -> Tensor:
        shift = (self.shift[labels] + steps / 1000.0).reshape(-1, *[1] * (samples.dim() - 1))
        return self.gain * samples + shift


class Unlabelled(Linear):
    """The same for records without labels."""

    def forward(self, samples: Tensor, steps: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(samples, steps, torch.zeros_like(steps))


def wrong_shape() -> nn.Module:
    class Wrong(Linear):
        def forward(self, samples: Tensor, steps: Tensor, labels: Tensor) -> Tensor:
            return samples[..., :1]

    return Wrong()


def declared(folder: Path, shape: list[int], **changes: Any) -> Path:
    """Write a declaration of `Linear` and its weights; values of None are left out."""
    save_file(Linear().state_dict(), folder / "weights.safetensors")
    content = {
        "module": "tests.dpfedsyn.brought:Linear",
        "weights": "weights.safetensors",
        "shape": shape,
        "schedule": SCHEDULE,
    } | changes
    kept = {key: value for key, value in content.items() if value is not None}
    (folder / "model.json").write_text(json.dumps(kept))
    return folder / "model.json"


def unet(folder: Path, *, schedule: dict[str, Any] | None = None, **changes: Any) -> Any:
    """Save a tiny UNet2DModel and its scheduler as `diffusers` does; returns the module."""
    from diffusers import DDPMScheduler, UNet2DModel

    torch.manual_seed(1)
    config = {
        "sample_size": 8, "in_channels": 1, "out_channels": 1, "layers_per_block": 1,
        "block_out_channels": (8, 16), "norm_num_groups": 4, "attention_head_dim": 8,
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
        "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    } | changes  # fmt: skip
    module = UNet2DModel(**config).eval()
    module.save_pretrained(folder / "unet")
    DDPMScheduler(**(schedule or {})).save_pretrained(folder / "scheduler")
    return module


def edit(path: Path, **changes: Any) -> None:
    """Change keys of a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


class Normalised(nn.Module):
    """A batch norm over coordinates, which no DP-SGD can take."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(dimension)

    def forward(self, samples: Tensor, steps: Tensor, labels: Tensor) -> Tensor:
        found: Tensor = self.norm(samples)
        return found


def normalised(dimension: int = 16) -> Normalised:
    return Normalised(dimension)


class Plain(nn.Module):
    """A linear layer over coordinates, and integers that nobody trains."""

    def __init__(self, dimension: int = 16) -> None:
        super().__init__()
        self.layer = nn.Linear(dimension, dimension)
        self.kept = nn.Parameter(torch.arange(3), requires_grad=False)

    def forward(self, samples: Tensor, steps: Tensor, labels: Tensor) -> Tensor:
        found: Tensor = self.layer(samples)
        return found


class Met(Plain):
    """The same of what a record has beside the mean of its batch."""

    def forward(self, samples: Tensor, steps: Tensor, labels: Tensor) -> Tensor:
        return super().forward(samples - samples.mean(0), steps, labels)


class Pictures(nn.Module):
    """A small denoiser of pictures, made of what DP-SGD can take."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.GroupNorm(2, 4)
        self.time = nn.Linear(1, 4)
        self.leave = nn.Conv2d(4, 1, 3, padding=1, bias=False)

    def forward(self, samples: Tensor, steps: Tensor) -> Tensor:
        level = self.time(steps.reshape(-1, 1) / 1000.0)[:, :, None, None]
        inner = self.norm(self.enter(samples)) + level
        found: Tensor = self.leave(nn.functional.silu(inner))
        return found


class Blurred(Pictures):
    """The same with a batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(4)


def pictures(folder: Path, kind: type[nn.Module] = Pictures) -> Path:
    """Write a declaration of `Pictures` and its weights, the same every time."""
    torch.manual_seed(3)
    path = declared(folder, [1, 8, 8], module=f"tests.dpfedsyn.brought:{kind.__name__}")
    save_file(kind().state_dict(), folder / "weights.safetensors")
    return path


class Centred(Pictures):
    """The same, each picture less the mean of its batch."""

    def forward(self, samples: Tensor, steps: Tensor) -> Tensor:
        return super().forward(samples - samples.mean(0), steps)


class Spare(Pictures):
    """The same, with a layer that is not used."""

    def __init__(self) -> None:
        super().__init__()
        self.spare = nn.Linear(3, 3)
