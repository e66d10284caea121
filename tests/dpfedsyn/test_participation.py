"""Silos that miss rounds: shares are kept, rows change hands, budgets hold, rounds have quorums."""

import math
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpfedsyn import checkpoint, participation, sampler, server
from dpfedsyn.absences import aways
from dpfedsyn.diffusion import Kernel, reverse_kernels
from dpfedsyn.engine.absence import WithAbsences
from dpfedsyn.errors import ConfigError, LedgerError, SiloUnavailable
from dpfedsyn.messages import PrivateAnswer, ScoreQuery
from dpfedsyn.privatise import AnswerMechanism
from dpfedsyn.round_settings import ParticipationSettings, SamplerSettings
from dpfedsyn.sampler import ChainState, RoundAnswers
from dpfedsyn.server import RoundInfo
from tests.dpfedsyn import test_server as fake
from tests.dpfedsyn import toys
from tests.dpfedsyn.test_server import NAMES, SETTINGS, Federation

SEEDS = st.integers(0, 2**32 - 1)
MIX = SamplerSettings(kernel="ancestral", energy="path", step="mix")
ANCHORED = replace(MIX, step="anchored")
BLEND = SamplerSettings(energy="released", step="blend")
KERNEL = reverse_kernels(20)[12]


# --- one step without some silos -----------------------------------------------------------------


def drift_of_one_step(
    present: list[bool], stds: list[float], *, renormalised: bool = False, rows: int = 200_000
) -> tuple[toys.Array, toys.Array]:
    """Mean of w~' - w~ over one `mix` step, and its standard errors.

    renormalised: what a step would do that shares a missing silo's rows out among the others.
    """
    rng, sigma = np.random.default_rng(8), KERNEL.tolerance * np.array(stds)
    exact = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.5]]) * KERNEL.tolerance
    noise = exact[:, None] + sigma[:, None, None] * rng.standard_normal((3, rows, 2))
    there = np.array(present)
    state = sampler.start(rows, 2, 3, np.zeros(rows, dtype=np.int64), rng)
    state = replace(state, clean=np.full((rows, 2), 0.4, np.float32))
    prior = np.repeat(np.array([[0.5], [0.3], [0.2]]), rows, axis=1)
    asked = np.where(there[:, None], prior, 0.0) if renormalised else prior
    answers = RoundAnswers(noise, None, sigma, None if renormalised else there)
    after, _ = sampler.step(state, answers, KERNEL, asked, MIX, rng)
    change = sampler.responsibilities(after, answers, asked, MIX) - prior
    return change.mean(axis=1), change.std(axis=1) / math.sqrt(rows)


@pytest.mark.parametrize("stds", [[0.0] * 3, [0.9, 0.0, 0.5], [2.0] * 3])
@pytest.mark.parametrize(
    "present", [[True, True, False], [False, True, True], [True, False, False]]
)
def test_mix_keeps_the_shares_in_expectation_whoever_is_missing(
    present: list[bool], stds: list[float]
) -> None:
    """E[w~'] = w~ with silos missing, their noise alike or not: |z| < 5 (false alarm 2e-6 each)."""
    drift, error = drift_of_one_step(present, stds)
    assert (np.abs(drift) < 5.0 * np.maximum(error, 1e-12)).all()


def test_the_share_test_rejects_weights_that_are_renormalised_for_good() -> None:
    """Sharing a missing silo's rows out among the others takes all of its .2 away: z > 1000."""
    drift, _ = drift_of_one_step([True, True, False], [0.0] * 3, renormalised=True)
    assert drift[2] == pytest.approx(-0.2)


@given(SEEDS, st.lists(st.booleans(), min_size=3, max_size=3).filter(any))
def test_blend_is_renormalised_over_those_who_answered(seed: int, present: list[bool]) -> None:
    """Released energies: the step is the one of a federation of the present silos alone."""
    rng, there = np.random.default_rng(seed), np.array(present)
    state, answers, prior = scene(rng, there)
    after, info = sampler.step(state, answers, KERNEL, prior, BLEND, np.random.default_rng(1))
    assert answers.energies is not None
    fewer = RoundAnswers(
        answers.noise[there], answers.energies[there], answers.score_std[there], None
    )
    alone = replace(state, path=state.path[there], missed=state.missed[there])
    shares = prior[there] / prior[there].sum(axis=0)
    expected, _ = sampler.step(alone, fewer, KERNEL, shares, BLEND, np.random.default_rng(1))
    assert after.x == pytest.approx(expected.x, rel=1e-5, abs=1e-6)
    assert np.array(info.responsibilities)[~there].sum() == 0.0
    assert info.unanswered == 0


