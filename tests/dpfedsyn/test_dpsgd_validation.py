"""Layers that DP-SGD cannot take are named with their mend; the others give records' gradients."""

import copy
import re
from collections.abc import Callable
from functools import partial

import pytest
import torch
from opacus.validators import ModuleValidator
from opacus.validators.errors import ShouldReplaceModuleError
from torch import Tensor, nn

from dpfedsyn import dpsgd
from dpfedsyn.dpsgd.gradients import Factored, gradients_of
from dpfedsyn.dpsgd.hooks import RecordGradients
from dpfedsyn.errors import ModelError


def shared() -> nn.Sequential:
    module = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    module[1].weight = module[0].weight
    return module


class Lin(nn.Linear):
    """Does what its class says, which nobody here knows."""


def namesake() -> nn.Module:
    """Attention whose processor has the name of one of diffusers'."""
    module = Attention()
    module.processor = type("AttnProcessor2_0", (), {})()
    return module


def parametrised() -> nn.Module:
    return nn.utils.parametrizations.weight_norm(nn.Linear(2, 2, bias=False))


class Bare(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))


class Attention(nn.Module):
    class Mine:
        pass

    def __init__(self) -> None:
        super().__init__()
        self.query, self.processor = nn.Linear(2, 2), Attention.Mine()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)),
         r"1 \(BatchNorm2d\): .*mixes the records.*GroupNorm"),
        (lambda: nn.Sequential(nn.Linear(2, 2), nn.ReLU(inplace=True)),
         r"1 \(ReLU\): .*inplace=False"),
        *((partial(kind, 3, track_running_stats=True), rf"\({kind.__name__}\): .*running")
          for kind in (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)),
        (lambda: nn.Sequential(nn.Embedding(4, 2)), r"0 \(Embedding\): .*one-hot.*nn\.Linear"),
        (lambda: nn.LayerNorm(4), r"\(LayerNorm\): .*GroupNorm\(1, channels\)"),
        (lambda: nn.ConvTranspose2d(1, 1, 3), r"\(ConvTranspose2d\): .*nn\.Upsample"),
        (lambda: nn.MultiheadAttention(4, 2), r"\(MultiheadAttention\): .*as nn\.Linear"),
        (lambda: nn.LSTM(2, 2), r"\(LSTM\): .*attention of nn\.Linear"),
        (lambda: nn.Conv2d(4, 4, 3, groups=2), r"\(Conv2d\): .*groups=1"),
        (lambda: nn.Conv2d(4, 4, 3, padding="same"), r"\(Conv2d\): .*padding to a number"),
        (lambda: nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"), r'padding_mode="zeros"'),
        (lambda: nn.Sequential(Lin(2, 2)), r"0 \(Lin\): .*subclass of nn\.Linear"),
        (parametrised, r"\(ParametrizationList\): .*remove_parametrizations"),
        (namesake, r"processor AttnProcessor2_0 is not known.*set_default_attn_processor"),
        (shared, r"1\.weight: is the same parameter as 0\.weight"),
        (Bare, r"\(Bare\): .*build it of Linear, Conv2d, GroupNorm"),
        (Attention, r"processor Mine is not known.*set_default_attn_processor"),
    ],
)  # fmt: skip
def test_each_layer_is_named_with_what_would_do(make: Callable[[], nn.Module], words: str) -> None:
    """Its dotted name, its class, the reason and the mend."""
    found = dpsgd.unsupported(make())
    assert found
    assert any(re.search(words, text) for text in found), found


def test_batch_norm_is_refused_where_gradients_are_taken() -> None:
    """By our own guard, whatever its statistics are and in whatever mode it is."""
    for tracked in (True, False):
        layer = nn.BatchNorm2d(4, track_running_stats=tracked)
        for module in (layer, nn.Sequential(nn.Conv2d(1, 4, 3), layer).eval()):
            with pytest.raises(ModelError, match=r"nothing was trained:\n.*mixes the records"):
                RecordGradients(module)


def test_dropout_frozen_layers_and_group_norm_are_no_fault() -> None:
    """What keeps records apart passes; a frozen layer has no gradient to be known."""
    frozen = nn.Embedding(4, 8).requires_grad_(False)
    module = nn.Sequential(
        frozen, nn.Linear(8, 8, bias=False), nn.SiLU(), nn.Dropout(0.1), nn.GroupNorm(2, 8)
    )
    assert dpsgd.unsupported(module) == []
    for kind in (Bare, lambda: nn.Conv2d(4, 4, 3, groups=2), shared, lambda: Lin(2, 2)):
        assert dpsgd.unsupported(kind().requires_grad_(False)) == []


def test_what_opacus_refuses_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its list may grow; and a module is left in the mode in which it was."""
    module = nn.Sequential(nn.Linear(2, 2)).eval()
    assert dpsgd.unsupported(module) == []
    error = ShouldReplaceModuleError("linear layers are out of fashion")
    monkeypatch.setitem(ModuleValidator.VALIDATORS, nn.Linear, lambda layer: [error])
    assert dpsgd.unsupported(module) == ["linear layers are out of fashion"]
    assert not module.training


class Pictures(nn.Module):
    """Pictures (B, M, 64) and steps through somebody else's module."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, features: Tensor) -> Tensor:
        rows = features.flatten(0, -2)
        found: Tensor = self.module(rows[:, :-1].reshape(-1, 1, 8, 8), rows[:, -1]).sample
        return found.flatten(1).reshape(*features.shape[:-1], -1)


def test_a_unet_of_diffusers_gives_each_record_its_own_gradient() -> None:
    """With attention, group norm over tokens and time embeddings: as autograd, record by record."""
    diffusers = pytest.importorskip(
        "diffusers", reason="diffusers is not installed: pip install 'dpfedsyn[diffusers]'"
    )
    torch.manual_seed(0)
    unet = diffusers.UNet2DModel(
        sample_size=8, in_channels=1, out_channels=1, layers_per_block=1, norm_num_groups=4,
        block_out_channels=(8, 16), down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"), attention_head_dim=8,
    )  # fmt: skip
    assert dpsgd.unsupported(unet) == []
    network = Pictures(unet)
    plain = copy.deepcopy(network)
    features = torch.cat([torch.randn(3, 2, 64), torch.randint(0, 999, (3, 2, 1)).float()], dim=-1)
    target = torch.randn(3, 2, 64)

    def losses(module: nn.Module, records: slice, given: Tensor) -> Tensor:
        found: Tensor = (module(given[records]) - target[records]).square().mean(dim=(1, 2))
        return found

    hooked = RecordGradients(network)
    hooked.backward(losses(hooked, slice(0, 3), features.clone().requires_grad_(True)))
    for record in range(3):
        loss = losses(plain, slice(record, record + 1), features).sum()
        wanted = torch.autograd.grad(loss, list(plain.parameters()))
        for (name, parameter), own in zip(network.named_parameters(), wanted, strict=True):
            found = gradients_of(parameter.grad_sample)
            if isinstance(found, Factored):
                sides = found.backprops[record], found.activations[record]
                rows = torch.einsum("mo,mi->oi", *sides)
            else:
                rows = found.rows[record]
            assert torch.allclose(rows.float(), own, atol=1e-5), name
