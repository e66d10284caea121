"""Ghost clipping: norms and exact sums without gradients, against the gradients themselves."""

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from torch import Tensor, nn

from dpfedsyn.dpsgd import (
    PublicRateOptimizer,
    clip_scales,
    clipped_points,
    gradient_lattice,
    optimizer,
)
from dpfedsyn.dpsgd.gradients import CANCELLATION, Factored, Whole
from dpfedsyn.dpsgd.hooks import RecordGradients
from dpfedsyn.errors import ModelError
from dpfedsyn.noise import Keystream

DECLARED = 1.0 + 1e-6
Floats = NDArray[np.float32]
SIZES = st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 6), st.integers(1, 6))
VALUES = st.one_of(
    st.sampled_from([1e30, -1e30, 3.4e38, -3.4e38, 1e-30, 1e-45, 0.0, 1.0, -1.0]),
    st.floats(width=32, allow_nan=False, allow_infinity=False),
)
ODD = st.one_of(VALUES, st.sampled_from([math.nan, math.inf, -math.inf]))


@st.composite
def factors(draw: st.DrawFn, values: st.SearchStrategy[float] = VALUES) -> tuple[Floats, Floats]:
    """Backprops (B, M, out) and activations (B, M, in) of float32 numbers."""
    b, m, out, into = draw(SIZES)
    return (
        draw(arrays(np.float32, (b, m, out), elements=values)),
        draw(arrays(np.float32, (b, m, into), elements=values)),
    )


def factored(sides: tuple[Floats, Floats]) -> Factored:
    return Factored(torch.from_numpy(sides[0]), torch.from_numpy(sides[1]))


def exact_square(backprops: Floats, activations: Floats) -> Fraction:
    """Squared norm of one record's sum_m g_m a_m^T, (M, out) and (M, in), in rational numbers."""
    total = Fraction(0)
    for column in backprops.T.tolist():
        for other in activations.T.tolist():
            entry = sum(
                (Fraction(g) * Fraction(a) for g, a in zip(column, other, strict=True)), Fraction(0)
            )
            total += entry**2
    return total


def lengths(sides: tuple[Floats, Floats]) -> NDArray[np.float64]:
    """S_b = sum_m |g_bm| |a_bm|."""
    first, second = (np.linalg.norm(side.astype(np.float64), axis=2) for side in sides)
    summed: NDArray[np.float64] = (first * second).sum(axis=1)
    return summed


@given(factors())
def test_ghost_norms_are_never_below_the_exact_ones(sides: tuple[Floats, Floats]) -> None:
    """Guarantee of dpfedsyn.dpsgd.gradients.Factored: `squares` is below a record's exact squared
    norm by hardly more than rounding, and never below (S / 32)^2, for huge and tiny draws too."""
    samples = factored(sides)
    squares = samples.double().squares().tolist()
    for square, g, a, total in zip(squares, *sides, lengths(sides), strict=True):
        assert Fraction(square) >= exact_square(g, a) * (1 - Fraction(1, 10**11))
        assert square >= (CANCELLATION * total) ** 2 * (1 - 1e-14)


def noisy_factors(
    seed: int, sizes: tuple[int, int, int, int], scale: float
) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    b, m, out, into = sizes
    sides = (scale * rng.standard_normal((b, m, out)), rng.standard_normal((b, m, into)))
    return sides[0].astype(np.float32), sides[1].astype(np.float32)