def scene(
    rng: np.random.Generator, present: np.ndarray, n: int = 8, d: int = 3
) -> tuple[ChainState, RoundAnswers, toys.Array]:
    """A state with clean estimates, and answers of the present silos."""
    state = sampler.start(n, d, 3, np.zeros(n, dtype=np.int64), rng)
    clean = rng.standard_normal((n, d)).astype(np.float32)
    state = replace(state, clean=clean, silo=rng.integers(0, 3, n))
    noise = rng.standard_normal((3, n, d)) * present[:, None, None]
    answers = RoundAnswers(noise, rng.uniform(0.0, 5.0, (3, n)), np.full(3, 0.1), present)
    return state, answers, rng.dirichlet(np.ones(3), n).T


@given(SEEDS, st.sampled_from(reverse_kernels(12)))
def test_an_anchored_row_without_an_answer_follows_its_last_clean_estimate(
    seed: int, kernel: Kernel
) -> None:
    """x' ~ q(x' | x, x_0 = last estimate), the estimate stays; other rows move as ever."""
    rng, there = np.random.default_rng(seed), np.array([True, False, True])
    state, answers, prior = scene(rng, there)
    everybody = replace(answers, answered=None)
    draws = [np.random.default_rng(2) for _ in range(2)]
    after, info = sampler.step(state, answers, kernel, prior, ANCHORED, draws[0])
    before, _ = sampler.step(state, everybody, kernel, prior, ANCHORED, draws[1])
    waiting = state.silo == 1
    assert info.unanswered == waiting.sum()
    assert np.array_equal(after.x[~waiting], before.x[~waiting])
    assert after.clean[waiting] == pytest.approx(state.clean[waiting], rel=1e-3, abs=1e-3)
    x = state.x.astype(np.float64)
    noise = sampler.noise_implied(x, state.clean, kernel.signal)
    z = np.random.default_rng(2).standard_normal(x.shape)
    expected = kernel.mean(x, noise, state.clean) + math.sqrt(kernel.variance) * z
    assert after.x[waiting] == pytest.approx(expected[waiting], rel=1e-4, abs=1e-4)


def test_a_row_whose_only_silo_is_missing_waits_for_it_under_every_energy() -> None:
    """Released energies, and nobody else has the label: the row is not moved by strangers."""
    there = np.array([False, True, True])
    state, answers, prior = scene(np.random.default_rng(4), there)
    prior[:, 0] = [1.0, 0.0, 0.0]
    after, info = sampler.step(state, answers, KERNEL, prior, BLEND, np.random.default_rng(1))
    assert info.unanswered == 1
    assert after.clean[0] == pytest.approx(state.clean[0], rel=1e-3, abs=1e-3)
    assert np.isfinite(after.x).all()


# --- whole chains --------------------------------------------------------------------------------


def chain(settings: SamplerSettings, absence: float, rows: int = 4000) -> ChainState:
    """30 rounds on the toy of three silos, each missing a round by chance, never all of them."""
    silos, rng = toys.three_silos(), np.random.default_rng(5)
    state = next(toys.walk(silos, reverse_kernels(30)[:1], settings, rows=rows, seed=3))[0]
    prior = np.repeat(silos.weights[:, None], rows, axis=1)
    for kernel in reverse_kernels(30)[1:]:
        there = rng.random(3) >= absence
        noise = silos.noise(state.x.astype(np.float64), kernel.signal) * there[:, None, None]
        answers = RoundAnswers(noise, None, np.zeros(3), there)
        state, _ = sampler.step(state, answers, kernel, prior, settings, rng)
    return state


@pytest.mark.parametrize("settings", [MIX, ANCHORED], ids=["mix", "anchored"])
def test_shares_of_the_samples_survive_silos_that_miss_a_third_of_the_rounds(
    settings: SamplerSettings,
) -> None:
    """.60/.30/.10 within .03 among 4,000 samples (4 standard errors of the largest share)."""
    silos = toys.three_silos()
    found = silos.shares(chain(settings, 0.33).x.astype(np.float64))
    assert found == pytest.approx(silos.weights, abs=0.03)


