"""What may be wrong with a module or its weights is found before it answers, and said in a line."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from dpfedsyn import brought
from dpfedsyn.brought import network_weights, trial
from dpfedsyn.brought.coordinates import Coordinates
from dpfedsyn.brought.levels import of_scheduler
from dpfedsyn.brought.model import BroughtModel
from dpfedsyn.domain import Encoder, encoder
from dpfedsyn.errors import ModelError
from tests.dpfedsyn import brought as made
from tests.dpfedsyn import odd_modules

CPU = torch.device("cpu")
WEIGHTS = odd_modules.Plain().state_dict()


@pytest.fixture(scope="module")
def points(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    """Records of four coordinates and two labels."""
    columns = "".join(f'[columns.c{i}]\nkind = "numeric"\nbounds = [0, 1]\n' for i in range(4))
    path = tmp_path_factory.mktemp("schema") / "schema.toml"
    path.write_text(
        'name = "points"\n[target]\ncolumn = "kind"\nvalues = ["a", "b"]\nlabels = ["a", "b"]\n'
        + columns
    )
    return encoder(path)


def read(folder: Path, points: Encoder, name: str = "Plain", **changes: Any) -> BroughtModel:
    """Read a module of `odd_modules` with the weights that lie there, or those of `Plain`."""
    tensors = changes.pop("tensors", WEIGHTS)
    content = {"shape": [4], "module": f"tests.dpfedsyn.odd_modules:{name}"} | changes
    path = made.declared(folder, **content)
    save_file(tensors, folder / "weights.safetensors")
    return brought.read(path, points, CPU)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Tuples", "t = 0, its module returns a tuple, no tensor"),
        ("Complex", "returns complex64 numbers"),
        ("Whole", "returns int64 numbers"),
        ("Undefined", "returns 12 of 20 values that are not finite"),
        ("Unbounded", "t = 999, its module returns 20 of 20 values that are not finite"),
        ("FewSteps", "t = 999, its module fails .IndexError"),
        ("FewLabels", "t = 0, its module fails .IndexError"),
        ("FewRows", r"with samples \(5, 4\) and 5 steps t = 0, its module fails .RuntimeError"),
        ("Exiting", "its module fails .SystemExit: 3"),
        ("Deaf", "the module holds other numbers in gain"),
        ("Failing", "cannot be set in the module .OSError: no disk"),
        ("Unprepared", "cannot be prepared for cpu .RuntimeError: always training"),
        ("Stateful", "missing: _extra_state; no tensor in the module: _extra_state"),
        ("Fourier", "non-persistent buffers frequencies are others each time"),
        ("once", "non-persistent buffers table, shared are others each time"),
        ("one", "share gain, count, so that the weights of two silos would be one"),
        ("half_shared", "share gain, so"),
        ("lazy", "lazy, without shapes"),
        ("meta", "on the meta device, without numbers"),
        ("leaving", "cannot be imported and called here .SystemExit: no licence"),
        ("silent", r"called here \(RuntimeError\); nothing"),
        ("verbose", r"called here \(ValueError: first line x{189}\); nothing"),
    ],
)
def test_a_module_that_cannot_answer_is_refused_when_it_is_loaded(
    name: str, words: str, tmp_path: Path, points: Encoder
) -> None:
    """Before a row of anybody's is asked about; the message names the file and the fact."""
    tensors = {name: value + 1 for name, value in WEIGHTS.items()}
    with pytest.raises(ModelError, match=words) as refused:
        read(tmp_path, points, name, tensors=tensors)
    assert "nothing was loaded" in str(refused.value)
    assert str(tmp_path) in str(refused.value)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_compiled_module_is_refused(tmp_path: Path, points: Encoder) -> None:
    """Its code cannot be seen, and torch refuses to set what is set in others."""
    with pytest.raises(ModelError, match=r"compiled by torch\.jit"):
        read(tmp_path, points, "compiled")


def test_a_table_of_the_code_s_own_is_allowed(tmp_path: Path, points: Encoder) -> None:
    """Buffers outside of the state, the same each time; nothing sets them, so they may be one."""
    model = read(tmp_path, points, "Tabled")
    assert torch.equal(model.module.get_buffer("table"), torch.arange(4.0))


def test_chance_that_the_file_keeps_is_the_file_s(tmp_path: Path, points: Encoder) -> None:
    """Persistent buffers may be drawn anew in each module: what is loaded replaces them."""
    tensors = WEIGHTS | {"frequencies": torch.arange(4.0)}
    model = read(tmp_path, points, "Drawn", tensors=tensors)
    assert torch.equal(model.module.get_buffer("frequencies"), torch.arange(4.0))


