"""Each trap and hazard of the privacy model by name: where its test stands, or the test itself.

`HAZARDS` is the list of what the code must make impossible; every entry names tests that fail when
the guard is taken out. Those that fit no module stand here.
"""

import ast
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from accountants import (
    Cascade,
    Composed,
    Gaussian,
    Repeated,
    Shuffled,
    UnsupportedEvent,
    epsilon,
)
from dpfedsyn import dpsgd, keys
from dpfedsyn.errors import BudgetExhausted, LedgerMismatch
from dpfedsyn.noise import Keystream
from dpfedsyn.settings import TrainSettings
from dpfedsyn.train import prepare
from tests.dpfedsyn.test_dpsgd import records as gradients_of
from tests.dpfedsyn.test_dpsgd import start, train
from tests.dpfedsyn.test_federation import set_up
from tests.dpfedsyn.test_silo import ONE, query, silo
from tests.dpfedsyn.test_train import STEP, preparation, records

TESTS = Path(__file__).parents[1]
HAZARDS: dict[str, tuple[str, ...]] = {
    # Section 8: DP-SGD, the traps.
    "rate, steps and normaliser derived from the record count": (
        "dpfedsyn/test_train.py::test_the_divisor_of_a_step_is_public_and_fractional",
        "dpfedsyn/test_dpsgd.py::test_the_divisor_is_the_public_fractional_batch_size",
        "dpfedsyn/test_dpsgd.py::test_only_one_subpackage_knows_opacus_and_it_never_makes_private",
    ),
    "inclusion bits that can be guessed": (
        "dpfedsyn/test_dpsgd.py::test_who_is_sampled_is_decided_by_the_secret_key",
        "dpfedsyn/test_dpsgd.py::test_training_depends_on_no_global_generator",
    ),
    "an empty batch skipped": (
        "dpfedsyn/test_dpsgd.py::test_an_empty_sample_is_a_step_of_noise_alone",
        "dpfedsyn/test_unet.py::test_an_empty_sample_is_a_step_of_noise_alone",
    ),
    "noise more than once per logical batch": (
        "dpfedsyn/test_dpsgd_gradients.py::"
        "test_a_batch_in_pieces_is_one_step_with_one_noise_and_one_divisor",
        "dpfedsyn/test_unet.py::test_noise_is_drawn_once_for_a_batch_in_pieces",
    ),
    "draws of a record clipped one by one": (
        "dpfedsyn/test_dpsgd.py::"
        "test_draws_of_a_record_are_averaged_inside_its_gradient_and_clipped_once",
    ),
    "an average of weights that costs": (
        "dpfedsyn/test_hazards_named.py::test_averaged_weights_change_no_step_and_cost_nothing",
    ),
    "batch norm": (
        "dpfedsyn/test_unet.py::test_no_layer_mixes_records",
        "dpfedsyn/test_dpsgd_validation.py::test_batch_norm_is_refused_where_gradients_are_taken",
        "dpfedsyn/test_dpsgd_probe.py::test_what_mixes_records_is_refused",
        "dpfedsyn/test_hazards.py::test_the_private_path_draws_from_keystreams_only",
    ),
    "blocks of steps taken before they are charged": (
        "dpfedsyn/test_train.py::test_a_block_of_steps_is_on_disk_before_it_is_taken",
        "dpfedsyn/test_train.py::test_where_a_charge_fails_its_mechanism_does_not_run",
    ),
    "norms above the clip by rounding": (
        "dpfedsyn/test_dpsgd.py::test_norms_hold_at_a_million_parameters_where_float32_norms_fail",
    ),
    # Section 9: hazards that the code must make impossible.
    "composition over N rows forgotten": (
        "dpfedsyn/test_hazards.py::test_a_guard_taken_out_of_the_default_path_is_found",
        "dpfedsyn/test_privatise.py::test_the_cost_is_the_closed_form_of_the_joint_mechanism",
    ),
    "clip after averaging": (
        "dpfedsyn/test_privatise.py::test_parts_are_clipped_before_they_are_summed",
    ),
    "unclipped or NaN energies": (
        "dpfedsyn/test_privatise.py::"
        "test_energies_are_clipped_and_what_is_not_finite_becomes_the_centre",
    ),
    "noise reused across rounds, rows, silos or with other content": (
        "dpfedsyn/test_silo.py::test_no_keystream_is_opened_twice_for_different_answers",
        "dpfedsyn/test_silo.py::test_noise_is_independent_across_rounds_and_silos",
        "dpfedsyn/test_silo.py::test_other_content_is_another_charge_with_noise_of_its_own",
        "dpfedsyn/test_privatise.py::"
        "test_noise_is_independent_across_rows_coordinates_outputs_and_keys",
        "dpfedsyn/test_train.py::test_every_mechanism_of_a_silo_has_a_noise_key_of_its_own",
        "end_to_end/test_kill.py::"
        "test_kill_9_at_random_moments_neither_loses_a_charge_nor_doubles_an_answer",
    ),
    "charge after release": (
        "dpfedsyn/test_silo.py::test_the_row_is_on_disk_before_the_answer_leaves",
        "accountants/test_ledger_kill9.py::test_a_charge_is_on_disk_before_commit_returns",
        "end_to_end/test_kill.py::"
        "test_kill_9_at_random_moments_neither_loses_a_charge_nor_doubles_an_answer",
    ),
    "a fresh accountant per message": (
        "dpfedsyn/test_hazards_named.py::test_a_silo_started_anew_for_every_message_has_one_budget",
        "accountants/test_anchor.py::test_every_older_copy_put_back_is_refused",
        "dpfedsyn/test_redelivery.py::"
        "test_redelivered_a_thousand_times_at_once_it_is_one_charge_and_identical_bytes",
    ),
    "side releases inside the cascade's product": (
        "dpfedsyn/test_budget.py::test_counts_that_leave_stand_outside_the_product",
        "accountants/test_accountant.py::"
        "test_releases_beside_a_cascade_are_never_multiplied_away",
        "dpfedsyn/test_earlier.py::test_the_claim_of_a_ledger_is_that_of_its_budget",
    ),
    "warm starts composed as if fresh": (
        "accountants/test_accountant.py::test_two_cascades_are_not_multiplied",
        "dpfedsyn/test_hazards_named.py::test_two_trainings_are_not_a_product_of_cascades",
        "dpfedsyn/test_hazards_named.py::"
        "test_a_model_of_an_earlier_run_is_not_where_training_starts",
    ),
    "Poisson accounting over shuffled batches": (
        "dpfedsyn/test_hazards_named.py::"
        "test_poisson_accounting_is_of_independent_bits_and_of_nothing_shuffled",
    ),
    "normaliser, rate, steps, split or warning from the private record count": (
        "dpfedsyn/test_dpsgd.py::test_records_outside_the_sample_change_nothing",
        "dpfedsyn/test_plan.py::test_the_plan_reads_no_records",
        "dpfedsyn/test_data.py::test_one_record_never_moves_another",
        "dpfedsyn/test_refusals.py::"
        "test_refusals_errors_progress_and_charges_are_the_same_whatever_the_records_are",
    ),
    "preprocessing or selection from private data at no charge": (
        "dpfedsyn/test_encoding.py::test_a_row_alone_is_encoded_as_within_any_table",
        "dpfedsyn/test_data.py::test_values_beyond_the_public_bounds_are_clipped",
        "dpfedsyn/test_statement.py::test_what_nobody_pays_for_is_named",
    ),
    "early stopping charged at the steps taken": (
        "dpfedsyn/test_earlier.py::test_training_that_was_killed_half_way_counts_as_planned",
        "dpfedsyn/test_statement.py::test_the_claim_does_not_shrink_when_less_was_spent",
    ),
    "adjacency mixed between training and answers": (
        "dpfedsyn/test_hazards_named.py::test_a_ledger_serves_one_adjacency",
        "dpfedsyn/test_budget.py::test_sampled_training_is_not_accounted_under_replace",
        "dpfedsyn/test_earlier.py::test_terms_are_never_mixed",
    ),
    "epsilon printed without delta, unit and adjacency": (
        "dpfedsyn/test_statement.py::test_every_epsilon_stands_with_delta_unit_and_adjacency",
        "dpfedsyn/test_report_wording.py::"
        "test_every_table_of_a_plan_with_an_epsilon_states_its_terms",
        "dpfedsyn/test_earlier.py::test_plan_shows_the_sum_with_its_terms",
    ),
    "a spent value sold as a guarantee after adaptive stopping": (
        "dpfedsyn/test_statement.py::test_the_claim_does_not_shrink_when_less_was_spent",
        "dpfedsyn/test_report_wording.py::"
        "test_readings_of_a_run_are_called_spent_and_those_of_a_plan_are_not",
    ),
    "random state in checkpoints": (
        "dpfedsyn/test_dpsgd.py::test_a_checkpoint_holds_no_random_state_and_no_key",
    ),
    "seeds from the clock": (
        "dpfedsyn/test_hazards_named.py::test_a_stopped_clock_repeats_no_secret",
        "dpfedsyn/test_hazards.py::test_the_private_path_draws_from_keystreams_only",
    ),
    "refusals or errors that depend on data": (
        "dpfedsyn/test_refusals.py::"
        "test_refusals_errors_progress_and_charges_are_the_same_whatever_the_records_are",
        "dpfedsyn/test_refusals.py::test_a_refusal_comes_before_any_model_is_asked",
        "dpfedsyn/test_malformed.py::"
        "test_malformed_queries_are_refused_uncharged_and_in_words_without_data",
        "dpfedsyn/test_silo.py::"
        "test_a_model_that_fails_answers_like_a_model_that_knows_nothing",
    ),
    # Section 6: the ledger.
    "a cost that is not a number": (
        "accountants/test_ledger.py::test_costs_that_mean_nothing_are_refused",
    ),
    "draws beyond what delta was computed for": (
        "accountants/test_ledger.py::test_draws_stop_at_their_cap_whoever_makes_them",
    ),
    "a reply computed again": (
        "dpfedsyn/test_silo.py::test_a_pruned_reply_is_refused_not_computed_again",
        "dpfedsyn/test_redelivery.py::"
        "test_a_late_redelivery_gets_the_bytes_until_they_are_pruned",
    ),
    "a crash mistaken for a rollback, or a rollback for a crash": (
        "accountants/test_anchor.py::test_a_crash_between_commit_and_anchor_is_no_rollback",
        "accountants/test_anchor.py::test_two_rows_beyond_the_anchor_are_no_crash",
    ),
    "rows edited, dropped, swapped, appended or cut": (
        "accountants/test_tamper.py::test_every_byte_of_every_stored_value_is_covered",
        "accountants/test_tamper.py::test_every_row_dropped_and_every_pair_swapped_is_found",
        "accountants/test_tamper.py::test_every_row_appended_without_the_key_is_found",
        "accountants/test_tamper.py::"
        "test_every_cut_tail_is_found_with_the_anchor_and_said_to_be_unseen_without",
    ),
    "two writers": (
        "accountants/test_locks.py::"
        "test_the_second_process_is_told_who_holds_it_where_and_since_when",
        "dpfedsyn/test_redelivery.py::"
        "test_different_queries_at_once_get_a_row_each_and_none_is_refused",
    ),
}  # fmt: skip


