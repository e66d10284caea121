"""`Silo.answer`: one Gaussian mechanism per query, charged before it is released, answered once."""

import contextlib
import math
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from accountants.ledger import Header, Ledger
from dpfedsyn import messages, privatise
from dpfedsyn.errors import (
    BudgetExhausted,
    DPError,
    LedgerError,
    ProtocolMismatch,
    ReplyPruned,
)
from dpfedsyn.keys import SiloKey
from dpfedsyn.lattice import Lattice
from dpfedsyn.messages import PrivateAnswer, ScoreQuery
from dpfedsyn.noise import Keystream
from dpfedsyn.privatise import AnswerMechanism
from dpfedsyn.silo import Public, Silo
from tests.dpfedsyn.test_privatise import is_noise

Array = NDArray[np.float64]

KEY = SiloKey(b"s" * 32)
ONE = AnswerMechanism(clip=6.0, energy_bound=18.0)


class Constant:
    """A model that predicts one number everywhere, and counts how often it is asked."""

    def __init__(self, value: float) -> None:
        self.value, self.calls = value, 0

    def predict_noise(self, x: Array, signal: float, labels: NDArray[np.int64]) -> Array:
        self.calls += 1
        return np.full_like(x, self.value)


@contextlib.contextmanager
def silo(
    folder: Path,
    *models: Any,
    key: SiloKey = KEY,
    mechanism: AnswerMechanism = ONE,
    cap: float = 1e9,
    record_cap: float | None = None,
    moved: int | None = None,
    keep: int = 3,
    draws_cap: int | None = None,
) -> Iterator[Silo]:
    """A silo over the ledger in this folder: a new one, or the one that is there."""
    path = folder / "ledger.sqlite"
    header = Header(
        key.ledger_id, "north", "run", "record", "add-or-remove", 1e-5, (), cap, record_cap, keep,
        "1", draws_cap,
    )  # fmt: skip
    create = not path.exists()
    ledger = (
        Ledger.create(path, header, key=key.chain) if create else Ledger.open(path, key=key.chain)
    )
    with ledger:
        public = Public("north", "run", 2, 3, mechanism, moved, b"schema/1")
        yield Silo(public, models or (Constant(0.0),), ledger, key)


def query(**changes: Any) -> ScoreQuery:
    """Five rows at t = 100 in round 1, scores and energies, std 2 and 3."""
    x = np.arange(10, dtype=np.float32).reshape(5, 2) / 10
    asked = ScoreQuery("run", 1, 100, x, np.array([0, 1, 2, 1, 0]), 2.0, 3.0)
    return replace(asked, **changes)


def same(first: PrivateAnswer, second: PrivateAnswer) -> bool:
    """Whether two answers are the same bytes."""
    return messages.encode_answer(first) == messages.encode_answer(second)


def test_an_answer_is_charged_at_its_two_point_cost_and_kept_with_its_bytes(
    tmp_path: Path,
) -> None:
    """Guarantee of dpfedsyn.silo.Silo.answer: Nothing about the records reaches the caller but the
    returned answer, and that is one Gaussian mechanism whose cost `AnswerMechanism.silo_mu2`
    states; its charge and its bytes are in the ledger."""
    with silo(tmp_path) as one:
        answer = one.answer(query())
        (charge,) = one.ledger.charges()
        assert charge.mu2 == ONE.silo_mu2(5, 2.0, 3.0) == one.ledger.totals().answers_mu2
        assert charge.event.mu**2 == pytest.approx(charge.mu2, rel=1e-12)  # type: ignore[union-attr]
        assert (charge.kind, charge.group, charge.round) == ("answer", "B", 1)
        assert charge.reply == messages.encode_answer(answer)
        assert (answer.clip, answer.energy_bound) == (6.0, 18.0)
        assert (answer.score_std, answer.energy_std) == (2.0, 3.0)


