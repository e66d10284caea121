"""The server's rounds: functions of the state, resumable byte for byte, and clean at refusals."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dpfedsyn import checkpoint, envelope, messages, schedule, server, service
from dpfedsyn.clipping import clip_rows
from dpfedsyn.engine.asking import Asking
from dpfedsyn.engine.local import LocalTransport
from dpfedsyn.envelope import Answered, Refused, Spent
from dpfedsyn.errors import BudgetExhausted, ProtocolMismatch, SiloUnavailable
from dpfedsyn.messages import PrivateAnswer, ScoreQuery
from dpfedsyn.noise import Keystream
from dpfedsyn.round_settings import ParticipationSettings, SamplerSettings
from dpfedsyn.rounded_gaussian import COARSE
from dpfedsyn.sampler import ChainState
from dpfedsyn.schedule import AnswerNoise
from dpfedsyn.server import Pass, PassResult
from dpfedsyn.weights import TargetMixture

Array = NDArray[np.float64]

NAMES = ("a", "b", "c")
ROWS, D, ROUNDS = 40, 2, 6
CLIP, BOUND = 6.0, 18.0
NONE = 1e-6  # of noise: so little that it shows nowhere, on a lattice all the same
MIXTURE = TargetMixture(
    np.array([[0.6, 0.3], [0.3, 0.3], [0.1, 0.4]]),  # weights per label
    np.array([0.5, 0.5]),
)
DEFAULT = SamplerSettings(
    kernel="ula", energy="released", step="blend", levels=3, steps_per_level=2, step_size=0.3
)
SETTINGS = {
    "default": DEFAULT,
    "paper": replace(DEFAULT, energy="l2", prior="uniform", score_scale=2.0, absorb=False),
    "mix": SamplerSettings(kernel="ancestral", energy="path", step="mix", levels=ROUNDS),
    "anchored": SamplerSettings(kernel="ancestral", energy="path", step="anchored", levels=ROUNDS),
}


def answered(
    name: str, query: ScoreQuery, noise: Array, energies: Array | None, *, bound: float = BOUND
) -> PrivateAnswer:
    """An answer of these predictions and energies, less half their bound, on their lattices."""
    spacing = query.score_std / COARSE
    energy_spacing = None if query.energy_std is None else query.energy_std / COARSE
    return PrivateAnswer(
        silo=name,
        round_number=query.round_number,
        t=query.t,
        points=np.round(noise / spacing).astype(np.int64),
        energy_points=None
        if energies is None or energy_spacing is None
        else np.round(energies / energy_spacing).astype(np.int64),
        clip=CLIP,
        energy_bound=bound,
        spacing=spacing,
        energy_spacing=energy_spacing,
        score_std=query.score_std,
        energy_std=query.energy_std,
    )


@dataclass
class Federation:
    """An engine of three fake silos whose noise is keyed by the query, like a real silo's."""

    refuse_at: int = 10**9  # b's budget ends before this round
    mute: str = ""  # this silo does not answer
    energy: Mapping[str, float] = field(default_factory=dict)  # added to a silo's energies
    change: Callable[[PrivateAnswer], PrivateAnswer] = lambda answer: answer
    seen: list[tuple[str, ScoreQuery]] = field(default_factory=list)

    def members(self) -> tuple[str, ...]:
        return NAMES

    def ask(self, queries: Mapping[str, ScoreQuery]) -> dict[str, PrivateAnswer]:
        return {k: self.answer(k, query) for k, query in queries.items() if k != self.mute}

    def why(self) -> Mapping[str, str]:
        return {self.mute: "it is mute"}

    def answer(self, name: str, query: ScoreQuery) -> PrivateAnswer:
        self.seen.append((name, query))
        if name == "b" and query.round_number >= self.refuse_at:
            raise BudgetExhausted("b: the cap is reached")
        exact = clip_rows(query.x.astype(np.float64) - 0.5 * NAMES.index(name), CLIP)
        stream = Keystream(messages.digest(query, name.encode()))
        noise = exact + query.score_std * stream.normal(exact.shape)
        energies = None
        if query.energy_std is not None:
            f = 0.5 * (exact**2).sum(axis=1) + self.energy.get(name, 0.0)
            energies = f - 9.0 + query.energy_std * stream.normal(f.shape)
        answer = answered(name, query, noise, energies)
        return self.change(answer)