@cache
def named_in(file: str) -> set[str]:
    """Names of the test functions of a file."""
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("hazard", HAZARDS)
def test_every_hazard_has_its_test(hazard: str) -> None:
    """Renamed or removed, a hazard's test is missed here."""
    for name in HAZARDS[hazard]:
        file, _, test = name.partition("::")
        assert test in named_in(file), name


def test_a_silo_started_anew_for_every_message_has_one_budget(tmp_path: Path) -> None:
    """A new process, silo and ledger object for each query: the sum goes on where it was."""
    cost = ONE.silo_mu2(5, 2.0, 3.0)
    for number in range(1, 6):
        with silo(tmp_path, cap=3.5 * cost) as one:
            if number <= 3:
                one.answer(query(round_number=number))
            else:
                with pytest.raises(BudgetExhausted):
                    one.answer(query(round_number=number))
            assert one.ledger.totals().rows == min(number, 3)


def test_two_trainings_are_not_a_product_of_cascades() -> None:
    """Nothing shows that the second did not start from the first: they cost at least the cheaper
    plain reading, both trainings or both answers, and less would be claimed by multiplying."""
    one = Cascade(Repeated(STEP, 20), Gaussian(1.0))
    found = epsilon(Composed((one, one)), delta=1e-5).upper
    trainings = epsilon(Repeated(STEP, 40), delta=1e-5).upper
    answers = epsilon(Repeated(Gaussian(1.0), 2), delta=1e-5).upper
    assert found == pytest.approx(min(trainings, answers), rel=1e-9)
    together = Cascade(Repeated(STEP, 40), Composed((Gaussian(1.0), Gaussian(1.0))))
    assert epsilon(together, delta=1e-5).upper < found


