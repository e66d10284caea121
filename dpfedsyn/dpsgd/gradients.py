"""Per-record gradients, whole or as products of factors, with proven norms and exact sums.

A linear layer's gradient of one record is sum_m g_m a_m^T over the record's M draws. Its norm is
known from two M by M Gram matrices and the sum over records is one matrix product, so it is never
formed: ghost clipping (Li et al. 2022, section 4) with book-keeping (Bu et al. 2023). All values
come from a float32 backward pass, so that float64 holds them, the products of four of them and the
sums of those without over- or underflow.

`on_lattice` turns gradients into whole numbers of a spacing. Factors become whole numbers each, so
that a record's gradient is one of integers although it is never formed, and float64 holds their
products and sums exactly: whatever the order in which a matrix product adds, the sum is the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

CANCELLATION = 1.0 / 32.0
REACH = 2.0**6  # of a bound: what partial sums of one record's products may come to; see `total`
EXACT = 2.0**53  # up to here float64 holds every integer


@dataclass(frozen=True, eq=False)
class Whole:
    """Gradients as they are: rows (B, *shape)."""

    rows: Tensor

    @property
    def parts(self) -> list[Tensor]:
        """The tensors that make up the gradients."""
        return [self.rows]

    def double(self) -> Whole:
        """Return a copy of the gradients in float64."""
        return Whole(self.rows.to(torch.float64, copy=True))

    def kept(self, records: Tensor) -> Whole:
        """Return the gradients with zeros in place of records that are not kept (B,)."""
        return Whole(_kept(self.rows, records))

    def of(self, records: slice) -> Whole:
        """Return the gradients of some records."""
        return Whole(self.rows[records])

    def squares(self) -> Tensor:
        """Return the squared norms (B,); not finite where a float64 number is not."""
        rows = self._flat()
        squares: Tensor = torch.linalg.vecdot(rows, rows)
        return squares

    def on_lattice(self, scale: Tensor, spacing: float, bound: float) -> Whole:
        """Turn this into scale_b gradient_b in whole numbers of the spacing, and return it.

        Truncated toward zero, in place: a second copy would take longer than the arithmetic.
        """
        self.rows.mul_((scale / spacing).reshape(-1, *([1] * (self.rows.dim() - 1)))).trunc_()
        return self

    def total(self, bound: float) -> Tensor:
        """Return the exact sum over the records of gradients on a lattice, in int64.

        Args:
            bound: of a record's norm, in spacings. So many records at once that float64 is exact.
        """
        total = torch.zeros(self.rows.shape[1:], dtype=torch.int64, device=self.rows.device)
        for piece in self.rows.split(math.floor(EXACT / bound)):
            total += piece.sum(dim=0).long()
        return total

    def _flat(self) -> Tensor:
        # An empty batch has no row from which -1 could be inferred.
        return self.rows.reshape(len(self.rows), math.prod(self.rows.shape[1:]))


@dataclass(frozen=True, eq=False)
class Factored:
    """Gradients sum_m g_bm a_bm^T: backprops g (B, M, out) and activations a (B, M, in).

    Guarantee:
        `squares` is below a record's exact squared norm by at most 1e-6 of it (for out + in + M^2
        up to 8e6), and never below (S / 32)^2, with S = sum_m |g_m| |a_m|: draws that cancel hide
        nothing, neither from the norm nor in the rounding of the sum.
    """

    backprops: Tensor
    activations: Tensor

    @property
    def parts(self) -> list[Tensor]:
        """The tensors that make up the gradients."""
        return [self.backprops, self.activations]

    def double(self) -> Factored:
        """Return a copy of the gradients in float64."""
        return Factored(*(part.to(torch.float64, copy=True) for part in self.parts))

    def kept(self, records: Tensor) -> Factored:
        """Return the factors with zeros in place of records that are not kept (B,)."""
        return Factored(_kept(self.backprops, records), _kept(self.activations, records))

    def of(self, records: slice) -> Factored:
        """Return the gradients of some records."""
        return Factored(self.backprops[records], self.activations[records])

    def squares(self) -> Tensor:
        """Return bounds (B,) on the squared norms; not finite where a float64 number is not.

        Each factor's own squares are on a diagonal, and neither infinity nor NaN times anything is
        finite.

        With u = 2^-53 and gamma_k = k u / (1 - k u) (Higham 2002, section 3.1), an entry of the
        first Gram matrix is off by at most gamma_out |g_m| |g_m'|, one of the second by gamma_in
        |a_m| |a_m'|, hence the sum of their M^2 products by gamma_(out + in + M^2) S^2. Where the
        draws do not cancel to a 32nd of S that is 1024 gamma of the square itself; where they do,
        (S / 32)^2 stands for it. (M independent directions cancel to S / sqrt(M) only.)
        """
        left, right = (torch.bmm(side, side.mT) for side in self.parts)
        diagonals = left.diagonal(dim1=1, dim2=2) * right.diagonal(dim1=1, dim2=2)
        lengths = diagonals.sqrt().sum(dim=1).square()
        return torch.maximum((left * right).sum(dim=(1, 2)), CANCELLATION**2 * lengths)

    def on_lattice(self, scale: Tensor, spacing: float, bound: float) -> Factored:
        """Turn this into factors in whole numbers, and return it; products are those of spacings.

        An activation row is rounded to a power of two of its own, its backprop row to the spacing
        over that power, so that either keeps about half of the bits between spacing and bound.

        Args:
            bound: of a record's norm, in spacings.
        """
        bits = activation_bits(bound)
        low, high = torch.aminmax(self.activations, dim=2, keepdim=True)
        largest = torch.maximum(high, -low)
        exponent = torch.frexp(largest).exponent
        one = torch.ones_like(largest)
        # Powers of two and their reciprocals are exact, so that either may stand for a division.
        unit, per_unit = torch.ldexp(one, exponent - bits), torch.ldexp(one, bits - exponent)
        factor = unit * (scale / spacing)[:, None, None]
        self.backprops.mul_(factor).round_()
        self.activations.mul_(per_unit).round_()
        return self

    def total(self, bound: float) -> Tensor:
        """Return the exact sum over the records of gradients on a lattice, in int64.

        Args:
            bound: of a record's norm, in spacings; every record has squares <= bound^2.

        Guarantee:
            So many records at once that no partial sum of any entry leaves +-2^53: float64
            products of integers are then exact in any order, with fused multiplication or without.
            For squares >= (S / 32)^2, and S bounds every partial sum of one record.
        """
        # The product is faster with the longer rows on its right.
        turned = self.backprops.shape[2] > self.activations.shape[2]
        first, second = reversed(self.parts) if turned else self.parts
        shape = (first.shape[2], second.shape[2])
        total = torch.zeros(shape, dtype=torch.int64, device=first.device)
        size = math.floor(EXACT / (REACH * bound))
        for one, other in zip(first.split(size), second.split(size), strict=True):
            total += (one.flatten(0, 1).T @ other.flatten(0, 1)).long()
        return total.T if turned else total


def activation_bits(bound: float) -> int:
    """Return how many bits an activation keeps, given the bound of a record's norm in spacings.

    A backprop keeps the rest: rounding both to nearest changes a norm by about 2^-bits of it.
    """
    return math.floor(math.log2(bound)) // 2 - 3


def _kept(values: Tensor, records: Tensor) -> Tensor:
    if bool(records.all()):
        return values
    return torch.where(records.reshape(-1, *([1] * (values.dim() - 1))), values, 0.0)


Gradients = Whole | Factored


def gradients_of(sample: Tensor | Gradients) -> Gradients:
    """Return what a parameter's `grad_sample` holds; a tensor (B, *shape) has a record a row."""
    return Whole(sample) if isinstance(sample, Tensor) else sample
