"""Random malformed queries and bytes: no crash, no charge, and no data in any reply."""

import math
import random
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dpfedsyn import messages
from dpfedsyn.errors import ProtocolMismatch
from dpfedsyn.messages import PrivateAnswer, ScoreQuery
from tests.dpfedsyn.test_silo import Constant, query, silo

FEW, MANY = 2_000, 100_000
TIMES = [FEW, pytest.param(MANY, marks=pytest.mark.slow)]


class Deceitful:
    """Says that it is equal to everything, has every attribute, and fails when it is used."""

    def __eq__(self, _: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        raise RuntimeError("a record said so")

    def __len__(self) -> int:
        return -1


ODD: list[Any] = [
    None, True, False, -1, 2**31, 2**63, -(2**70), 10**5000, 0.5, -0.0, math.nan, math.inf,
    -math.inf, 5e-324, 1e308, 1j, "", "run\0", "\ud800", "1", "x" * 10**5, b"run", (), [], {},
    [1.0], {"t": 1}, object, np.int64(3), np.float64(math.nan), np.float32(2.0), np.array(2.0),
    Deceitful(), np.zeros(0, np.float32), np.zeros((5, 2)), np.zeros((5, 2), np.float32).T,
    np.zeros((5, 2), ">f4"), np.full((5, 2), np.nan, np.float32), np.zeros((0, 2), np.float32),
    np.full((5, 2), np.inf, np.float32), np.zeros((5, 2, 1), np.float32), np.zeros(5, np.int32),
    np.zeros((5, 2), np.complex64), np.zeros((5, 2), dtype=object), np.array(["x"] * 5),
    np.full(5, -1), np.full(5, 3), np.full(5, 2**62), np.zeros(6, np.int64), np.zeros(5, bool),
    np.zeros((5, 1), np.int64), np.array([[None] * 2] * 5), np.ma.masked_all(5),
]  # fmt: skip


def malformed(draw: random.Random) -> ScoreQuery:
    """A query with one to all of its fields replaced by something odd, the first one surely bad."""
    names = [field.name for field in fields(ScoreQuery)]
    changed = draw.sample(names, draw.randint(1, len(names)))
    values = {name: draw.choice(ODD) for name in changed}
    bad = {
        "run": lambda: draw.choice(ODD[:35]),
        "round_number": lambda: draw.choice([-draw.randint(1, 2**70), 2**31, 1.5, None, "1"]),
        "t": lambda: draw.choice([1000 + draw.randint(0, 2**65), -draw.randint(1, 9), 2.0, "t"]),
        "x": lambda: draw.choice([*ODD[:20], np.full((5, 2), np.nan, np.float32)]),
        "labels": lambda: draw.choice([np.full(5, 3 + draw.randint(0, 2**40)), None, [0] * 5]),
        "score_std": lambda: draw.choice([0.0, -draw.random(), math.nan, math.inf, None, "2"]),
        "energy_std": lambda: draw.choice([0.0, -draw.random(), math.nan, 1e13, "2", ()]),
    }
    values[changed[0]] = bad[changed[0]]()
    return query(**values)


@pytest.mark.parametrize("times", TIMES)
def test_malformed_queries_are_refused_uncharged_and_in_words_without_data(
    times: int, tmp_path: Path
) -> None:
    """Every one ends as `ProtocolMismatch`, word for word the same from silos of other records."""
    draw = random.Random(5)
    models = Constant(1.0), Constant(math.nan)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    with silo(tmp_path / "a", models[0]) as one, silo(tmp_path / "b", models[1]) as other:
        for _ in range(times):
            asked = malformed(draw)
            words = []
            for each in (one, other):
                with pytest.raises(ProtocolMismatch) as refused:
                    each.answer(asked)
                words.append(str(refused.value))
            assert words[0] == words[1]
        assert one.ledger.charges() == other.ledger.charges() == []
        assert models[0].calls == models[1].calls == 0
        assert isinstance(one.answer(query()), PrivateAnswer)  # and it still answers


def mutated(data: bytes, draw: random.Random, others: list[bytes]) -> bytes:
    """A message with bytes changed, cut, doubled, exchanged, or lengths and numbers overwritten."""
    edited = bytearray(data)
    for _ in range(draw.randint(1, 4)):
        place = draw.randrange(len(edited) + 1)
        match draw.randrange(8):
            case 0:
                edited[place : place + 1] = bytes([draw.randrange(256)])
            case 1:
                del edited[place : place + draw.randint(1, 40)]
            case 2:
                edited[place:place] = draw.randbytes(draw.randint(1, 12))
            case 3:
                edited[place:place] = edited[place : place + draw.randint(1, 60)]
            case 4:
                edited[place : place + 8] = draw.getrandbits(64).to_bytes(8, "big")
            case 5:
                other = draw.choice(others)
                edited[place:] = other[draw.randrange(len(other)) :]
            case 6:
                digits = [k for k, byte in enumerate(edited) if 48 <= byte <= 57]
                if digits:
                    edited[draw.choice(digits)] = draw.choice(b"0123456789-.eE")
            case _:
                edited[place : place + 8] = len(edited[place + 8 :]).to_bytes(8, "big")
    return bytes(edited)


@pytest.mark.parametrize("times", TIMES)
def test_malformed_bytes_are_refused_or_an_answer_and_nothing_else(
    times: int, tmp_path: Path
) -> None:
    """The decoder ends in `ProtocolMismatch` or in an answer that encodes and decodes again."""
    draw = random.Random(6)
    with silo(tmp_path) as one:
        whole = [
            messages.encode_answer(one.answer(query(round_number=k, energy_std=energy_std)))
            for k, energy_std in enumerate((3.0, None, 2.5))
        ]
    assert all(messages.encode_answer(messages.decode_answer(w)) == w for w in whole)
    refused = 0
    for _ in range(times):
        data = mutated(draw.choice(whole), draw, whole)
        try:
            answer = messages.decode_answer(data)
        except ProtocolMismatch:
            refused += 1
        else:
            assert isinstance(answer, PrivateAnswer)
    assert refused > times / 2