def test_the_row_is_on_disk_before_the_answer_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When `commit` refuses, nothing is returned, nothing is charged, and the next try is whole."""
    with silo(tmp_path) as one:
        with monkeypatch.context() as broken:

            def refuse(ticket: object, reply: object) -> None:
                raise LedgerError("the disk is full; nothing may be released. Free space.")

            broken.setattr(one.ledger, "commit", refuse)
            with pytest.raises(LedgerError, match="disk is full"):
                one.answer(query())
        assert one.ledger.charges() == []
        one.answer(query())
        assert len(one.ledger.charges()) == 1


def test_a_repeated_query_gets_the_same_bytes_for_one_charge(tmp_path: Path) -> None:
    """The model is not asked again: a forward pass that is not bit-stable would show through."""
    model = Constant(1.0)
    with silo(tmp_path, model) as one:
        first = one.answer(query())
        again = [one.answer(query()) for _ in range(3)]
        assert all(same(first, other) for other in again)
        assert again[0].points.dtype == first.points.dtype
        assert len(one.ledger.charges()) == model.calls == 1


def test_a_reopened_ledger_redelivers_even_in_front_of_another_model(tmp_path: Path) -> None:
    """The bytes come from the disk; the same noise on another mean would reveal the difference."""
    with silo(tmp_path, Constant(1.0)) as one:
        first = one.answer(query())
    other = Constant(-5.0)
    with silo(tmp_path, other) as one:
        assert same(one.answer(query()), first)
        assert other.calls == 0
        assert len(one.ledger.charges()) == 1


def one_change(base: ScoreQuery) -> st.SearchStrategy[ScoreQuery]:
    """The query with one field changed by as little as its type allows."""
    bits = st.integers(0, base.x.size * 32 - 1)

    def flipped(bit: int) -> ScoreQuery:
        words = base.x.copy().view(np.uint32).reshape(-1)
        words[bit // 32] ^= np.uint32(1 << (bit % 32))
        return replace(base, x=words.view(np.float32).reshape(base.x.shape))

    def relabelled(row: int) -> ScoreQuery:
        labels = base.labels.copy()
        labels[row] = (labels[row] + 1) % 3
        return replace(base, labels=labels)

    up = math.nextafter
    return st.one_of(
        bits.map(flipped).filter(lambda changed: bool(np.isfinite(changed.x).all())),
        st.integers(0, 4).map(relabelled),
        st.sampled_from([{"round_number": 2}, {"t": 101}, {"energy_std": None},
                         {"score_std": up(2.0, 3.0)}, {"energy_std": up(3.0, 2.0)}]).map(
            lambda change: replace(base, **change)),
        st.just(replace(base, x=base.x[:4].copy(), labels=base.labels[:4].copy())),
    )  # fmt: skip


@given(st.lists(one_change(query()), min_size=1, max_size=3))
def test_other_content_is_another_charge_with_noise_of_its_own(
    changed: list[ScoreQuery],
) -> None:
    """Guarantee of dpfedsyn.messages.digest: Equal digests mean equal content, bit for bit; so no
    noise is ever used for two different answers, however small the difference."""
    with tempfile.TemporaryDirectory() as folder, silo(Path(folder)) as one:
        answers: dict[tuple[Any, ...], PrivateAnswer] = {}
        for asked in [query(), *changed]:
            content = (asked.round_number, asked.t, asked.x.tobytes(), asked.labels.tobytes(),
                       asked.score_std, asked.energy_std)  # fmt: skip
            answers[content] = one.answer(asked)
        charges = one.ledger.charges()
        assert len(charges) == len(answers) == len({charge.digest for charge in charges})
        noises = [answer.points.tobytes() for answer in answers.values()]
        assert len(set(noises)) == len(noises)


def test_the_digest_binds_ledger_model_schema_and_mechanism() -> None:
    """A query means another charge under another ledger, model, schema or bound."""
    base = [b"ledger", b"nonce", b"schema", b"mechanism"]
    digests = {messages.digest(query(), *base)}
    for place in range(4):
        digests.add(messages.digest(query(), *base[:place], b"other", *base[place + 1 :]))
    digests.add(messages.digest(query(), b"ledgernonce", b"schema", b"mechanism"))
    assert len(digests) == 6
    assert messages.digest(query(), *base) in digests


def test_the_digest_depends_on_the_mechanism_and_the_key_of_the_silo(tmp_path: Path) -> None:
    """Two silos that differ in a bound or in their secret never share digest or noise."""
    variants = {
        "a": {},
        "b": {"mechanism": replace(ONE, clip=6.5)},
        "c": {"key": SiloKey(b"t" * 32)},
    }
    digests, firsts = set(), set()
    for name, change in variants.items():
        (tmp_path / name).mkdir()
        with silo(tmp_path / name, **change) as one:  # type: ignore[arg-type]
            firsts.add(float(one.answer(query()).noise[0, 0]))
            digests.add(one.ledger.charges()[0].digest)
    assert len(digests) == len(firsts) == 3


def test_no_keystream_is_opened_twice_for_different_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over rounds, failed commits and other content at the same row, every key is a new one."""
    seen: list[bytes] = []

    class Watched(Keystream):
        def __init__(self, key: bytes) -> None:
            seen.append(key)
            super().__init__(key)

    monkeypatch.setattr(privatise, "Keystream", Watched)
    with silo(tmp_path) as one:
        for number in range(1, 4):
            one.answer(query(round_number=number))
            with monkeypatch.context() as broken:
                broken.setattr(one.ledger, "commit", _fail)
                with pytest.raises(LedgerError):
                    one.answer(query(round_number=number, t=7))
        assert len(set(seen)) == len(seen) == 6