def test_prior_weights_renormalised_each_round_would_lose_the_shares() -> None:
    """The same rounds with weights that remember nothing: no tolerance of .03 would hold."""
    silos = toys.three_silos()
    forgetful = replace(MIX, energy="uniform")
    found = silos.shares(chain(forgetful, 0.33).x.astype(np.float64))
    assert np.abs(found - silos.weights).max() > 0.03


# --- handing over --------------------------------------------------------------------------------

WEIGHTS = np.array([[0.6, 0.0], [0.3, 1.0], [0.1, 0.0]])  # only silo 1 has label 1


@given(SEEDS, st.lists(st.booleans(), min_size=3, max_size=3))
def test_rows_of_silos_that_left_go_to_silos_that_have_their_label(
    seed: int, left: list[bool]
) -> None:
    """Nobody else's row moves, and a label that no other silo has stays where it is."""
    rng, gone = np.random.default_rng(seed), np.array(left)
    labels = rng.integers(0, 2, 60)
    state = replace(
        sampler.start(60, 2, 3, labels, rng), silo=np.where(labels == 1, 1, rng.integers(0, 3, 60))
    )
    after, moved = participation.hand_over(state, gone, WEIGHTS, ANCHORED, rng)
    changed = after.silo != state.silo
    served = (np.where(gone[:, None], 0.0, WEIGHTS).sum(axis=0) > 0.0)[labels]
    assert np.array_equal(changed, gone[state.silo] & served)
    assert moved == changed.sum()
    assert (WEIGHTS[after.silo, labels] > 0.0)[changed].all()
    assert not gone[after.silo[changed]].any()


def test_rows_are_handed_over_at_the_renormalised_weights() -> None:
    """400 rows of a silo with weight .6 go to the others as .3 : .1, stratified: 300 and 100."""
    labels = np.zeros(400, dtype=np.int64)
    state = sampler.start(400, 2, 3, labels, np.random.default_rng(0))
    gone = np.array([True, False, False])
    after, _ = participation.hand_over(state, gone, WEIGHTS, ANCHORED, np.random.default_rng(1))
    assert np.bincount(after.silo, minlength=3).tolist() == [0, 300, 100]


@given(SEEDS, st.floats(0.5, 2.0))
def test_a_lost_silo_s_responsibility_is_shared_out_at_the_prior_weights(
    seed: int, temperature: float
) -> None:
    """w~_j + w~_gone w_j / (1 - w_gone), also where the row was certain to be the lost silo's."""
    rng, settings = np.random.default_rng(seed), replace(MIX, temperature=temperature)
    weights = np.array([[0.5], [0.3], [0.2]])
    state = sampler.start(5, 2, 3, np.zeros(5, dtype=np.int64), rng)
    path = rng.uniform(0.0, 4.0, (3, 5))
    path[:, 0] = [0.0, np.inf, np.inf]
    path[:, 1] = [np.inf, 0.0, np.inf]
    state, gone = replace(state, path=path), np.array([True, False, False])
    after, moved = participation.hand_over(state, gone, weights, settings, rng)
    prior = np.repeat(weights, 5, axis=1)
    answers = RoundAnswers(np.zeros((3, 5, 2)), None, np.zeros(3))
    before, found = (sampler.responsibilities(s, answers, prior, settings) for s in (state, after))
    expected = np.vstack([np.zeros(5), before[1:] + before[0] * np.array([[0.6], [0.4]])])
    assert found == pytest.approx(expected)
    assert moved == round(float(before[0].sum()))
    again, more = participation.hand_over(after, gone, weights, settings, rng)
    assert more == 0
    assert np.array_equal(again.path, after.path)