def test_a_model_of_an_earlier_run_is_not_where_training_starts(tmp_path: Path) -> None:
    """Put into the folder of a new run, a trained model is ahead of the ledger: refused."""
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    with preparation(tmp_path / "first") as one:
        prepare(one)
    model = (tmp_path / "first" / "model.safetensors").read_bytes()
    (tmp_path / "second" / "model.safetensors").write_bytes(model)
    with preparation(tmp_path / "second", records(seed=4)) as one:
        with pytest.raises(LedgerMismatch, match="not of one moment"):
            prepare(one)
        assert "dp-sgd" not in one.ledger.totals().uses


def test_poisson_accounting_is_of_independent_bits_and_of_nothing_shuffled() -> None:
    """Batches have every size that a binomial has, pairs fall together at the squared rate, and
    shuffled batches have no epsilon at all.

    20,000 batches of 8 at rate .25; six standard errors: false alarm 4e-9. A shuffled batch of 2
    would have no variance of size, and pairs at 1/28 instead of 1/16.
    """
    stream = Keystream(b"q" * 32)
    bits = np.stack([stream.bernoulli(8, 0.25) for _ in range(20_000)]).astype(float)
    sizes = bits.sum(axis=1)
    assert abs(sizes.var() - 1.5) < 6 * 0.018
    pairs = (bits[:, 0] * bits[:, 1]).mean()
    assert abs(pairs - 1 / 16) < 6 * 0.0018 < 1 / 16 - 1 / 28
    with pytest.raises(UnsupportedEvent, match="shuffled"):
        epsilon(Shuffled(Gaussian(1.0), 10), delta=1e-5)