def _fail(ticket: object, reply: object) -> None:
    raise LedgerError("no disk; nothing may be released. Mend it.")


def test_noise_is_independent_across_rounds_and_silos(tmp_path: Path) -> None:
    """Equal questions in two rounds, and to two silos, are answered with uncorrelated noise.

    20,000 rows; |r| < 6 / sqrt(n): false alarm 1e-8. The std is tested at 2e-9 and rejects .97.
    """
    many = query(x=np.zeros((20_000, 2), np.float32), labels=np.zeros(20_000, np.int64))
    answers = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        with silo(tmp_path / name, key=SiloKey(name.encode() * 32)) as one:
            answers += [one.answer(replace(many, round_number=number)) for number in (1, 2)]
    noises = [answer.noise[:, k] for answer in answers for k in (0, 1)]
    noises += [answer.energies for answer in answers if answer.energies is not None]
    assert len(noises) == 12
    correlations = np.corrcoef(noises) - np.eye(12)
    assert np.abs(correlations).max() < 6.0 / math.sqrt(20_000)
    assert is_noise(answers[0].noise, 2.0)
    assert not is_noise(answers[0].noise, 1.94)


def test_a_pruned_reply_is_refused_not_computed_again(tmp_path: Path) -> None:
    """Older than the kept rounds: refused at no cost, with the mend."""
    model = Constant(0.0)
    with silo(tmp_path, model, keep=2) as one:
        for number in (1, 2, 3):
            one.answer(query(round_number=number))
        with pytest.raises(ReplyPruned, match="older than the 2 rounds that are kept"):
            one.answer(query())
        assert len(one.ledger.charges()) == model.calls == 3


def test_over_the_cap_nothing_is_computed_charged_or_released(tmp_path: Path) -> None:
    """The filter speaks before the model; what was answered before is still redelivered."""
    cost, model = ONE.silo_mu2(5, 2.0, 3.0), Constant(0.0)
    with silo(tmp_path, model, cap=2.5 * cost) as one:
        first = one.answer(query())
        one.answer(query(round_number=2))
        for _ in range(2):
            with pytest.raises(BudgetExhausted, match=r"^north: .*Nothing was charged"):
                one.answer(query(round_number=3))
        assert model.calls == len(one.ledger.charges()) == 2
        assert one.ledger.totals().answers_mu2 <= 2.5 * cost
        assert same(one.answer(query()), first)


