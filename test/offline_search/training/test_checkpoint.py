# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import resource
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

from offline_search.training.checkpoint import load_checkpoint, save_checkpoint, write_atomic
from offline_search.training.config import TrainingError

ROOT = Path(__file__).parents[3]


def test_tensors_and_scalars_come_back_bit_for_bit(tmp_path: Path) -> None:
    tensors = {
        "a.weight": torch.randn(3, 4, 5, 5).contiguous(memory_format=torch.channels_last),
        "b": torch.tensor(7),
        "rng": torch.get_rng_state(),
    }
    save_checkpoint(tmp_path / "c.safetensors", tensors, {"step": 3, "nested": {"x": [1.5]}})
    back, scalars = load_checkpoint(tmp_path / "c.safetensors")
    assert scalars == {"step": 3, "nested": {"x": [1.5]}}
    assert back.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(back[name], tensor)
        assert back[name].dtype == tensor.dtype


def test_no_pickle_is_written(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c.safetensors", {"a": torch.zeros(2)}, {})
    content = (tmp_path / "c.safetensors").read_bytes()
    header = int.from_bytes(content[:8], "little")
    assert content[8:9] == b"{"
    assert len(content) == 8 + header + 8


@pytest.mark.parametrize("damage", ["truncate", "empty", "garbage"])
def test_a_damaged_checkpoint_is_refused_naming_the_file(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, {"a": torch.zeros(100)}, {"step": 1})
    content = path.read_bytes()
    path.write_bytes({"truncate": content[:-30], "empty": b"", "garbage": b"x" * 500}[damage])
    with pytest.raises(TrainingError, match=r"c\.safetensors is not a checkpoint"):
        load_checkpoint(path)


def test_a_safetensors_file_of_something_else_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(TrainingError, match="not a checkpoint"):
        load_checkpoint(tmp_path / "other.safetensors")


def test_a_full_disk_is_one_clear_error_and_the_old_file_stays(tmp_path: Path) -> None:
    """A real write that fails half-way: the process may write 64 KiB a file and no more."""
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, {"a": torch.zeros(10)}, {"step": 1})
    before = path.read_bytes()
    script = textwrap.dedent(
        """
        import resource, sys, torch
        from pathlib import Path
        from offline_search.training.checkpoint import save_checkpoint
        from offline_search.training.config import TrainingError
        resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
        try:
            save_checkpoint(Path(sys.argv[1]), {"a": torch.zeros(100_000)}, {"step": 2})
        except TrainingError as error:
            print(error)
            sys.exit(2)
        """
    )
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2, done.stderr
    assert len(done.stdout.splitlines()) == 1
    assert "disk is full" in done.stdout
    assert "make room" in done.stdout
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["c.safetensors"]


def test_a_folder_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="cannot write"):
        write_atomic(tmp_path / "missing" / "file", b"x")