def plan(
    settings: SamplerSettings, *, score_std: float = 0.3, energy_std: float = 0.2, first: int = 10
) -> Pass:
    """A pass of six rounds after ten of another pass; its noise can always be absorbed."""
    kernels = schedule.kernels(settings)
    released = energy_std if settings.energy == "released" else None
    stds = [score_std * min(1.0, kernel.tolerance or 0.1) for kernel in kernels]
    noise = tuple(AnswerNoise(std, released) for std in stds)
    return Pass("p", "run", first, settings, kernels, dict.fromkeys(NAMES, noise), CLIP, BOUND)


def begin(settings: SamplerSettings, first: int = 10) -> ChainState:
    return server.begin(settings, MIXTURE, first_round=first, rows=ROWS, dimension=D)


def take(
    settings: SamplerSettings, engine: server.Engine, folder: Path, **noise: float
) -> PassResult:
    """Run a pass, from the checkpoint in the folder if there is one."""
    state = begin(settings)
    return server.run_pass(
        plan(settings, **noise), engine, MIXTURE, state=state, saved=folder / "state.safetensors"
    )


def same(a: ChainState, b: ChainState) -> bool:
    """Equal bit for bit."""
    pairs = [(getattr(a, f.name), getattr(b, f.name)) for f in fields(ChainState)]
    return all(np.asarray(x).tobytes() == np.asarray(y).tobytes() for x, y in pairs)


class KilledError(Exception):
    """The process ends here."""


def killed_after(rounds: int) -> Callable[[int, object], None]:
    """Return an `on_round` that ends the process with so many rounds saved, and the next taken."""

    def after(number: int, info: object) -> None:
        if number == rounds + 1:
            raise KilledError

    return after


# --- begin ---------------------------------------------------------------------------------------


def test_begin_is_a_function_of_the_public_seed_and_the_pass() -> None:
    """Equal again; another seed or another pass draws other samples."""
    for settings in SETTINGS.values():
        assert same(begin(settings), begin(settings))
        assert not np.array_equal(begin(settings).x, begin(replace(settings, seed=2)).x)
        assert not np.array_equal(begin(settings).x, begin(settings, first=0).x)


def test_begin_gives_labels_and_anchored_silos_their_shares() -> None:
    """40 rows: 20 of each label, and of these 12, 6 and 2 (or 6, 6 and 8) to the silos."""
    state = begin(SETTINGS["anchored"])
    counts = [
        [int(((state.labels == y) & (state.silo == k)).sum()) for k in range(3)] for y in (0, 1)
    ]
    assert counts == [[12, 6, 2], [6, 6, 8]]
    assert (state.round_number, state.x.shape, state.x.dtype) == (0, (ROWS, D), np.float32)


def test_rounds_have_randomness_of_their_own() -> None:
    """No two of 2 seeds x 2 passes x 20 rounds begin alike; the same one does."""
    draws = {
        server.randomness(seed, first, number).random()
        for seed in (1, 2)
        for first in (0, 100)
        for number in range(20)
    }
    assert len(draws) == 80
    assert server.randomness(1, 0, 3).random() == server.randomness(1, 0, 3).random()


# --- resuming ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("rounds", [1, 2, 5])
def test_resumed_pass_ends_byte_for_byte_like_an_uninterrupted_one(
    name: str, rounds: int, tmp_path: Path
) -> None:
    """Killed after k saved rounds: the next, not saved yet, is asked again, bit for bit."""
    settings, straight, broken = SETTINGS[name], Federation(), Federation()
    whole = take(settings, straight, tmp_path / "whole")
    state, saved = begin(settings), tmp_path / "broken" / "state.safetensors"
    with pytest.raises(KilledError):
        server.run_pass(
            plan(settings), broken, MIXTURE, state=state, saved=saved, on_round=killed_after(rounds)
        )
    resumed = take(settings, broken, tmp_path / "broken")
    assert same(resumed.state, whole.state)
    assert resumed.samples.tobytes() == whole.samples.tobytes()
    asked = digests(broken)
    assert list(dict.fromkeys(asked)) == digests(straight)
    again = len(asked) - len(set(asked))
    assert 0 < again <= len(straight.members())


def digests(engine: Federation) -> list[tuple[str, bytes]]:
    return [(name, messages.digest(query)) for name, query in engine.seen]


