"""Models that silos bring instead of training one here."""

from pathlib import Path

import torch

from dpfedsyn.brought import network_weights, own_module, unet_folder
from dpfedsyn.brought.model import BroughtModel
from dpfedsyn.domain import Encoder

__all__ = ["BroughtModel", "read"]


def read(path: Path, encoder: Encoder, device: torch.device) -> BroughtModel:
    """Return the model of a folder that `diffusers` saved, or that a JSON file declares.

    Raises:
        ModelError: says which file, key, shape or schedule is wrong, and the mend.
    """
    if path.suffix in network_weights.CODE:
        network_weights.refuse(path)
    if path.is_dir():
        return unet_folder.read(path, encoder, device)
    return own_module.read(path, encoder, device)