@pytest.mark.parametrize("rounds", [6, 21, 27])
def test_shares_are_those_of_the_remaining_silos_whenever_one_is_lost(rounds: int) -> None:
    """.60 is lost, .30 and .10 are left: mean responsibilities .75 and .25, late or early.

    4,000 rows: within .04, six standard errors. Asking which silo fits a row best gives .36 or less
    of the .75 after 21 rounds.
    """
    silos, settings = toys.three_silos(), MIX
    kernels = reverse_kernels(30)
    states = toys.walk(silos, kernels[:rounds], settings, rows=4000, seed=3)
    *_, (state, _) = states
    rng, gone = np.random.default_rng(6), np.array([True, False, False])
    weights = silos.weights[:, None]
    state, moved = participation.hand_over(state, gone, weights, settings, rng)
    prior = np.repeat(weights, 4000, axis=1)
    for kernel in kernels[rounds:]:
        noise = silos.noise(state.x.astype(np.float64), kernel.signal)
        answers = RoundAnswers(noise, None, np.zeros(3), ~gone)
        state, _ = sampler.step(state, answers, kernel, prior, settings, rng)
    assert moved > 2000
    assert toys.mean_responsibilities(silos, state) == pytest.approx([0.0, 0.75, 0.25], abs=0.04)


def test_a_silo_leaves_after_more_missed_rounds_than_its_patience() -> None:
    """Counted in a row: an answer starts the count again; not being asked leaves it as it is."""
    state = sampler.start(2, 2, 3, np.zeros(2, dtype=np.int64), np.random.default_rng(0))
    rule = ParticipationSettings(patience=2)
    asked, everybody = np.array([True, True, False]), np.ones(3, dtype=bool)
    for _ in range(3):
        assert not participation.left(state, rule, ANCHORED).any()
        state = participation.counted(state, asked, np.array([False, True, False]))
    assert participation.left(state, rule, ANCHORED).tolist() == [True, False, False]
    assert not participation.left(state, rule, BLEND).any()
    assert participation.counted(state, everybody, everybody).missed.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("silos", "quorum", "expected"),
    [(4, 0.5, 2), (10, 0.8, 8), (3, 0.34, 2), (5, 1e-9, 1), (3, 1.0, 3)],
)
def test_a_quorum_is_rounded_up_to_whole_silos(silos: int, quorum: float, expected: int) -> None:
    """.8 of ten are eight, not nine for the sake of a last bit."""
    assert participation.needed(silos, quorum) == expected


# --- a pass without some silos -------------------------------------------------------------------


def passed(
    name: str, folder: Path, rule: ParticipationSettings, engine: server.Engine | None = None
) -> tuple[server.PassResult, list[RoundInfo], Federation]:
    """Take a pass of six rounds, numbers 11 to 16, with silos that miss rounds as `rule` says."""
    federation, settings, told = Federation(), SETTINGS[name], []
    result = server.run_pass(
        replace(fake.plan(settings), participation=rule),
        engine or WithAbsences(federation, rule),
        fake.MIXTURE,
        state=fake.begin(settings),
        saved=folder / "state.safetensors",
        on_round=lambda number, info: told.append(info),
    )
    return result, told, federation


@pytest.mark.parametrize("name", SETTINGS)
def test_a_silo_that_leaves_and_returns_takes_part_again(name: str, tmp_path: Path) -> None:
    """Away for two of six rounds, within its patience: the pass completes, no row changes hands."""
    rule = ParticipationSettings(away=("b 12-13",))
    result, told, federation = passed(name, tmp_path, rule)
    assert result.refusal is None
    assert ["b" in info.answered for info in told] == [True, False, False, True, True, True]
    assert all(info.handed_over == 0 for info in told)
    assert {query.round_number for who, query in federation.seen if who == "b"} == {11, 14, 15, 16}
    waiting = [info.step.unanswered for info in told]
    assert waiting[0] == waiting[3] == 0
    if name in ("default", "paper"):
        assert sum(waiting) == 0
    if name == "anchored":
        assert waiting == [0, 12, 12, 0, 0, 0]