@pytest.mark.parametrize("name", SETTINGS)
def test_round_that_was_not_saved_is_asked_again_bit_for_bit(name: str, tmp_path: Path) -> None:
    """The process dies between a round's answers and its checkpoint: equal queries, equal state."""
    settings, engine = SETTINGS[name], Federation()
    with pytest.raises(KilledError):
        server.run_pass(
            plan(settings),
            engine,
            MIXTURE,
            state=begin(settings),
            saved=tmp_path / "state.safetensors",
            on_round=killed_after(2),
        )
    (tmp_path / "kept.safetensors").write_bytes((tmp_path / "state.safetensors").read_bytes())
    before = len(engine.seen)
    first = take(settings, engine, tmp_path)
    (tmp_path / "kept.safetensors").replace(tmp_path / "state.safetensors")
    middle = len(engine.seen)
    second = take(settings, engine, tmp_path)
    assert same(first.state, second.state)
    asked = digests(engine)
    assert asked[before:middle] == asked[middle:]
    assert set(asked[middle:]) <= set(asked[:middle])


def test_finished_pass_is_not_asked_again(tmp_path: Path) -> None:
    """Its checkpoint is its result."""
    engine = Federation()
    first = take(DEFAULT, engine, tmp_path)
    asked = len(engine.seen)
    assert same(take(DEFAULT, engine, tmp_path).state, first.state)
    assert len(engine.seen) == asked == 3 * ROUNDS


def test_local_engine_carries_messages_as_they_are(tmp_path: Path) -> None:
    """The samples by the product's engine are those by the fake one; members keep their order."""
    fake = Federation()
    direct = take(DEFAULT, fake, tmp_path / "direct")
    answers = {name: lambda query, name=name: fake.answer(name, query) for name in ("c", "a", "b")}
    with local({name: answers[name] for name in NAMES}) as engine:
        assert engine.members() == NAMES
        carried = take(DEFAULT, engine, tmp_path / "carried")
    assert same(direct.state, carried.state)


def test_local_engine_raises_a_silos_refusal_as_it_is() -> None:
    """Of several, the first member's."""

    def refuse(query: ScoreQuery) -> PrivateAnswer:
        raise BudgetExhausted(f"refused {query.run}")

    queries = {name: replace(one_query(), run=name) for name in NAMES}
    with (
        local(dict.fromkeys(NAMES, refuse)) as engine,
        pytest.raises(BudgetExhausted, match="refused a"),
    ):
        engine.ask(queries)


@contextmanager
def local(
    answers: Mapping[str, Callable[[ScoreQuery], PrivateAnswer]], timeout: float | None = None
) -> Iterator[Asking]:
    """The product's engine in one process, over anything that answers."""

    def nothing() -> Spent:
        return Spent(0.0, None)

    handlers = {name: service.answering(answer, nothing) for name, answer in answers.items()}
    with LocalTransport(handlers) as transport:
        yield Asking(transport, timeout)


def one_query() -> ScoreQuery:
    x = np.zeros((2, D), np.float32)
    return ScoreQuery("run", 1, 5, x, np.zeros(2, dtype=np.int64), 1.0, None)


# --- what is asked -------------------------------------------------------------------------------


def test_queries_show_the_samples_and_count_over_all_passes(tmp_path: Path) -> None:
    """Round numbers 11 ... 16 after a pass of ten; t, noise and labels are the plan's."""
    engine = Federation()
    take(DEFAULT, engine, tmp_path)
    kernels = schedule.kernels(DEFAULT)
    for place, (name, query) in enumerate(engine.seen):
        k = place // 3
        assert (name, query.round_number, query.t) == (NAMES[place % 3], 11 + k, kernels[k].t)
        assert (query.run, query.score_std, query.energy_std) == ("run", 0.3, 0.2)
        assert (query.x.dtype, query.x.shape) == (np.float32, (ROWS, D))
        assert np.array_equal(query.labels, begin(DEFAULT).labels)
    assert np.array_equal(engine.seen[0][1].x, begin(DEFAULT).x)


def test_anchored_pass_asks_each_silo_about_its_own_rows_only(tmp_path: Path) -> None:
    """18, 12 and 10 of the 40 rows, the same in every round; energies are not asked for."""
    engine, settings = Federation(), SETTINGS["anchored"]
    take(settings, engine, tmp_path)
    state = begin(settings)
    for name, query in engine.seen:
        own = state.silo == NAMES.index(name)
        assert query.energy_std is None
        assert np.array_equal(query.labels, state.labels[own])
    assert np.array_equal(engine.seen[1][1].x, state.x[state.silo == 1])
    assert [len(query.x) for _, query in engine.seen[:3]] == [18, 12, 10]
    assert len(engine.seen) == 3 * ROUNDS


