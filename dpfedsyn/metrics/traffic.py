"""What a silo sends in a run, beside what federated averaging of the same network would send."""

from collections.abc import Sequence
from dataclasses import dataclass

from dpfedsyn.errors import DataError

NUMBER = 4
"""Bytes of one float32, the only type in an answer."""


@dataclass(frozen=True)
class Traffic:
    """Payload that one silo sends: arrays only, without headers and transport.

    Args:
        rounds: in which the silo was asked. rows: that it answered for, over all rounds.
        answers: bytes of all answers.
        upload: bytes of one upload of the network's parameters, as one round of federated averaging
            (McMahan et al. 2017) sends it.
        ratio: answers / upload: as many averaging rounds would cost the same.
    """

    rounds: int
    rows: int
    answers: int
    upload: int
    ratio: float


def traffic(
    rows_asked: Sequence[int], dimension: int, *, energies: bool, parameters: int
) -> Traffic:
    """Count what a silo sends in one pass.

    Args:
        rows_asked: samples that the silo was asked about, per round; 0: it was not asked.
        dimension: d, numbers in one sample's answer.
        energies: whether each sample's answer carries its energy, one number more.
        parameters: of the network, dim(theta).

    Raises:
        DataError: a negative number of rows, or a dimension or network without numbers.
    """
    if dimension < 1 or parameters < 1 or any(rows < 0 for rows in rows_asked):
        raise DataError(
            f"dimension {dimension}, {parameters} parameters and at least "
            f"{min(rows_asked, default=0)} rows a round are no traffic; give a dimension and "
            "parameters of at least 1, and rows of at least 0"
        )
    rows = sum(rows_asked)
    answers = NUMBER * rows * (dimension + energies)
    upload = NUMBER * parameters
    return Traffic(
        rounds=sum(asked > 0 for asked in rows_asked),
        rows=rows,
        answers=answers,
        upload=upload,
        ratio=answers / upload,
    )
