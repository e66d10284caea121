"""Does a module keep records apart? Try it, on synthetic rows, before anything is charged.

DP-SGD clips what one record does to its own gradient. Where a module lets records of a batch meet
(a mean, a softmax, a roll over dimension 0), one record moves the clipped gradients of all, and no
noise was added for that. Classes of layers do not tell; so the module is run as it is trained, with
one record changed, and every bit of the others must stay.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from dpfedsyn.brought import BroughtModel
from dpfedsyn.brought.network_weights import same_bits
from dpfedsyn.brought.tuning import Arrays, Tuned, TunedBatch, Tuning
from dpfedsyn.dpsgd.gradients import Factored, Gradients
from dpfedsyn.dpsgd.hooked_pass import (
    HookedPass,
    Trial,
    alone,
    batch_of,
    changed,
    formed,
    moved,
    words,
)
from dpfedsyn.dpsgd.validation import unsupported
from dpfedsyn.dpsgd.watch import first_mixed
from dpfedsyn.errors import ModelError
from dpfedsyn.network import trained

OFF = 1e-3  # of a parameter's own gradient, and
ROUNDED = 1e-5  # of the whole one: what rounding may do in float32
FAR = 30.0  # the changed record, in the others' scale


@dataclass(frozen=True)
class Probe:
    """Synthetic records, so many draws of each, of a scale; with weights as brought, or moved."""

    units: int
    draws: int
    scale: float
    moved: bool


PROBES = (Probe(3, 2, 1.0, False), Probe(2, 3, 4.0, True))


def refusals(model: BroughtModel) -> list[str]:
    """Return a sentence for each reason why DP-SGD cannot train a brought model; none: it can.

    First what its layers are (`unsupported`), then, where nothing is wrong with them, what it does:
    the classes that train it, with their loss, take a pass over a few synthetic records. Twice:
    with the weights as brought, and with all of them moved, since a weight of zero hides what lies
    before it; the records differ in number, draws and scale. No record is read, the model is left
    as it is and torch's generators stand where they stood.

    Guarantee:
        Without a reason, on the probed rows: no bit of a record's loss and of its gradient depends
        on any other record there, a second pass gives the same bits, no buffer or parameter was
        changed and torch's generators were not used, and each trained parameter's gradients are
        autograd's of single records. It finds mixing on the probed rows; it cannot prove that the
        module's code never mixes: what depends on data, on the batch's size or on the number of
        passes may escape it.
    """
    try:
        module = Tuned(model).module
    except Exception as error:  # of somebody else's code
        return unsupported(model.module) or [
            f"the module: it cannot be copied ({words(error)}); keep what a pass computes out of "
            "its attributes."
        ]
    if not trained(module):
        return [
            "the module: none of its parameters needs a gradient, so there is nothing to train; "
            "leave requires_grad=True where it is to learn."
        ]
    return unsupported(module) or probed(Tuning(model))


def probed(tuning: Tuning) -> list[str]:
    """Return what is wrong with what the model does, by the first probe that finds anything."""
    with _undisturbed(tuning.model.device):
        return next(filter(None, (_faults(tuning, probe) for probe in PROBES)), [])


@contextmanager
def _undisturbed(device: torch.device) -> Iterator[None]:
    """Leave torch's generators as they are; let CUDA round alike each time, and as finely."""
    exact = torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    )
    own = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=own), exact, sdpa_kernel(SDPBackend.MATH):
        yield


def _faults(tuning: Tuning, probe: Probe) -> list[str]:
    """What one probe finds: faults of one kind, since they would make others appear."""
    weights = moved(tuning.start) if probe.moved else tuning.start
    size = probe.units, probe.draws
    batch = batch_of(tuning, *size, probe.scale, b"near")
    far = batch_of(tuning, *size, FAR * probe.scale, b"far")
    try:
        trial = Trial.of(tuning, weights)
        before = {name: value.detach().clone() for name, value in _held(trial)}
        first = trial.run(batch)
        others = [trial.run(changed(batch, far, unit)) for unit in range(probe.units)]
        last = trial.run(batch)
    except ModelError as error:
        return [f"{error}"]
    checks: tuple[Callable[[], list[str]], ...] = (
        lambda: _drawn(first),
        lambda: _rewritten(before, trial),
        lambda: _missing(first, trial),
        lambda: _unlike(first, last),
        lambda: _mixed(first, others),
        lambda: _wrong(first, tuning, weights, batch),
    )
    return next(filter(None, (check() for check in checks)), [])


