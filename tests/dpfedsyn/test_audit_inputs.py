"""What an audit can read, call and print again, and how it refuses the rest."""

import functools
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import torch

from accountants import Composed, Gaussian, Repeated, Unbounded
from dpfedsyn.audit import GDP, Verdict, audit, audit_scores, program
from dpfedsyn.audit.features import frame
from dpfedsyn.audit.reading import flattened
from dpfedsyn.errors import AuditError

BASE = np.zeros((2, 1))
PAIR = (BASE, np.vstack([BASE, [[1.0]]]))
HUGE = np.array([1e308, -1e308, 1e300, -1e-300, np.inf, -np.inf, np.nan, 0.0])


def noise(data, rng):
    """Nothing of the data."""
    return rng.standard_normal()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([{"a": 1}], [{"a": 1}, {"a": 2}]),
        (pd.DataFrame({"a": ["x"]}), pd.DataFrame({"a": ["x", "y"]})),
        (torch.zeros(2, 3), torch.zeros(3, 3)),
        (torch.zeros(2, 3, dtype=torch.bfloat16), torch.zeros(3, 3, dtype=torch.bfloat16)),
        ((np.zeros((9, 900)), np.zeros(9)), (np.zeros((10, 900)), np.zeros(10))),
        ((torch.zeros(2, 3), np.zeros(2)), (torch.zeros(3, 3), np.zeros(3))),
        (np.zeros((2, 1), np.int64), np.zeros((3, 1), np.float32)),
        ([torch.zeros(2000)], [torch.zeros(2000), torch.ones(2000)]),
        ([[0.0], [-0.0]], np.zeros((3, 1))),
        (np.zeros((0, 2)), np.zeros((1, 2))),
        ([], [1.0]),
        ([2**60], [2**60, 2**60 + 1]),
        ([10**400], [10**400, 1]),
        (np.array(["a"]), np.array(["a", "long"])),
    ],
)
def test_neighbours_may_be_of_any_kind(first, second):
    """They are one record apart in one order and the other, and not neighbours of themselves."""
    for pair in ((first, second), (second, first)):
        assert audit(noise, pair, claim=GDP(1.0), max_calls=41).calls == 41
        with pytest.raises(AuditError, match="no neighbours"):
            audit(noise, pair, claim=GDP(1.0), adjacency="replace")
    with pytest.raises(AuditError, match="same rows"):
        audit(noise, (second, second), claim=GDP(1.0))


def test_rows_that_look_alike_when_printed_are_told_apart():
    """Long arrays are printed with dots; what the dots stand for counts."""
    long = np.zeros(5000)
    other = long.copy()
    other[2500] = 1.0
    for kind in (np.asarray, torch.from_numpy):
        pair = [kind(long), kind(long)], [kind(long), kind(other)]
        assert audit(noise, pair, claim=GDP(1.0), adjacency="replace", max_calls=41)


def test_zeroed_rows_are_seen_in_lists_too():
    """A record of zeros stands for the one that is left out."""
    pair = ([{"a": 1.0, "b": 0}], [{"a": 0, "b": 0.0}])
    with pytest.raises(AuditError, match="no neighbours"):
        audit(noise, pair, claim=GDP(1.0), adjacency="zero-out")  # words (keys) are no zeros
    assert audit(noise, ([[1.0, 2]], [[0, 0.0]]), claim=GDP(1.0), adjacency="zero-out", max_calls=9)