@given(
    st.integers(0, 2**32 - 1),
    SIZES,
    st.sampled_from([1e-12, 1e-3, 1.0, 1e6, 1e25]),
    st.sampled_from([0.5, 3.0, 5000.0]),
)
def test_ghost_norms_and_clipped_sums_are_those_of_the_gradients(
    seed: int, sizes: tuple[int, int, int, int], scale: float, multiplier: float
) -> None:
    """To 1e-9 of the gradients formed one by one, for draws that do not cancel to a 32nd."""
    sides = noisy_factors(seed, sizes, scale)
    samples = factored(sides)
    formed = np.einsum("bmi,bmj->bij", *(side.astype(np.float64) for side in sides))
    norms = np.linalg.norm(formed, axis=(1, 2))
    plain = norms > 1.001 * CANCELLATION * lengths(sides)
    found = samples.double().squares().sqrt().numpy()
    assert found[plain] == pytest.approx(norms[plain], rel=1e-9)
    assert (found[~plain] <= 1.002 * CANCELLATION * lengths(sides)[~plain]).all()
    clip = 0.5 * float(norms.max())
    scales, finite = clip_scales([samples], clip)
    assert scales.numpy()[plain] == pytest.approx(np.minimum(1, clip / norms[plain]), rel=1e-9)
    spacing = gradient_lattice(multiplier, clip).spacing
    (points,), kept = clipped_points([samples], clip, spacing)
    total = np.einsum("b,bij->ij", scales.numpy() * kept.numpy(), formed)
    error = np.linalg.norm(points.kept(kept).total(clip / spacing).numpy() * spacing - total)
    assert error <= (0.05 if multiplier > 10.0 else 1e-3) * (scales.numpy() * lengths(sides)).sum()
    assert finite.all()
    assert kept[torch.from_numpy(plain)].all()


def exact_points(points: list[Factored | Whole], record: int) -> list[int]:
    """One record's integers, multiplied and summed without any float."""
    found: list[int] = []
    for part in points:
        sides = (
            [[[int(v) for v in row] for row in side[record]] for side in part.parts[:2]]
            if (isinstance(part, Factored))
            else []
        )
        if isinstance(part, Whole):
            found += [int(v) for v in part.rows[record].ravel().tolist()]
            continue
        for i in range(len(sides[0][0])):
            for j in range(len(sides[1][0])):
                found.append(sum(g[i] * a[j] for g, a in zip(*sides, strict=True)))
    return found


@given(factors(ODD), st.sampled_from([1e-3, 1.0, 50.0]), st.sampled_from([0.3, 1.0, 4000.0]))
def test_a_record_that_counts_is_within_the_clip_in_integers(
    sides: tuple[Floats, Floats], clip: float, multiplier: float
) -> None:
    """Guarantee of dpfedsyn.dpsgd.optimizer.clipped_points: Of a record that counts, the integers k
    of all parameters together satisfy sum k^2 <= (clip / spacing)^2: no slack, in Python's own
    integers; what does not count adds nothing, and the sum over the batch is the integers' own."""
    samples, whole = factored(sides), Whole(np_sum(sides[0]))
    spacing = gradient_lattice(multiplier, clip).spacing
    points, kept = clipped_points([samples, whole], clip, spacing)
    limit = (Fraction(clip) / Fraction(spacing)) ** 2
    everyone = [0] * (sides[0].shape[2] * sides[1].shape[2] + sides[0].shape[2])
    for record in range(len(sides[0])):
        sound = all(bool(np.isfinite(side[record]).all()) for side in sides)
        assert sound or not kept[record]
        if kept[record]:
            own = exact_points(points, record)
            assert sum(k * k for k in own) <= limit
            everyone = [one + k for one, k in zip(everyone, own, strict=True)]
    totals = [part.kept(kept).total(clip / spacing).ravel().tolist() for part in points]
    assert totals[0] + totals[1] == everyone