def test_silo_without_rows_is_not_asked(tmp_path: Path) -> None:
    """An anchored pass in which one silo abstains for every label."""
    mixture = TargetMixture(np.array([[0.5, 0.5], [0.0, 0.0], [0.5, 0.5]]), np.array([0.5, 0.5]))
    settings, engine = SETTINGS["anchored"], Federation()
    state = server.begin(settings, mixture, first_round=10, rows=ROWS, dimension=D)
    saved = tmp_path / "state.safetensors"
    server.run_pass(plan(settings), engine, mixture, state=state, saved=saved)
    assert {name for name, _ in engine.seen} == {"a", "c"}


# --- refusals and faults --------------------------------------------------------------------------


@pytest.mark.parametrize("name", SETTINGS)
def test_refusal_ends_the_pass_with_the_last_whole_round(name: str, tmp_path: Path) -> None:
    """b refuses its fourth round: the state is that of three, the samples its clean predictions."""
    settings = SETTINGS[name]
    ended = take(settings, Federation(refuse_at=14), tmp_path / "refused")
    with pytest.raises(KilledError):
        server.run_pass(
            plan(settings),
            Federation(),
            MIXTURE,
            state=begin(settings),
            saved=tmp_path / "three.safetensors",
            on_round=killed_after(3),
        )
    saved = checkpoint.load(tmp_path / "three.safetensors") or {}
    assert ended.refusal is not None
    assert ended.refusal.startswith("round 4 of pass ")
    assert ended.refusal.endswith("b: the cap is reached")
    assert ended.state.round_number == 3
    assert ended.state.x.tobytes() == saved["x"].tobytes()
    assert ended.samples.tobytes() == saved["clean"].tobytes()
    assert ended.samples.tobytes() != saved["x"].tobytes()


def test_refusal_in_the_first_round_leaves_the_starting_state(tmp_path: Path) -> None:
    """Nothing was sampled, and the result says so."""
    ended = take(DEFAULT, Federation(refuse_at=0), tmp_path)
    assert ended.state.round_number == 0
    assert ended.refusal is not None
    assert ended.refusal.startswith("round 1 of pass ")
    assert not (tmp_path / "state.safetensors").exists()


def test_missing_answer_names_the_silo_and_keeps_the_samples(tmp_path: Path) -> None:
    """SiloUnavailable says who and in which round; with c back the pass ends as ever."""
    with pytest.raises(
        SiloUnavailable, match=r"^c: no answer in round 1.*\(c: it is mute\).*--resume"
    ):
        take(DEFAULT, Federation(mute="c"), tmp_path / "late")
    late = take(DEFAULT, Federation(), tmp_path / "late")
    assert same(late.state, take(DEFAULT, Federation(), tmp_path / "straight").state)


WRONG: dict[str, dict[str, Any]] = {
    "one row for all": {"points": np.zeros((1, D), np.int16)},
    "one vector": {"points": np.zeros(D, np.int16)},
    "no finite spacing": {"spacing": np.inf},
    "a spacing in words": {"spacing": "1"},
    "a spacing that is finite and takes the samples out of the floats": {"spacing": 1e308},
    "a spacing that is a little wide": {"spacing": 0.3 / COARSE * (1.0 + 1e-6)},
    "a spacing that is a little narrow": {"spacing": 0.3 / COARSE * (1.0 - 1e-6)},
    "another spacing of energies": {"energy_spacing": 0.3 / COARSE},
    "points that no draw reaches": {"points": np.full((ROWS, D), 2**60)},
    "points that no draw reaches, below zero": {"points": np.full((ROWS, D), -(2**63))},
    "energies that no draw reaches": {"energy_points": np.full(ROWS, 2**60)},
    "another silo's name": {"silo": "z"},
    "another clip": {"clip": 7.0},
    "another bound of energies": {"energy_bound": 1e9},
    "no spacing": {"energy_spacing": None},
    "a spacing of nothing": {"energy_spacing": 0.0},
    "no finite bound": {"energy_bound": np.nan},
    "a bound in words": {"clip": "6"},
    "one energy for all": {"energy_points": np.zeros(1, np.int16)},
    "no energies": {"energy_points": None},
    "another round": {"round_number": 99},
    "another level": {"t": 3},
    "another noise": {"score_std": 9.0},
    "less noise": {"score_std": 0.0},
    "noise of no type": {"score_std": None},
    "another noise on energies": {"energy_std": 9.0},
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG.keys())
def test_answer_to_another_question_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    """A reply that does not fit its query is never broadcast, filled up or used as it is: nothing
    of the round is kept, and what is said names the silo that was asked."""

    def of_b(answer: PrivateAnswer) -> PrivateAnswer:
        return replace(answer, **change) if answer.silo == "b" else answer

    with pytest.raises(ProtocolMismatch, match=r"^b: its answer in round 11 does not fit"):
        take(DEFAULT, Federation(change=of_b), tmp_path)
    assert not (tmp_path / "state.safetensors").exists()