@pytest.mark.parametrize(
    "output",
    [
        np.float64(1.0),
        np.array(2.0),
        3,
        True,
        1 + 2j,
        np.array([1j, np.nan]),
        HUGE,
        10**400,
        -(10**400),
        np.array([1, 2.5, None], dtype=object),
        np.array(["a", 2.5], dtype=object),
        "word",
        b"word",
        ["one", "two"],
        [1, "two", b"3"],
        {"b": 1, "a": [2.0, (3, 4)]},
        pd.DataFrame({"a": [1.0], "b": ["x"]}),
        pd.Series(["x", "y"]),
        torch.zeros(3, requires_grad=True),
        torch.ones(3, dtype=torch.bfloat16),
        torch.eye(3).to_sparse(),
        torch.tensor([1j]),
    ],
    ids=lambda output: f"{type(output).__name__}",
)
def test_outputs_may_be_of_any_kind(output):
    """All become one row of numbers, the same each time; beside noise they are no evidence."""
    (row, shape), (again, other) = (flattened(output, calls=None) for _ in range(2))
    assert row.ndim == 1
    assert row.size > 0
    assert np.array_equal(row, again, equal_nan=True)
    assert shape == other
    found = audit(lambda _, rng: (output, rng.normal()), PAIR, claim=GDP(1.0), max_calls=120)
    assert found.verdict is Verdict.INCONCLUSIVE


def test_words_differ_wherever_they_differ():
    """Long words with the same beginning are two words; equal ones are one."""
    values = [flattened(word, calls=None)[0][0] for word in ("patient 1", "patient 2", "patient 1")]
    assert values[0] == values[2] != values[1]
    named = lambda data, rng: "patient 1" if len(data) > 2 else "patient 2"  # noqa: E731
    assert audit(named, PAIR, claim=GDP(1.0)).verdict is Verdict.VIOLATION


@pytest.mark.parametrize("width", [3, 60])
def test_huge_numbers_are_looked_at_without_overflow(width):
    """Numbers up to the largest, infinities and NaN, and what hides among them."""

    def choose(data, n, rng):
        outputs = rng.choice(HUGE, size=(n, width))
        outputs[:, 0] = data.sum() + 0.2 * rng.standard_normal(n)
        return outputs

    assert audit(choose, PAIR, claim=GDP(1.0), seed=1).verdict is Verdict.VIOLATION
    same = lambda data, n, rng: choose(BASE, n, rng)  # noqa: E731
    sound = audit(same, PAIR, claim=GDP(1.0), max_calls=1000, seed=1)
    assert sound.verdict is not Verdict.VIOLATION


def test_nothing_returned_is_nothing_tested():
    """None, an empty array and an empty list are no release."""
    for mechanism in (
        lambda data, rng: None,
        lambda data, n, rng: None,
        lambda data, rng: np.zeros(0),
        lambda data, n, rng: np.zeros((n, 0)),
    ):
        with pytest.raises(AuditError, match="returned nothing on 40 calls"):
            audit(mechanism, PAIR, claim=GDP(1.0))
    leaks = lambda data, rng: None if len(data) > 2 else 1.0  # noqa: E731
    assert audit(leaks, PAIR, claim=GDP(1.0)).verdict is Verdict.VIOLATION


def test_a_mechanism_that_raises_always_is_not_called_for_long():
    """One block is enough to see it, where the error is always the same."""
    calls = []

    def broken(data, rng):
        calls.append(1)
        raise ValueError("mend me")

    with pytest.raises(AuditError, match="every one of 40 calls: ValueError: mend me"):
        audit(broken, PAIR, claim=GDP(1.0))
    assert len(calls) == 40

    def tells(data, rng):
        raise ValueError(f"{len(data)} records")

    assert audit(tells, PAIR, claim=GDP(1.0)).verdict is Verdict.VIOLATION


def test_errors_that_all_differ_cost_no_time():
    """A message with a number in it: few outcomes are looked at, and few are shown."""

    def fails(data, rng):
        if rng.random() < (0.9 if len(data) > 2 else 0.1):
            raise ValueError(f"at {rng.random()}")
        return 0.0

    found = audit(fails, PAIR, claim=GDP(1.0), max_calls=1500, early=False)
    assert found.verdict is Verdict.VIOLATION
    assert len(found.outcomes) > 500
    assert len(str(found)) < 1000
    assert f"{len(found.outcomes) - 5} more" in str(found)
    kept = frame(found.witness._caller.draw(BASE, 300, np.random.default_rng(1)), np.zeros(300))
    assert len(kept.outcomes) <= 8