@pytest.mark.parametrize("name", ["mix", "anchored"])
def test_rows_of_a_silo_that_is_lost_are_handed_over_within_the_budget(
    name: str, tmp_path: Path
) -> None:
    """b goes for good: a and c take its rows and add noise for more of them, at the same cost."""
    rule = ParticipationSettings(away=("b 12-",), patience=1)
    _, told, federation = passed(name, tmp_path, rule)
    assert [info.handed_over > 0 for info in told] == [False, False, False, True, False, False]
    assert all("b" not in info.asked for info in told[3:])
    assert all(info.step.unanswered == 0 for info in told[3:])
    mechanism, planned = AnswerMechanism(6.0, 18.0), fake.plan(SETTINGS[name])
    for who in ("a", "c"):
        asked = [query for silo, query in federation.seen if silo == who]
        costs = [mechanism.silo_mu2(len(q.x), q.score_std, None) for q in asked]
        first = len(asked[0].x)
        whole = [mechanism.silo_mu2(first, n.score_std, None) for n in planned.noise[who]]
        assert costs == pytest.approx(whole, rel=1e-12)
        if name == "anchored":
            assert len(asked[-1].x) > first
    if name == "anchored":
        assert sum(told[-1].asked.values()) == fake.ROWS


@pytest.mark.parametrize("name", ["mix", "anchored"])
def test_a_silo_that_returns_is_asked_about_rows_that_nobody_else_could_take(
    name: str, tmp_path: Path
) -> None:
    """Label 1 is b's alone. It leaves, its rows of label 0 go to others, and it comes back."""
    mixture = replace(fake.MIXTURE, weights=np.array([[0.6, 0.0], [0.3, 1.0], [0.1, 0.0]]))
    settings, rule = SETTINGS[name], ParticipationSettings(patience=1, away=("b 12-13",))
    federation, told = Federation(), []
    state = server.begin(settings, mixture, first_round=10, rows=fake.ROWS, dimension=fake.D)
    result = server.run_pass(
        replace(fake.plan(settings), participation=rule),
        WithAbsences(federation, rule),
        mixture,
        state=state,
        saved=tmp_path / "state.safetensors",
        on_round=lambda number, info: told.append(info),
    )
    own = int((state.labels == 1).sum())
    assert [info.handed_over > 0 for info in told] == [False, False, False, True, False, False]
    # Back again, `mix` shows it all rows as before; those that it lost stay lost.
    assert [info.asked["b"] for info in told[3:]] == [own] + [own if name == "anchored" else 40] * 2
    assert all("b" in info.answered for info in told[3:])
    assert [info.step.unanswered for info in told[3:]] == [0, 0, 0]
    asked = [query.labels for who, query in federation.seen if who == "b"]
    assert (asked[-3] == 1).all()
    if name == "mix":
        assert np.isinf(result.state.path[1, state.labels == 0]).all()
    assert result.refusal is None


def test_late_answers_are_charged_and_dropped(tmp_path: Path) -> None:
    """Every answer of b's comes too late: it is asked and computes, and nothing of it is used."""

    class LateB(WithAbsences):
        def _chances(self, name: str, query: ScoreQuery) -> tuple[float, float]:
            return 1.0, 0.0 if name == "b" else 1.0

    federation, rule = Federation(), ParticipationSettings(lateness=0.5)
    told: list[RoundInfo] = []
    settings = SETTINGS["default"]
    server.run_pass(
        replace(fake.plan(settings), participation=rule),
        LateB(federation, rule),
        fake.MIXTURE,
        state=fake.begin(settings),
        saved=tmp_path / "state.safetensors",
        on_round=lambda number, info: told.append(info),
    )
    assert all(info.answered == ("a", "c") for info in told)
    assert sum(who == "b" for who, _ in federation.seen) == fake.ROUNDS
    absent, _, _ = passed("default", tmp_path / "absent", ParticipationSettings(away=("b 11-",)))
    saved = checkpoint.load(tmp_path / "state.safetensors") or {}
    assert saved["x"].tobytes() == absent.state.x.tobytes()