@pytest.mark.parametrize("grown", ["backprops", "activations", "rows"])
def test_a_record_whose_integers_are_too_long_counts_as_zero(
    grown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rounding that added a thousandth to a factor would pass the clip: the check in integers, not
    the scale, decides, and the neighbour in the batch still counts."""
    cls = Whole if grown == "rows" else Factored
    real = cls.on_lattice

    def longer(self: Any, *arguments: Any) -> Any:
        points = real(self, *arguments)
        getattr(points, grown)[0] *= 1.001
        getattr(points, grown)[0].round_()
        return points

    rng = np.random.default_rng(5)
    sides = [rng.standard_normal((2, 3, 6)).astype(np.float32) * 100 for _ in range(2)]
    samples = [factored((sides[0], sides[1])), Whole(50.0 * np_sum(sides[0]))]
    samples = samples[1:] if grown == "rows" else samples[:1]
    spacing = gradient_lattice(1.0, 1.0).spacing
    assert clipped_points(samples, 1.0, spacing)[1].tolist() == [True, True]
    monkeypatch.setattr(cls, "on_lattice", longer)
    points, kept = clipped_points(samples, 1.0, spacing)
    assert kept.tolist() == [False, True]
    total = points[0].kept(kept).total(1.0 / spacing)
    assert total.ravel().tolist() == exact_points(points, 1)
    assert total.any()
    assert torch.equal(integers(samples[0]), total)


@pytest.mark.parametrize("multiplier", [2.0**-30, 1.0, 5000.0])
def test_sums_of_products_of_integers_are_exact_however_many_records(multiplier: float) -> None:
    """Guarantee of dpfedsyn.dpsgd.gradients.Factored.total: So many records at once that no partial
    sum of any entry leaves +-2^53: 50,001 equal records, as long as the clip lets them be, add up
    to 50,001 times one, whose sums float64 would round."""
    spacing = gradient_lattice(multiplier, 1.0).spacing
    g, a = torch.full((1, 2, 1), 1e6 + 1.0), torch.full((1, 2, 3), 0.7)
    g[0, 1], a[0, 1] = 3.0, 123.456
    many = Factored(g.repeat(50_001, 1, 1), a.repeat(50_001, 1, 1))
    points, kept = clipped_points([many], 1.0, spacing)
    assert kept.all()
    one = exact_points(points, 0)
    total = points[0].kept(kept).total(1.0 / spacing)
    assert total.ravel().tolist() == [50_001 * k for k in one]
    at_once = points[0].parts[0].flatten(0, 1).T @ points[0].parts[1].flatten(0, 1)
    assert multiplier > 1.0 or float(at_once.abs().max()) > 2.0**53


def test_whole_gradients_are_truncated_toward_zero_and_never_away() -> None:
    """2.9 spacings are 2, -2.9 are -2: no entry, hence no norm, grows."""
    rows = torch.tensor([[2.9, -2.9, 0.4, -0.4, 3.0]], dtype=torch.float64)
    one = torch.ones(1, dtype=torch.float64)
    points = Whole(rows).on_lattice(one, 1.0, 100.0)
    assert points.rows.tolist() == [[2.0, -2.0, 0.0, 0.0, 3.0]]


@given(factors(ODD), st.sampled_from([1e-3, 1.0, 50.0]))
def test_no_record_in_factors_adds_more_than_the_declared_norm(
    sides: tuple[Floats, Floats], clip: float
) -> None:
    """Each record's clipped gradient moves the sum over the batch by clip at most, in integers, and
    by nothing where it holds NaN; its scale keeps to clip (1 + 1e-6) by itself."""
    samples, whole = factored(sides), Whole(torch.from_numpy(sides[0]).double().sum(dim=1))
    scale, finite = clip_scales([samples, whole], clip)
    spacing = gradient_lattice(1.0, clip).spacing
    everyone = summed([samples, whole], clip, spacing)
    for record in range(len(scale)):
        others = [np.delete(side, record, axis=0) for side in sides]
        left = [factored((others[0], others[1])), Whole(np_sum(others[0]))]
        moved = [a - b for a, b in zip(everyone, summed(left, clip, spacing), strict=True)]
        square = Fraction(sum(k * k for k in moved))
        assert square * Fraction(spacing) ** 2 <= Fraction(clip) ** 2
        sound = all(bool(np.isfinite(side[record]).all()) for side in sides)
        assert bool(finite[record]) == sound
        if sound:
            exact = exact_square(*(side[record] for side in sides))
            bias = [math.fsum(column) for column in sides[0][record].T.tolist()]
            exact += sum(Fraction(value) ** 2 for value in bias)
            assert Fraction(float(scale[record])) ** 2 * exact <= Fraction(clip * DECLARED) ** 2
        else:
            assert square == 0


def summed(samples: list[Factored | Whole], clip: float, spacing: float) -> list[int]:
    """All entries of a batch's clipped sums, in lattice points."""
    points, kept = clipped_points(samples, clip, spacing)
    return [int(k) for part in points for k in part.kept(kept).total(clip / spacing).ravel()]


def np_sum(backprops: Floats) -> Tensor:
    return torch.from_numpy(backprops).double().sum(dim=1)


def test_draws_that_cancel_are_clipped_by_what_their_rounding_could_hide() -> None:
    """Two opposite draws of norm 1e20 cancel but for 1e11, far below float64's last digit of the
    Gram sum: its plain root may be 0 there, which would let 1e11 through a clip of 1."""
    rng = np.random.default_rng(3)
    g, a = rng.standard_normal((1, 1, 40)) * 1e10, rng.standard_normal((1, 1, 30)) * 1e10
    sides = np.concatenate([g, -g * (1 + 1e-7)], axis=1), np.concatenate([a, a], axis=1)
    floats = sides[0].astype(np.float32), sides[1].astype(np.float32)
    scale, _ = clip_scales([factored(floats)], 1.0)
    norm = math.sqrt(exact_square(floats[0][0], floats[1][0]))
    assert norm > 1e11
    assert float(scale[0]) * norm <= DECLARED
    assert float(scale[0]) * float(lengths(floats)[0]) <= 1.001 / CANCELLATION


def layers(seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(7, 6), nn.SiLU(), nn.Linear(6, 5))


def losses(network: nn.Module, x: Tensor) -> Tensor:
    result: Tensor = network(x.clone().requires_grad_(True)).square().mean(dim=(1, 2))
    return result


@pytest.mark.parametrize("count", [1, 5])
def test_hooks_give_each_records_own_gradient(count: int) -> None:
    """Guarantee of dpfedsyn.dpsgd.hooks.RecordGradients: After one backward pass through the summed
    losses the gradients are autograd's, one record at a time, its 3 draws inside."""
    network, x = layers(1), torch.randn(count, 3, 7, generator=torch.Generator().manual_seed(2))
    module = RecordGradients(network)
    losses(module, x).sum().backward()
    samples = [parameter.grad_sample for parameter in network.parameters()]
    module.remove_hooks()
    for record in range(count):
        alone = losses(network, x[record : record + 1]).sum()
        own = torch.autograd.grad(alone, list(network.parameters()))
        for gradient, sample in zip(own, samples, strict=True):
            found = formed(sample)[record].float()
            torch.testing.assert_close(found, gradient, rtol=1e-5, atol=1e-7)


def formed(sample: Factored | Whole) -> Tensor:
    """Every record's gradient (B, ...), formed."""
    if isinstance(sample, Whole):
        return sample.rows.double()
    return torch.einsum("bmi,bmj->bij", *(part.double() for part in sample.parts))


def test_a_backward_pass_sums_no_gradient_and_changes_none() -> None:
    """`RecordGradients.backward` leaves every parameter's own gradient empty, and its per-record
    gradients are those of a whole backward pass, bit for bit; without a forward pass it refuses."""
    x, found = torch.randn(4, 3, 7, generator=torch.Generator().manual_seed(2)), []
    for whole in (True, False):
        network = layers(1)
        module = RecordGradients(network)
        if whole:
            losses(module, x).sum().backward()
        else:
            module.backward(losses(module, x))
            assert all(parameter.grad is None for parameter in network.parameters())
            with pytest.raises(AssertionError, match="forward pass"):
                module.backward(torch.ones(4))
        found.append([formed(parameter.grad_sample) for parameter in network.parameters()])
        module.remove_hooks()
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("cached", [1, 40, 2**40])
def test_pieces_of_a_batch_change_no_bit(cached: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clipped sums are exact, so that a record at a time and all at once give equal integers, a
    record without numbers among them; a batch without records adds nothing."""
    monkeypatch.setattr(optimizer, "CACHED", cached)
    sides = noisy_factors(7, (6, 3, 5, 4), 3.0)
    sides[0][2, 1, 1] = math.nan
    empty = sides[0][:0], sides[1][:0]
    totals = [integers(factored(some)) for some in (sides, empty)]
    monkeypatch.setattr(optimizer, "CACHED", 2**20)
    assert torch.equal(totals[0], integers(factored(sides)))
    assert bool(totals[0].any())
    assert not totals[1].any()


def integers(sample: Factored | Whole) -> Tensor:
    """The clipped sum of a batch, as the optimizer takes it, in lattice points."""
    parameter: Any = nn.Parameter(torch.zeros(1))
    private = PublicRateOptimizer(
        torch.optim.SGD([parameter], lr=1.0),
        noise_multiplier=1.0, clip=1.0, expected_batch_size=1.0,
    )  # fmt: skip
    parameter.grad_sample = sample
    private.clip_and_accumulate()
    total: Tensor = parameter.summed_grad
    return total


def test_a_second_backward_pass_before_a_step_is_refused() -> None:
    """Its gradients would overwrite those of records that were charged for; the layer is named."""
    network = layers(1)
    module = RecordGradients(network)
    losses(module, torch.ones(2, 3, 7)).sum().backward()
    with pytest.raises(ModelError, match=r"^2 \(Linear\): it is used twice in a pass"):
        losses(module, torch.ones(2, 3, 7)).sum().backward()


@pytest.mark.parametrize(
    "layer", [nn.LayerNorm(4), nn.Conv2d(4, 4, 1, groups=2), nn.Conv2d(4, 4, 3, padding="same")]
)
def test_a_layer_whose_gradients_are_not_known_is_refused(layer: nn.Module) -> None:
    """Rather than guessed: what it shares among records could not be clipped."""
    with pytest.raises(ModelError, match="nothing was trained"):
        RecordGradients(layer)


def test_a_layer_is_given_the_rows_of_records() -> None:
    """Of 5 records 12 rows are nobody's."""
    network = nn.Sequential(nn.Flatten(0, 1), nn.Linear(7, 6))
    module = RecordGradients(network)
    x = torch.ones(4, 3, 7, requires_grad=True)
    found = module(x)
    module.records = 5
    with pytest.raises(ModelError, match=r"^1 \(Linear\): it is given 12 rows where .* 5 records"):
        found.sum().backward()


def test_what_needs_no_gradient_gets_none() -> None:
    """Half of a layer may be held fixed."""
    network = layers(1)
    network[0].weight.requires_grad_(False)
    module, x = RecordGradients(network), torch.randn(2, 3, 7)
    module.backward(losses(module, x))
    assert not hasattr(network[0].weight, "grad_sample")
    assert formed(network[0].bias.grad_sample).shape == (2, 6)


def stepped(pieces: list[Tensor], noise: float) -> list[Tensor]:
    """Sums of clipped gradients over a batch that is cut into pieces, with the divisor applied."""
    network = layers(1)
    module = RecordGradients(network)
    optimizer = PublicRateOptimizer(
        torch.optim.SGD(network.parameters(), lr=1.0),
        noise_multiplier=noise, clip=0.05, expected_batch_size=7.0,
    )  # fmt: skip
    optimizer.use(Keystream(b"p" * 32))
    for place, piece in enumerate(pieces):
        optimizer.zero_grad(set_to_none=True)
        losses(module, piece).sum().backward()
        optimizer.signal_skip_step(place < len(pieces) - 1)
        optimizer.step()
    parameters: list[Any] = list(network.parameters())
    return [parameter.grad for parameter in parameters]


@pytest.mark.parametrize("noise", [1e-6, 5.0])
def test_a_batch_in_pieces_is_one_step_with_one_noise_and_one_divisor(noise: float) -> None:
    """Cut into 1, 2 or 5 pieces, the same records give the same noisy mean."""
    x = torch.randn(5, 3, 7, generator=torch.Generator().manual_seed(4))
    whole = stepped([x], noise)
    for cut in ([x[:2], x[2:]], list(x.split(1))):
        for one, other in zip(whole, stepped(cut, noise), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)