def test_averaged_weights_change_no_step_and_cost_nothing() -> None:
    """Post-processing of the noisy steps: with any decay the same weights, noise and step count."""
    data = gradients_of(6)
    states = [
        train(start(), 4, data, settings=TrainSettings(ema=ema, draws=2, sampling_rate=0.5))
        for ema in (0.0, 0.99)
    ]
    assert isinstance(states[0], dpsgd.TrainingState)
    for name, weights in states[0].weights.items():
        assert np.array_equal(weights, states[1].weights[name])
        assert np.array_equal(states[0].average[name], weights)
    assert any(
        not np.array_equal(average, states[1].weights[name])
        for name, average in states[1].average.items()
    )


def test_a_ledger_serves_one_adjacency(tmp_path: Path) -> None:
    """Begun under add-or-remove, a run cannot go on under another adjacency, or the reverse."""
    for before, after in (("add-or-remove", "zero-out"), ("replace", "add-or-remove")):
        folder = tmp_path / before
        set_up(folder, "answers-only", f"privacy.adjacency={before}")
        with pytest.raises(LedgerMismatch, match="opened for another plan"):
            set_up(folder, "answers-only", f"privacy.adjacency={after}")


def test_a_stopped_clock_repeats_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under one and the same second, process and global seeds, every secret is another."""
    monkeypatch.setattr("time.time", lambda: 0.0)
    monkeypatch.setattr("time.time_ns", lambda: 0)
    monkeypatch.setattr("os.getpid", lambda: 1)
    roots = []
    for _ in range(8):
        np.random.seed(1)
        roots.append(keys.fresh().root)
    assert len(set(roots)) == 8
