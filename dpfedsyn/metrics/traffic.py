"""What a silo sends in a run, beside what federated averaging of the same network would send."""

from collections.abc import Sequence
from dataclasses import dataclass

from dpfedsyn.errors import DataError

NUMBER = 4
"""Bytes of one float32, the type of a network's parameters."""


@dataclass(frozen=True)
class Traffic:
    """Payload that one silo sends: arrays only, without headers and transport.

    Args:
        rounds: in which the silo was asked. rows: that it answered for, over all rounds.
        answers: bytes of all answers.
        upload: bytes of one upload of the network's parameters, as one round of federated averaging
            (McMahan et al. 2017) sends it.
        ratio: answers / upload: as many averaging rounds would cost the same; None where there is
            no network.
    """

    rounds: int
    rows: int
    answers: int
    upload: int
    ratio: float | None


def traffic(rows_asked: Sequence[int], payloads: Sequence[int], *, parameters: int) -> Traffic:
    """Count what a silo sends in one pass.

    Args:
        rows_asked: samples that the silo was asked about, per round; 0: it was not asked.
        payloads: bytes of the arrays in its answer, per round.
        parameters: of the network, dim(theta).

    Raises:
        DataError: a negative number of rows, bytes or parameters.
    """
    if parameters < 0 or any(count < 0 for count in (*rows_asked, *payloads)):
        raise DataError(
            f"{parameters} parameters and at least {min((*rows_asked, *payloads), default=0)} rows "
            "or bytes a round are no traffic; give none that is negative"
        )
    answers, upload = sum(payloads), NUMBER * parameters
    return Traffic(
        rounds=sum(asked > 0 for asked in rows_asked),
        rows=sum(rows_asked),
        answers=answers,
        upload=upload,
        ratio=answers / upload if upload else None,
    )