def test_a_round_below_its_quorum_is_asked_again_and_keeps_what_it_has(tmp_path: Path) -> None:
    """c answers at the third attempt; a and b, who had answered, are not asked again."""

    class Slow(Federation):
        calls = 0

        def ask(self, queries: Mapping[str, ScoreQuery]) -> dict[str, PrivateAnswer]:
            self.calls += 1
            there = {n: q for n, q in queries.items() if n != "c" or self.calls % 3 == 0}
            return super().ask(there)

    slow, rule = Slow(), ParticipationSettings(quorum=1.0, attempts=3)
    result, told, _ = passed("default", tmp_path, rule, slow)
    assert result.refusal is None
    assert all(set(info.answered) == set(NAMES) for info in told)
    assert len(slow.seen) == 3 * fake.ROUNDS
    straight = fake.take(SETTINGS["default"], Federation(), tmp_path / "straight")
    assert fake.same(result.state, straight.state)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (
            ParticipationSettings(quorum=0.7, away=("b 13-",)),
            "^b: no answer in round 3.*2 of 3 silos",
        ),
        (
            ParticipationSettings(away=("a 13-", "b 13-", "c 13-")),
            "^a, b, c: no answer in round 3.*0 of 3 silos.*needs 2.*--resume",
        ),
    ],
)
def test_a_quorum_that_is_never_met_stops_the_pass_where_it_is(
    rule: ParticipationSettings, words: str, tmp_path: Path
) -> None:
    """Two rounds are saved; with the silos back, the pass ends as if nothing had been."""
    with pytest.raises(SiloUnavailable, match=words):
        passed("default", tmp_path, rule)
    saved = checkpoint.load(tmp_path / "state.safetensors") or {}
    assert int(saved["round_number"]) == 2
    resumed, _, _ = passed("default", tmp_path, ParticipationSettings())
    straight = fake.take(SETTINGS["default"], Federation(), tmp_path / "straight")
    assert fake.same(resumed.state, straight.state)


def test_silos_that_have_left_count_as_missing_for_the_quorum(tmp_path: Path) -> None:
    """b has left and c misses a round: one of three is there, two are needed."""
    rule = ParticipationSettings(quorum=0.6, patience=0, away=("b 11-", "c 14-14"))
    with pytest.raises(SiloUnavailable, match=r"^c: no answer in round 4.*1 of 3 silos"):
        passed("anchored", tmp_path, rule)


def test_a_round_that_nobody_answers_is_not_taken_whatever_the_quorum(tmp_path: Path) -> None:
    """All rows are a's, b and c are there but have nothing to answer: no step without an answer."""
    mixture = replace(fake.MIXTURE, weights=np.array([[1.0, 1.0], [0.0, 0.0], [0.0, 0.0]]))
    settings, rule = SETTINGS["anchored"], ParticipationSettings(quorum=0.1, away=("a 12-",))
    state = server.begin(settings, mixture, first_round=10, rows=fake.ROWS, dimension=fake.D)
    with pytest.raises(SiloUnavailable, match=r"^a: no answer in round 2"):
        server.run_pass(
            replace(fake.plan(settings), participation=rule),
            WithAbsences(Federation(), rule),
            mixture,
            state=state,
            saved=tmp_path / "state.safetensors",
        )


def test_chances_are_drawn_anew_for_every_attempt(tmp_path: Path) -> None:
    """Each silo misses every other question; asked often enough, all three answer every round."""
    rule = ParticipationSettings(quorum=1.0, absence=0.5, attempts=50)
    _, told, _ = passed("default", tmp_path, rule)
    assert all(set(info.answered) == set(NAMES) for info in told)


def test_a_pass_that_missed_silos_resumes_byte_for_byte(tmp_path: Path) -> None:
    """Absences are a function of seed, round and silo: interrupted or not, the same ones miss."""
    rule = ParticipationSettings(quorum=0.3, absence=0.3, seed=4)
    whole, told, _ = passed("mix", tmp_path / "whole", rule)
    assert any(len(info.answered) < 3 for info in told)
    with pytest.raises(fake.KilledError):
        server.run_pass(
            replace(fake.plan(SETTINGS["mix"]), participation=rule),
            WithAbsences(Federation(), rule),
            fake.MIXTURE,
            state=fake.begin(SETTINGS["mix"]),
            saved=tmp_path / "broken" / "state.safetensors",
            on_round=fake.killed_after(3),
        )
    resumed, _, _ = passed("mix", tmp_path / "broken", rule)
    assert fake.same(resumed.state, whole.state)


# --- engines -------------------------------------------------------------------------------------


