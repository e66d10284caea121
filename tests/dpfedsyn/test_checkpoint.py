"""Checkpoints: read back as written, refused where a byte has changed, and never code."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors import numpy as tensors
from safetensors.torch import save_file

from dpfedsyn import checkpoint
from dpfedsyn.errors import RunError

ARRAYS = {"step": np.array(7), "x": np.arange(6.0).reshape(2, 3), "kept": np.array([True, False])}
KINDS = st.sampled_from(["<f4", "<f8", "<i8", "|u1", "|b1"])


@given(
    arrays=st.dictionaries(
        st.text(min_size=1, max_size=8).filter(lambda name: name != "__metadata__"),
        hnp.arrays(KINDS, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)),
        max_size=4,
    )
)
def test_arrays_come_back_bit_for_bit(
    arrays: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Names, types, shapes and bytes; scalars and empty arrays too, and what was transposed."""
    path = tmp_path_factory.mktemp("c") / "a.safetensors"
    turned = {name: array.T for name, array in arrays.items()}
    checkpoint.save(path, turned)
    found = checkpoint.load(path)
    assert found is not None
    assert found.keys() == turned.keys()
    for name, array in turned.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()
        assert found[name].flags.writeable


def test_a_file_is_json_and_numbers(tmp_path: Path) -> None:
    """The header is JSON and names the arrays; the owner alone may read it."""
    path = tmp_path / "a.safetensors"
    checkpoint.save(path, ARRAYS)
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    assert header["__metadata__"] == {
        "format": checkpoint.FORMAT,
        "sha256": checkpoint.digest(ARRAYS),
    }
    assert header.keys() - {"__metadata__"} == ARRAYS.keys()
    assert path.stat().st_mode & 0o077 == 0
    assert not path.with_name("a.safetensors.part").exists()


def test_a_flipped_bit_or_a_cut_end_anywhere_is_damage(tmp_path: Path) -> None:
    """In the header, in the numbers, or at the end: the reader names the file and the mend."""
    path = tmp_path / "a.safetensors"
    checkpoint.save(path, ARRAYS)
    content = path.read_bytes()
    damaged = [content[:cut] for cut in (0, 5, len(content) // 2, len(content) - 1)]
    for place in (10, len(content) // 2, len(content) - 20, len(content) - 1):
        flipped = bytearray(content)
        flipped[place] ^= 1
        damaged.append(bytes(flipped))
    for bad in damaged:
        path.write_bytes(bad)
        with pytest.raises(RunError, match=r"a\.safetensors: this checkpoint is damaged"):
            checkpoint.load(path)


def test_another_program_s_arrays_are_no_checkpoint(tmp_path: Path) -> None:
    """Sound safetensors without our header, and an archive of the format that was, are refused."""
    buffer = io.BytesIO()
    np.savez(buffer, **ARRAYS)
    for content in (tensors.save(ARRAYS), buffer.getvalue()):
        (tmp_path / "a.safetensors").write_bytes(content)
        with pytest.raises(RunError, match="damaged"):
            checkpoint.load(tmp_path / "a.safetensors")
    assert checkpoint.load(tmp_path / "none.safetensors") is None


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float8_e4m3fn])
@pytest.mark.parametrize("header", [{}, {"format": checkpoint.FORMAT}])
def test_numbers_that_numpy_lacks_are_no_checkpoint(
    kind: torch.dtype, header: dict[str, str], tmp_path: Path
) -> None:
    """Brought weights given as ours, whatever their header says."""
    path = tmp_path / "a.safetensors"
    save_file({"weight": torch.zeros(2).to(kind)}, path, header)
    with pytest.raises(RunError, match="damaged .its format is None" if not header else "damaged"):
        checkpoint.load(path)