@given(
    st.lists(st.tuples(st.floats(0.5, 50), st.one_of(st.none(), st.floats(0.5, 50))), max_size=8),
    st.floats(1.0, 1e4),
)
def test_the_sum_of_all_costs_never_exceeds_the_cap(
    noises: list[tuple[float, float | None]], cap: float
) -> None:
    """Guarantee of dpfedsyn.silo.Silo.answer: the sum of all costs never exceeds the ledger's cap,
    whatever the queries are, and what the server sees is what the noise of its queries costs."""
    with tempfile.TemporaryDirectory() as folder, silo(Path(folder), cap=cap) as one:
        paid = 0.0
        for number, (score_std, energy_std) in enumerate(noises):
            with contextlib.suppress(BudgetExhausted):
                answer = one.answer(
                    query(round_number=number, score_std=score_std, energy_std=energy_std)
                )
                paid += ONE.silo_mu2(5, answer.score_std, answer.energy_std)
        assert paid <= cap * (1.0 + 1e-12)
        assert one.ledger.totals().answers_mu2 == pytest.approx(paid, rel=1e-12)


def test_an_ensemble_pays_at_both_levels_and_either_cap_refuses(tmp_path: Path) -> None:
    """The record-level cap holds where the two-point cap would still allow an answer."""
    mechanism = replace(ONE, parts=4)
    whole = mechanism.silo_mu2(5, 2.0, 3.0)
    models = [Constant(0.0) for _ in range(4)]
    caps = {"cap": 9.0 * whole, "record_cap": whole / 16.0 * 2.0, "moved": 1}
    with silo(tmp_path, *models, mechanism=mechanism, **caps) as one:  # type: ignore[arg-type]
        one.answer(query())
        one.answer(query(round_number=2))
        with pytest.raises(BudgetExhausted):
            one.answer(query(round_number=3))
        assert [charge.record_mu2 for charge in one.ledger.charges()] == [whole / 16.0] * 2


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_model_that_predicts_no_numbers_answers_like_a_model_of_zeros(
    tmp_path: Path, value: float
) -> None:
    """No exception, no warning, and not one number that shows that the model is broken.

    Scores equal those of zeros under the same noise; the energies of both lie in [0, B].
    """
    answers = []
    for name, model in (("broken", Constant(value)), ("zeros", Constant(0.0))):
        (tmp_path / name).mkdir()
        with silo(tmp_path / name, model) as one:
            answers.append(one.answer(query(energy_std=0.01)))
    assert np.array_equal(answers[0].points, answers[1].points)
    for answer in answers:
        assert answer.energies is not None
        assert np.isfinite(answer.energies).all()
        assert (np.abs(answer.energies - 9.0) < 9.0 + 0.1).all()


@given(arrays(np.float64, (5, 2), elements=st.floats()))
def test_whatever_a_model_predicts_the_silo_answers(predictions: Array) -> None:
    """Refusals, errors and warnings never depend on predictions, hence never on records."""

    class Given:
        def predict_noise(self, x: Array, signal: float, labels: NDArray[np.int64]) -> Array:
            return predictions

    with tempfile.TemporaryDirectory() as folder, silo(Path(folder), Given()) as one:
        answer = one.answer(query())
        assert np.isfinite(answer.noise).all()
        assert np.linalg.norm(answer.noise, axis=1).max() < 6.0 + 2.0 * 12.0


def test_the_model_sees_the_question_as_it_was_asked(tmp_path: Path) -> None:
    """Samples, the level's abar_t and the labels reach the model unchanged, in float64."""
    seen: list[Any] = []

    class Watching(Constant):
        def predict_noise(self, x: Array, signal: float, labels: NDArray[np.int64]) -> Array:
            seen.extend([x, signal, labels])
            return super().predict_noise(x, signal, labels)

    with silo(tmp_path, Watching(0.0)) as one:
        one.answer(query())
    assert np.array_equal(seen[0], query().x.astype(np.float64))
    betas = np.linspace(1e-4, 0.02, 1000)[:101]
    assert seen[1] == pytest.approx(float(np.prod(1.0 - betas)), rel=1e-12)
    assert np.array_equal(seen[2], query().labels)