@dataclass(frozen=True)
class Noisy:
    """A mechanism with settings."""

    std: float

    def __call__(self, data, rng):
        return float(np.sum(data)) + self.std * rng.standard_normal()

    def method(self, data, n, rng):
        """Vectorised."""
        return np.sum(data) + self.std * rng.standard_normal(n)


def test_mechanisms_may_be_any_callable():
    """Objects, methods, partial functions, defaults."""
    for mechanism in (
        Noisy(1.0),
        Noisy(1.0).method,
        functools.partial(lambda data, n, rng, std: std * rng.standard_normal(n), std=1.0),
        lambda data, rng, std=1.0: std * rng.standard_normal(),
    ):
        found = audit(mechanism, PAIR, claim=GDP(1.0), max_calls=100)
        assert found.verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seed": -1}, "seed = -1"),
        ({"seed": None}, "seed = None"),
        ({"adjacency": "add"}, "Pass one of add-or-remove"),
        ({"unit": "row"}, "Pass one of record"),
        ({"claim": [1]}, "no claim"),
        ({"claim": "x"}, "no claim"),
        ({"claim": Composed((Gaussian(1.0), Unbounded("x")))}, "allows everything"),
        ({"max_calls": 1.5}, "max_calls"),
        ({"alpha": float("nan")}, "alpha"),
        ({"score": lambda x: x.sum()}, "one number for each row"),
        ({"score": lambda x: np.hstack([x, x])}, "one number for each row"),
        ({"mechanism": lambda data, rng: {1, 2}}, "no numbers"),
        ({"mechanism": lambda data, rng: iter([1.0])}, "no numbers"),
        ({"mechanism": np.add}, "raised on every one"),
        ({"mechanism": lambda *a: 0.0}, "takes 0 positional"),
        ({"neighbours": (iter([1.0]), [1.0])}, "read once"),
    ],
)
def test_what_cannot_be_audited_is_refused(changes, words):
    """With what to pass instead, never with a traceback of the auditor's own."""
    asked = {"mechanism": noise, "neighbours": PAIR, "claim": GDP(1.0), "max_calls": 100, **changes}
    with pytest.raises(AuditError, match=words):
        audit(**asked)


def test_questions_out_of_range_are_refused():
    """Of a delta and a level."""
    found = audit(noise, PAIR, claim=GDP(1.0), max_calls=np.int64(100), seed=np.int64(3))
    for ask in (found.epsilon_lower, found.auditable_epsilon, found.reached):
        with pytest.raises(AuditError, match=r"in \(0, 1\)"):
            ask(1.0)
    with pytest.raises(AuditError, match="something else than numbers"):
        audit_scores(["a"], ["b"], claim=GDP(1.0))
    assert audit_scores(torch.zeros(9), torch.zeros(9), claim=GDP(1.0)).calls <= 17


@pytest.mark.parametrize("calls", [1, 2, 3, 40, 41])
def test_very_few_calls_are_inconclusive(calls):
    """Fewer than a rule needs, or only just as many."""
    found = audit(noise, PAIR, claim=GDP(1.0), max_calls=calls)
    assert (found.calls, found.verdict) == (calls, Verdict.INCONCLUSIVE)
    assert audit_scores([0.0], [1.0], claim=GDP(1.0)).calls == 1


@pytest.mark.parametrize("claim", [GDP(9e5), Repeated(Gaussian(0.08), 1), GDP(np.float32(0.5))])
def test_claims_whose_half_noise_allows_everything_are_inconclusive(claim):
    """Not an error after all the calls were made; and a claim may be any real number."""
    found = audit(noise, PAIR, claim=claim, max_calls=100)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "finds half the noise" in str(found) or found.needed_calls is not None
    assert found.epsilon_lower(1e-5) >= 0.0