def test_a_brought_module_answers_as_in_evaluation(tmp_path: Path, points: Encoder) -> None:
    """No dropout, no gradients."""
    model = read(tmp_path, points, "Dropped")
    assert not any(part.training for part in model.module.modules())
    assert not any(p.requires_grad for p in model.module.parameters())
    x = np.random.default_rng(1).normal(size=(50, 4))
    found = model.predict_noise(x, 0.5, np.zeros(50, dtype=np.int64))
    assert np.allclose(found, 0.5 * x, atol=1e-6)


def test_what_is_tried_is_the_same_each_time_and_every_row_another() -> None:
    """At the first and the last step, with the first and the last label, on no zeros."""
    seen = []

    def call(module: Any, samples: Any, steps: Any, labels: Any) -> Any:
        seen.append((samples, steps.tolist(), labels.tolist()))
        return samples

    levels = of_scheduler({"num_train_timesteps": 30}, "here")
    model = BroughtModel(torch.nn.Identity(), call, levels, Coordinates((2, 3)), "", CPU)
    assert trial.passed(model, 9, "here") is model
    trial.passed(model, 9, "here")
    assert [steps for _, steps, _ in seen] == [[0] * 5, [29] * 5] * 2
    assert all(labels == [0, 1, 2, 3, 8] for _, _, labels in seen)
    assert len({samples.numpy().tobytes() for samples, _, _ in seen}) == 1
    (rows, _, _), *_ = seen
    assert rows.dtype == torch.float32
    assert len(torch.unique(rows)) == rows.numel() == 30
    assert float(rows.abs().max()) <= 1.0
    seen.clear()
    one = replace(model, levels=of_scheduler({"num_train_timesteps": 1}, "here"))
    trial.passed(one, 1, "here")
    assert [(steps, labels) for _, steps, labels in seen] == [([0] * 5, [0] * 5)]


@given(
    st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64]),
    st.floats(-1e4, 1e4),
)
def test_floating_point_numbers_are_rounded_to_the_module_s_own_type(
    kind: torch.dtype, value: float
) -> None:
    """Of any type; the module then holds what torch rounds them to, to the bit."""
    module, given_ = odd_modules.Plain(), torch.tensor(value, dtype=kind)
    network_weights.put(module, {"gain": given_, "count": torch.tensor(4)}, Path("here"))
    assert network_weights.same_bits(module.gain.detach(), given_.to(torch.float32))
    assert int(module.get_buffer("count")) == 4


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"gain": torch.tensor(1e300, dtype=torch.float64)},
         r"gain \(float64 as float32\) holds values that are not finite"),
        ({"gain": torch.tensor(torch.inf)}, "gain holds values that are not finite"),
        ({"gain": torch.tensor(torch.nan).to(torch.float8_e4m3fn)},
         r"gain \(float8_e4m3fn as float32\) holds values"),
        ({"gain": torch.tensor(1.0 + 2.0j)}, "wrong kind: gain complex64, not float32"),
        ({"gain": torch.tensor(1)}, "wrong kind: gain int64, not float32"),
        ({"count": torch.tensor(1.0)}, "wrong kind: count float32, not int64"),
        ({"count": torch.tensor(1, dtype=torch.int8)}, "wrong kind: count int8, not int64"),
    ],
)  # fmt: skip
def test_numbers_that_are_none_in_the_module_are_refused(
    change: dict[str, torch.Tensor], words: str, tmp_path: Path, points: Encoder
) -> None:
    """Of another kind, or finite in the file alone."""
    with pytest.raises(ModelError, match=words):
        read(tmp_path, points, tensors=WEIGHTS | change)