BAD_NOISE = st.one_of(
    st.sampled_from([0.0, -1.0, math.nan, math.inf, -math.inf, 1e300, 1e-300, 1e-160, 1e45, "1",
                     1 + 2j, np.float32("nan"), [1.0]]),
    st.floats(max_value=0.0),
)  # fmt: skip
BAD: dict[str, st.SearchStrategy[Any]] = {
    "run": st.one_of(st.text().filter(lambda name: name != "run"), st.none(), st.integers()),
    "round_number": st.sampled_from([-1, 2**63, 10**30, 1.5, math.nan, "1", None, 1j]),
    "t": st.sampled_from([-1, 1000, 2**70, 0.5, math.nan, math.inf, "3", None, 1j]),
    "x": st.one_of(
        arrays(np.float64, (5, 2)),
        st.just(np.zeros((20_001, 2), np.float32)),
        arrays(np.float32, st.sampled_from([(), (5,), (5, 3), (4, 2), (5, 2, 1), (0, 2)])),
        st.sampled_from([math.nan, math.inf]).map(
            lambda bad: np.array([[0, bad]] * 5, dtype=np.float32)
        ),
        st.sampled_from([[[0.0, 0.0]] * 5, None, "x", np.zeros((5, 2), ">f4")]),
    ),
    "labels": st.one_of(
        st.sampled_from([-1, 3, 2**40]).map(lambda bad: np.array([0, 0, 0, 0, bad])),
        arrays(np.int32, (5,)),
        st.sampled_from([np.zeros(()), np.zeros((5, 1), np.int64), np.zeros(6, np.int64), None,
                         [0] * 5]),
    ),
    "score_std": st.one_of(BAD_NOISE, st.none()),
    "energy_std": BAD_NOISE,
}  # fmt: skip


def refused(one: Silo, bad: ScoreQuery) -> str:
    """The refusal's words; nothing was charged and no model was asked."""
    with pytest.raises(DPError) as caught:
        one.answer(bad)
    assert one.ledger.charges() == []
    assert isinstance(caught.value, ProtocolMismatch)
    return str(caught.value)


@pytest.mark.parametrize("field", BAD)
@given(data=st.data())
def test_what_is_no_query_is_refused_by_public_settings_alone(
    field: str, data: st.DataObject
) -> None:
    """`ProtocolMismatch`, uncharged, and word for word the same from a silo of other records."""
    bad = query(**{field: data.draw(BAD[field])})
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        models = Constant(1.0), Constant(math.nan)
        with silo(Path(first), models[0]) as one, silo(Path(second), models[1]) as other:
            words = refused(one, bad)
            assert words == refused(other, bad)
        assert models[0].calls == models[1].calls == 0
    assert words.startswith("north: ")