def test_an_answer_under_another_silos_name_is_that_of_the_silo_asked(tmp_path: Path) -> None:
    """Nobody can have another blamed, whatever else is wrong with the answer."""

    def posing(answer: PrivateAnswer) -> PrivateAnswer:
        return replace(answer, silo="a", t=3) if answer.silo == "b" else answer

    with pytest.raises(ProtocolMismatch, match=r"^b: .*\(t, silo\)"):
        take(DEFAULT, Federation(change=posing), tmp_path)


def test_why_a_silo_is_missing_is_told_with_the_round(tmp_path: Path) -> None:
    """What the transport or the silo says, cut to a line: `asking` keeps it, the round has it."""
    long = "the disk is full " * 100

    def silent(request: bytes) -> bytes:
        raise SiloUnavailable("nobody listens")

    def refusing(request: bytes) -> bytes:
        return envelope.encode(Refused("fault", f"\x1b[2J{long}"))

    fake = Federation()
    handlers = {
        "a": service.answering(lambda query: fake.answer("a", query), lambda: Spent(0.0, None)),
        "b": silent,
        "c": refusing,
    }
    told: list[server.RoundInfo] = []
    with LocalTransport(handlers) as transport:
        server.run_pass(
            replace(plan(DEFAULT), participation=ParticipationSettings(quorum=0.3)),
            Asking(transport),
            MIXTURE,
            state=begin(DEFAULT),
            saved=tmp_path / "state.safetensors",
            on_round=lambda number, info: told.append(info),
        )
    for info in told:
        assert info.answered == ("a",)
        assert info.missing["b"] == "nobody listens"
        assert info.missing["c"].startswith("fault: \\x1b[2Jthe disk is full")
        assert len(info.missing["c"]) < 300


def test_an_answer_that_cannot_be_read_is_named() -> None:
    """Bytes that are no answer, and arrays that are none: the silo that sent them is told."""
    good = messages.encode_answer(Federation().answer("b", one_query()))
    for data in (b"no", good[:-1]):

        def handler(request: bytes, data: bytes = data) -> bytes:
            return envelope.encode(Answered(data, Spent(0.0, None)))

        with (
            LocalTransport({"b": handler}) as transport,
            pytest.raises(ProtocolMismatch, match=r"^b: .* bytes are not a dpfedsyn-answer"),
        ):
            Asking(transport).ask({"b": one_query()})


def test_noise_that_the_lattice_rounded_up_is_taken_as_drawn(tmp_path: Path) -> None:
    """An answer says how much noise it has; a rounding more than was asked for is no mismatch."""

    def change(answer: PrivateAnswer) -> PrivateAnswer:
        return replace(answer, score_std=answer.score_std * (1.0 + 1e-12))

    take(DEFAULT, Federation(change=change), tmp_path)


# --- every signal is used -------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_silos_released_energies_move_the_samples(name: str, tmp_path: Path) -> None:
    """Default preset: other energies of one silo, other samples; the same for all moves nothing."""
    plain = take(DEFAULT, Federation(), tmp_path / "plain")
    one = take(DEFAULT, Federation(energy={name: 1.0}), tmp_path / "one")
    everybody = Federation(energy=dict.fromkeys(NAMES, 1.0))
    exact = {"score_std": NONE, "energy_std": NONE}
    shifted = take(DEFAULT, everybody, tmp_path / "all", **exact)
    quiet = take(DEFAULT, Federation(), tmp_path / "quiet", **exact)
    assert np.abs(one.samples - plain.samples).max() > 0.01
    assert shifted.samples == pytest.approx(quiet.samples, abs=1e-4)


@pytest.mark.parametrize("name", ["paper", "mix"])
def test_unreleased_energies_are_not_asked_for(name: str, tmp_path: Path) -> None:
    """Whatever a silo would say of them changes nothing."""
    engine = Federation(energy={"a": 5.0})
    take(SETTINGS[name], engine, tmp_path)
    assert all(query.energy_std is None for _, query in engine.seen)