def test_bits_are_compared_and_not_values() -> None:
    """Zeros of either sign differ, NaNs of the same bits do not; nor do types or shapes agree."""
    zero, nan = torch.tensor([0.0, 1.0]), torch.tensor([torch.nan])
    assert network_weights.same_bits(nan, nan.clone())
    assert network_weights.same_bits(zero, zero.repeat(2)[2:])
    assert not network_weights.same_bits(zero, torch.tensor([-0.0, 1.0]))
    assert not network_weights.same_bits(zero, zero.reshape(2, 1))
    assert not network_weights.same_bits(torch.tensor([0]), torch.tensor([0.0, 0.0]))
    assert not network_weights.same_bits(torch.zeros(1), torch.zeros(1, dtype=torch.int32))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"weights": ""}, "`weights` = '' is not the name of a file"),
        ({"weights": ".."}, "`weights` = '..' is not the name of a file"),
        ({"weights": "a\0b"}, "is not the name of a file"),
        ({"weights": "\ud800"}, "is not the name of a file"),
        ({"weights": 3}, "is not the name of a file"),
        ({"modul": "a:b"}, "`modul` is unknown; did you mean `module`"),
        ({"schedule": {"beta_shedule": "linear"}},
         r"`schedule\.beta_shedule` is unknown; did you mean `beta_schedule`"),
        ({"schedule": {"q": 1}}, r"`schedule\.q` is unknown; known are .*trained_betas"),
        ({"schedule": {"beta_schedule": ["linear"]}}, "beta_schedule = .'linear'. is not under"),
        ({"schedule": {"beta_schedule": {}}}, "beta_schedule = {} is not understood"),
        ({"range": [-1, 1]}, "`range` is of pictures, and `shape` declares vectors"),
        ({"range": [0, 10**400]}, r"`range` = \[0, 10{75}\.\.\. is not \[black, white\]"),
        ({"range": [-(10**400), 0]}, "`range` = .* is not"),
        ({"range": [0, float("inf")]}, r"`range` = \[0, inf\] is not"),
        ({"range": [float("nan"), 1]}, "`range` = .* is not"),
        ({"range": [0, 1e-320]}, "`range` = .*0.001 or more apart"),
        ({"range": [1, 0]}, "`range` = .* is not"),
        ({"range": [0, True]}, "`range` = .* is not"),
        ({"range": [0, 1, 2]}, "`range` = .* is not"),
        ({"range": 5}, "`range` = 5 is not"),
        ({"shape": [1, 8]}, "`shape` = .* is not"),
        ({"shape": [True]}, "`shape` = .* is not"),
        ({"shape": 4}, "`shape` = 4 is not"),
        ({"labels": 1}, "`labels` = 1 is not true or false"),
        ({"module": "a:b:c"}, "`module` = 'a:b:c' is not"),
        ({"module": "a b:c"}, "`module` = 'a b:c' is not"),
        ({"module": 3}, "`module` = 3 is not"),
    ],
)  # fmt: skip
def test_what_a_declaration_cannot_mean_is_refused_by_its_key(
    changes: dict[str, Any], words: str, tmp_path: Path, points: Encoder
) -> None:
    """Before a file is opened or a module imported, each value with what it has to be."""
    with pytest.raises(ModelError, match=words) as refused:
        read(tmp_path, points, **changes)
    assert "model.json" in str(refused.value)
    assert "nothing was loaded" in str(refused.value)


@pytest.mark.parametrize(
    ("ends", "good"),
    [((0, 255), True), ((-1e6, 1e6), True), ((0, 0.001), True),
     ((0, 1e6 + 1), False), ((-1e6 - 1, 0), False), ((0, 0.0009), False)],
)  # fmt: skip
def test_a_range_of_pictures_has_bounds(
    ends: tuple[float, float], good: bool, tmp_path: Path
) -> None:
    """Up to its bounds it is the map's; beyond them it is refused."""
    path = made.declared(
        tmp_path, [1, 8, 8], module="tests.dpfedsyn.brought:Unlabelled", range=list(ends)
    )
    if not good:
        with pytest.raises(ModelError, match="`range` = "):
            brought.read(path, made.UNLABELLED, CPU)
        return
    there = brought.read(path, made.UNLABELLED, CPU).coordinates
    assert there.ratio == pytest.approx(2.0 / (ends[1] - ends[0]))
    assert there.offset == pytest.approx((ends[0] + ends[1]) / 2, abs=1e-9)


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"[" * 100_000, "it is nested too deeply"), (b"[]", "it is no JSON object"),
     (b"\xff\xfe{}", "utf-8"), (b'{"a": ' + b"1" * 5000 + b"}", "digits")],
)  # fmt: skip
def test_a_file_that_is_no_object_is_refused(
    content: bytes, words: str, tmp_path: Path, points: Encoder
) -> None:
    """However it is broken, in one line."""
    (tmp_path / "model.json").write_bytes(content)
    with pytest.raises(ModelError, match=f"cannot be read .*{words}.* Give a JSON file"):
        brought.read(tmp_path / "model.json", points, CPU)


def test_a_path_that_no_file_can_have_and_a_folder_are_no_weights(tmp_path: Path) -> None:
    """Nor what safetensors does not know."""
    with pytest.raises(ModelError, match=r"cannot be read \(embedded null byte"):
        network_weights.read(tmp_path / "a\0b")
    with pytest.raises(ModelError, match=r"cannot be read \(Is a directory"):
        network_weights.read(tmp_path)
    header = json.dumps({"a": {"dtype": "Q9", "shape": [1], "data_offsets": [0, 4]}}).encode()
    path = tmp_path / "odd.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    with pytest.raises(ModelError, match="is damaged, or no safetensors file"):
        network_weights.read(path)


def test_what_its_own_code_holds_fixed_is_noted(tmp_path: Path, points: Encoder) -> None:
    """Before the model is frozen for its answers, in which nothing has a gradient."""
    found = read(tmp_path, points, "Held", tensors=odd_modules.Held().state_dict())
    assert found.fixed == {"gain"}
    assert not any(p.requires_grad for p in found.module.parameters())
    assert read(tmp_path, points).fixed == frozenset()