def _held(trial: Trial) -> list[tuple[str, Tensor]]:
    """Parameters and buffers, by the names that they have in the module itself."""
    named = (*trial.network.named_parameters(), *trial.network.named_buffers())
    return [(_own(name), value) for name, value in named]


def _own(name: str) -> str:
    return name.removeprefix("module.")


def _drawn(found: HookedPass) -> list[str]:
    if not found.drawn:
        return []
    place = next((event.place for event in found.events if event.drawn), "the module")
    return [
        f"{place}: random numbers are drawn from torch's own generator (dropout as a function, a "
        "permutation), and no key of the silo's determines them; draw nothing in `forward`."
    ]


def _rewritten(before: dict[str, Tensor], trial: Trial) -> list[str]:
    return [
        f"{name}: a pass changes it, and what it is changed to would hold records without noise; "
        "write to no buffer or parameter in `forward`."
        for name, value in _held(trial)
        if not same_bits(before[name], value)
    ]


def _missing(found: HookedPass, trial: Trial) -> list[str]:
    units, names = len(found.losses), []
    for name, parameter in trained(trial.network).items():
        gradients = found.gradients.get(name)
        if gradients is None or _shape(gradients) != (units, *parameter.shape):
            names.append(_own(name))
    if not names:
        return []
    return [
        f"{', '.join(names)}: no gradient of single records: its layer is not used, or not called "
        "as a layer (its weights alone are used), or is given nothing that autograd follows to the "
        "samples or steps (integers cut that); mend that, or set requires_grad=False."
    ]


def _shape(gradients: Gradients) -> tuple[int, ...]:
    if isinstance(gradients, Factored):
        sides = gradients.backprops, gradients.activations
        return (len(sides[0]), *(side.shape[-1] for side in sides))
    return tuple(gradients.rows.shape)


def _unlike(first: HookedPass, last: HookedPass) -> list[str]:
    units = range(len(first.losses))
    if all(_alike(first, last, unit) for unit in units):
        return []
    place = first_mixed(first.events, last.events, len(units), -1) or "the module, backward"
    return [
        f"{place}: the same records gave other numbers in a second pass: something is drawn at "
        "random, or kept from one pass to the next, or (on CUDA) added up in any order; make every "
        "pass start from the weights alone."
    ]


def _alike(one: HookedPass, other: HookedPass, unit: int) -> bool:
    return all(map(same_bits, one.of(unit), other.of(unit)))


def _mixed(first: HookedPass, others: list[HookedPass]) -> list[str]:
    units = range(len(first.losses))
    for unit, other in enumerate(others):
        if not all(_alike(first, other, k) for k in units if k != unit):
            place = first_mixed(first.events, other.events, len(units), unit)
            return [
                f"{place or 'the module, backward'}: one record's values depend on the others of "
                "its batch, which no clipping could undo; let no operation reach over dimension 0 "
                "(mean, std, softmax, sort, roll, a transposed batch)."
            ]
    return []


def _wrong(found: HookedPass, tuning: Tuning, weights: Arrays, batch: TunedBatch) -> list[str]:
    """Compare each record's gradient with autograd's of the record alone."""
    coarse = max(torch.finfo(p.dtype).eps for p in trained(tuning.with_weights(weights)).values())
    off, rounded = max(OFF, 16 * coarse), max(ROUNDED, 4 * coarse)
    names: dict[str, None] = {}
    for unit in range(len(found.losses)):
        own = alone(tuning, weights, batch, unit)
        lengths = {name: float(value.double().norm()) for name, value in own.items()}
        whole = math.hypot(*lengths.values())
        if not 0.0 < whole < math.inf:
            return [
                f"the module: its gradient on synthetic records has length {whole:g}, of which "
                "nothing can be told; bring weights that learn."
            ]
        for name, value in own.items():
            distance = float((formed(found.gradients[name], unit) - value.double()).norm())
            if not distance <= off * lengths[name] + rounded * whole:
                names[_own(name)] = None
    if not names:
        return []
    return [
        f"{', '.join(names)}: a record's gradient is not the one that autograd gives for it alone: "
        "weights are used beside their layer, or what is computed depends on the number of "
        "rows; use weights in their own layer, and nothing of the batch's size."
    ]