@pytest.mark.parametrize("size", [1e-200, 1e-3, 1e9, 1e140])
def test_a_given_score_may_have_any_scale(size):
    """Its slope and offset are learnt."""
    half = lambda data, n, rng: data.sum() + 0.5 * rng.standard_normal((n, 1))  # noqa: E731
    found = audit(half, PAIR, claim=GDP(1.0), score=lambda x: size * x[:, 0], seed=2)
    assert found.verdict is Verdict.VIOLATION
    assert found.calls < 600


MODULE = """
from dataclasses import dataclass
import numpy as np

def total(data, rng, std=0.2):
    if isinstance(data, tuple):
        data = data[1]
    if isinstance(data, list):
        data = [row["a"] for row in data]
    if hasattr(data, "to_numpy"):
        data = [len(data)]
    numbers = np.nan_to_num(np.asarray(data, dtype=float), nan=4.0, posinf=9.0)
    return numbers.sum() + std * rng.standard_normal()

@dataclass(frozen=True)
class Total:
    std: float

    def __call__(self, data, rng):
        return total(data, rng, self.std)
"""
TENSORS = (torch.zeros(2, 1), torch.tensor([[0.0], [0.0], [float("nan")]]))
FRAMES = (
    pd.DataFrame({"a": ["x"], "b": [np.nan]}),
    pd.DataFrame({"a": ["x", "nan, inf"], "b": [np.nan, 2.0]}),
)


@pytest.mark.parametrize(
    ("make", "pair", "options"),
    [
        (lambda m: m.total, (BASE, np.vstack([BASE, [[np.nan]]])), {}),
        (lambda m: m.total, (BASE, np.vstack([BASE, [[np.inf]]])), {}),
        (lambda m: m.total, FRAMES, {}),
        (lambda m: m.total, TENSORS, {}),
        (lambda m: m.total, ([{"a": 1}], [{"a": 1}, {"a": float("inf")}]), {}),
        (lambda m: m.total, ((BASE, np.zeros(2)), (np.zeros((3, 1)), np.array([0, 0, 1.0]))), {}),
        (lambda m: functools.partial(m.total, std=0.3), PAIR, {}),
        (lambda m: m.Total(0.3), PAIR, {}),
        (lambda m: m.total, (BASE, np.vstack([BASE, [[1.0], [2.0]]])), {"unit": "person"}),
        (lambda m: functools.partial(m.total, std=1.0), PAIR, {"low_bits": True}),
    ],
    ids=[
        "nan",
        "inf",
        "frame",
        "tensor",
        "dicts",
        "columns",
        "partial",
        "object",
        "person",
        "bits",
    ],
)
def test_programs_run(make, pair, options, tmp_path, monkeypatch):
    """What can be imported is audited again, with its data and options, to the same verdict."""
    (tmp_path / "audited.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "audited", raising=False)
    import audited

    found = audit(make(audited), pair, claim=GDP(1.0), **options)
    assert found.verdict is Verdict.VIOLATION
    script = tmp_path / "again.py"
    script.write_text(found.witness.code())
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    assert f"{found.calls} calls" in done.stdout


def test_programs_say_what_has_to_be_put_in():
    """Closures, methods, scores and data of one's own; the rest of the program compiles."""
    own = Noisy(0.2)
    for mechanism in (own.method, lambda data, rng: own(data, rng)):
        code = audit(mechanism, PAIR, claim=GDP(1.0), score=lambda x: x[:, 0]).witness.code()
        compile(code, "again", "exec")
        assert "put it here" in code
        assert "put_here('the score')" in code
    assert program.literal((object(), "nan")) == "(put_here('object'), 'nan', )"
    many = np.arange(2_000_000.0)
    assert "..." not in program.literal(many)
