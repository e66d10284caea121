"""Where networks are trained and asked: the processor, or CUDA where there is one."""

from __future__ import annotations

import torch

from dpfedsyn.errors import ConfigError
from dpfedsyn.settings import Config


def pick_device(config: Config) -> torch.device:
    """Return the device of the models: `auto` is CUDA where there is one."""
    available = torch.cuda.is_available()
    if config.device == "cuda" and not available:
        raise ConfigError("device = 'cuda': no CUDA device is there. Use device = 'auto' or 'cpu'.")
    return torch.device("cuda" if available and config.device != "cpu" else "cpu")