def test_no_query_can_make_the_ledger_unreadable(tmp_path: Path) -> None:
    """A server that sends odd numbers in odd places leaves a ledger that opens again."""
    odd: list[dict[str, Any]] = [
        {"round_number": 1.5}, {"round_number": True}, {"t": 2.0}, {"t": True}, {"score_std": 2},
        {"score_std": np.float64(2.0)}, {"round_number": 2**62}, {"energy_std": True},
    ]  # fmt: skip
    with silo(tmp_path) as one:
        for change in odd:
            with contextlib.suppress(Exception):
                one.answer(query(**change))
        rows = len(one.ledger.charges())
    with silo(tmp_path) as one:
        assert len(one.ledger.charges()) == rows
        one.answer(query(t=5))


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: data + b"\0",
        lambda data: b"",
        lambda data: data.replace(b"dpfedsyn-answer/3", b"dpfedsyn-answer/2"),
        lambda data: data.replace(b"<i2", b"<f2"),
        lambda data: data.replace(b"clip", b"clap"),
        lambda data: data[: data.index(b"points")],
    ],
)
def test_bytes_that_are_no_answer_are_refused(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    """A cut, longer or edited message ends as `ProtocolMismatch`, never as half an answer."""
    with silo(tmp_path) as one:
        whole = messages.encode_answer(one.answer(query()))
    assert same(messages.decode_answer(whole), messages.decode_answer(whole))
    with pytest.raises(ProtocolMismatch):
        messages.decode_answer(damage(whole))


class Broken:
    """A model whose own error speaks of a record, or whose answer has another shape."""

    def __init__(self, shape: tuple[int, int] | None) -> None:
        self.shape = shape

    def predict_noise(self, x: Array, signal: float, labels: NDArray[np.int64]) -> Array:
        if self.shape is None:
            raise ValueError("record 17 has value 3")
        return np.zeros(self.shape)


@pytest.mark.parametrize("shape", [None, (1, 2), (5, 3)])
def test_a_model_that_fails_answers_like_a_model_that_knows_nothing(
    shape: tuple[int, int] | None, tmp_path: Path
) -> None:
    """Neither the error nor that there was one is seen outside: same noise, same charge."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with silo(tmp_path / "a", Broken(shape)) as failing:
        seen = failing.answer(query())
        charged = failing.ledger.totals()
    with silo(tmp_path / "b", Constant(math.nan)) as knowing_nothing:
        expected = knowing_nothing.answer(query())
        assert knowing_nothing.ledger.totals() == charged
    assert same(seen, expected)


def test_the_draws_of_noise_are_capped_by_the_ledger_and_repeats_are_free(tmp_path: Path) -> None:
    """Guarantee of dpfedsyn.draws.draws: No run draws more: a ledger refuses what would draw beyond
    its cap, also after it was opened again, however cheap it is; what was answered is redelivered.
    """
    quiet, model = {"score_std": 1e9, "energy_std": 1e9}, Constant(0.0)
    one_query = len(query().x) * (2 + 1)
    for number in (1, 2):
        with silo(tmp_path, model, draws_cap=2 * one_query + 2) as one:
            one.answer(query(round_number=number, **quiet))
    with silo(tmp_path, model) as one:
        assert one.ledger.totals().draws == 2 * one_query
        with pytest.raises(BudgetExhausted, match=r"^north: .*draws"):
            one.answer(query(round_number=3, **quiet))
        assert model.calls == len(one.ledger.charges()) == 2
        one.answer(query(round_number=1, **quiet))


@pytest.mark.parametrize("parts", [1, 3])
def test_the_wire_carries_integers_their_spacing_and_the_noise_that_was_drawn(
    tmp_path: Path, parts: int
) -> None:
    """Points are whole and their spacing is a 1024th of the sum's noise, over the parts; the server
    gets predictions and energies by multiplying alone, and noise of at least what it asked for."""
    models = [Constant(1.0) for _ in range(parts)]
    std, energy_std = 0.1 + 2**-30, 0.3
    with silo(tmp_path, *models, mechanism=replace(ONE, parts=parts)) as one:
        answer = one.answer(query(score_std=std, energy_std=energy_std))
    assert answer.points.dtype == np.dtype("<i2")
    assert answer.energy_points is not None
    assert answer.energy_spacing is not None
    assert answer.energy_std is not None
    assert std <= answer.score_std <= std * (1 + 1e-15)
    assert energy_std <= answer.energy_std <= energy_std * (1 + 1e-15)
    assert answer.spacing == pytest.approx(answer.score_std / 1024, rel=1e-15)
    assert answer.energy_spacing == pytest.approx(answer.energy_std / 1024, rel=1e-15)
    assert np.array_equal(answer.noise, answer.points * answer.spacing)
    assert np.array_equal(
        np.asarray(answer.energies), answer.energy_points * answer.energy_spacing + 9
    )
    assert np.abs(answer.noise - 1.0).max() < 13 * std
    assert np.abs(np.asarray(answer.energies) - 1.0).max() < 13 * energy_std


def test_noise_that_vanishes_beside_the_bounds_is_refused(tmp_path: Path) -> None:
    """Its lattice would not fit 64 bits; the refusal speaks of public settings alone."""
    with silo(tmp_path, mechanism=AnswerMechanism(6e6, 18e6)) as one:
        words = refused(one, query(score_std=1e-9))
        assert "too fine for integers" in words
        assert "too fine for integers" in refused(one, query(energy_std=1e-9))


def test_the_digest_binds_the_lattice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same query on another lattice is another charge with other noise."""
    digests, real = [], AnswerMechanism.lattice

    def finer(self: AnswerMechanism, score_std: float, energy_std: float | None) -> Any:
        lattice = real(self, score_std, energy_std)
        return replace(lattice, scores=Lattice(score_std / 3072, 3, score_std))

    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        with silo(tmp_path / name) as one:
            one.answer(query(score_std=3.0))
            digests.append(one.ledger.charges()[0].digest)
        monkeypatch.setattr(AnswerMechanism, "lattice", finer)
    assert digests[0] != digests[1]