@pytest.mark.parametrize("signal", ["score_std", "energy_std"])
def test_noise_on_either_output_reaches_the_samples(signal: str, tmp_path: Path) -> None:
    """Default preset: noise of 0 and of .3 on scores alone, or on energies alone."""
    quiet = {"score_std": NONE, "energy_std": NONE}
    samples = [
        take(DEFAULT, Federation(), tmp_path / str(std), **{**quiet, signal: std}).samples
        for std in (NONE, 0.3)
    ]
    assert np.abs(samples[0] - samples[1]).max() > 0.01


@pytest.mark.parametrize(
    ("prior", "expected"), [("labels", [0.45, 0.3, 0.25]), ("uniform", [1 / 3, 1 / 3, 1 / 3])]
)
def test_each_row_is_mixed_at_the_prior_weights_of_its_label(
    prior: str, expected: list[float], tmp_path: Path
) -> None:
    """20 rows of either label: the mean of the two columns; 1/K where the prior is uniform."""
    settings = replace(DEFAULT, energy="uniform", prior=prior)
    seen = []
    server.run_pass(
        plan(settings),
        Federation(),
        MIXTURE,
        state=begin(settings),
        saved=tmp_path / "state.safetensors",
        on_round=lambda number, info: seen.append(info.step.responsibilities),
    )
    assert seen == [pytest.approx(expected)] * ROUNDS


def test_rows_of_a_label_move_at_the_weights_of_that_label(tmp_path: Path) -> None:
    """With labels 0 all from a and labels 1 all from c, b's answers move nothing."""
    mixture = TargetMixture(np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]]), np.array([0.5, 0.5]))
    state = server.begin(DEFAULT, mixture, first_round=10, rows=ROWS, dimension=D)

    def samples(name: str, shift: float) -> np.ndarray:
        def change(answer: PrivateAnswer) -> PrivateAnswer:
            moved = round(shift / answer.spacing) if answer.silo == name else 0
            return replace(answer, points=answer.points + moved)

        saved = tmp_path / f"{name}{shift}.safetensors"
        one_round = replace(plan(DEFAULT), kernels=plan(DEFAULT).kernels[:1])
        engine = Federation(change=change)
        return server.run_pass(one_round, engine, mixture, state=state, saved=saved).samples

    plain = samples("b", 0.0)
    for name, moved in (
        ("a", state.labels == 0),
        ("b", state.labels < 0),
        ("c", state.labels == 1),
    ):
        changed = (samples(name, 1.0) != plain).all(axis=1)
        assert np.array_equal(changed, moved)


def test_declared_noise_is_absorbed(tmp_path: Path) -> None:
    """The server injects less by what the silos declare, in every round of the default preset."""
    shares: dict[float, list[float]] = {NONE: [], 1.0: []}
    for std, injected in shares.items():
        server.run_pass(
            plan(DEFAULT, score_std=std),
            Federation(),
            MIXTURE,
            state=begin(DEFAULT),
            saved=tmp_path / f"{std}.safetensors",
            on_round=lambda number, info, injected=injected: injected.append(info.step.injected),
        )
    assert shares[NONE] == pytest.approx([1.0] * ROUNDS)
    # c lambda^2 sigma^2 sum w~^2 / 2 with c = .3, sigma = 1 and sum w~^2 in [1/3, 1]
    assert all(0.85 <= share <= 0.95 for share in shares[1.0])


def test_all_silos_that_refuse_are_named_once_the_round_is_over() -> None:
    """The engine waits for every silo, then says who refused; one refusal comes as it is."""

    def refuse(name: str) -> Callable[[Any], Any]:
        def answer(query: Any) -> Any:
            raise BudgetExhausted(f"{name}: the cap is reached")

        return answer

    answered: list[str] = []

    def willing(query: ScoreQuery) -> PrivateAnswer:
        answered.append("b")
        return Federation().answer("b", query)

    with local({"a": refuse("a"), "b": willing, "c": refuse("c")}) as engine:
        with pytest.raises(BudgetExhausted, match=r"^a: .*\nc: "):
            engine.ask(dict.fromkeys(NAMES, one_query()))
        with pytest.raises(BudgetExhausted, match=r"^c: the cap is reached$"):
            engine.ask(dict.fromkeys(("b", "c"), one_query()))
    assert answered == ["b", "b"]