def test_the_local_engine_does_not_wait_beyond_its_timeout() -> None:
    """b is at work when time is up: it is missing, then busy, then its late answer is dropped."""
    begun, may_end, asked = threading.Event(), threading.Event(), []

    def slow(query: ScoreQuery) -> PrivateAnswer:
        asked.append(query.round_number)
        begun.set()
        may_end.wait(60.0)
        return Federation().answer("b", query)

    quick = {"a": lambda query: Federation().answer("a", query)}
    queries = [replace(fake.one_query(), round_number=k) for k in range(4)]
    with fake.local({**quick, "b": slow}, timeout=0.2) as engine:
        assert set(engine.ask(dict.fromkeys(("a", "b"), queries[0]))) == {"a"}
        assert begun.wait(60.0)
        assert set(engine.ask(dict.fromkeys(("a", "b"), queries[1]))) == {"a"}
        may_end.set()
        assert asked == [0]
        found: dict[str, PrivateAnswer] = {}
        while "b" not in found:
            found = engine.ask(dict.fromkeys(("a", "b"), queries[2]))
        assert found["b"].round_number == 2
    assert asked[-1] == 2


def test_an_answer_that_was_late_comes_in_where_its_round_is_still_open() -> None:
    """The same query asked again waits for the same answer; the silo is not asked twice."""
    may_end, asked = threading.Event(), []

    def slow(query: ScoreQuery) -> PrivateAnswer:
        asked.append(query)
        may_end.wait(60.0)
        return Federation().answer("b", query)

    query = fake.one_query()
    with fake.local({"b": slow}, timeout=0.2) as engine:
        assert engine.ask({"b": query}) == {}
        may_end.set()
        found: dict[str, PrivateAnswer] = {}
        while not found:
            found = engine.ask({"b": query})
    assert len(asked) == 1


def test_a_fault_of_a_silo_that_comes_late_is_raised_and_not_dropped() -> None:
    """A ledger that fails after the round's time ends the run at the next question."""
    may_end, ended = threading.Event(), threading.Event()

    def broken(query: ScoreQuery) -> PrivateAnswer:
        may_end.wait(60.0)
        ended.set()
        raise LedgerError("b: the disk is full")

    with fake.local({"b": broken}, timeout=0.2) as engine:
        assert engine.ask({"b": replace(fake.one_query(), round_number=1)}) == {}
        may_end.set()
        assert ended.wait(60.0)
        with pytest.raises(LedgerError, match="disk is full"):
            engine.ask({"b": replace(fake.one_query(), round_number=2)})


def test_a_silo_that_is_unavailable_is_missing_and_nothing_else() -> None:
    """Its error does not end the round for the others."""

    def down(query: ScoreQuery) -> PrivateAnswer:
        raise SiloUnavailable("b: no connection")

    answers = {"a": lambda query: Federation().answer("a", query), "b": down}
    with fake.local(answers) as engine:
        assert set(engine.ask(dict.fromkeys(answers, fake.one_query()))) == {"a"}


def test_absences_come_at_their_rate_and_are_the_same_again() -> None:
    """2,001 questions at .3: within 5 standard errors (false alarm 6e-7), .4 would not be."""
    rule = ParticipationSettings(absence=0.3, seed=2)

    def answered(rule: ParticipationSettings) -> list[tuple[str, int]]:
        engine, found = WithAbsences(Federation(), rule), []
        for k in range(667):
            query = replace(fake.one_query(), round_number=k)
            found += [(name, k) for name in engine.ask(dict.fromkeys(NAMES, query))]
        return found

    first, error = answered(rule), math.sqrt(0.3 * 0.7 / 2001)
    share = 1.0 - len(first) / 2001
    assert abs(share - 0.3) < 5.0 * error < abs(share - 0.4)
    assert answered(rule) == first
    assert answered(replace(rule, seed=3)) != first


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("b", "names no rounds"),
        ("d 1-2", "one of a, b, c"),
        ("b 5-3", "ends before it begins"),
        ("b 1 - 2", "names no rounds"),
    ],
)
def test_an_absence_that_cannot_be_read_is_named_with_its_mend(text: str, words: str) -> None:
    """The text stands in the message."""
    with pytest.raises(ConfigError, match=words) as caught:
        aways([text], NAMES)
    assert repr(text) in str(caught.value)


def test_absences_without_an_end_last() -> None:
    """`b 12-` is away in round 12 and in round 10,000, not in 11, and a is not."""
    (away,) = aways(["b 12-"], NAMES)
    assert [away.covers("b", k) for k in (11, 12, 10_000)] == [False, True, True]
    assert not away.covers("a", 12)
