# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from offline_search.training.journal import read_metrics

PATH = Path(__file__).parents[2] / "benchmarks" / "distributed.py"


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("distributed_benchmark", PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_a_run_tells_how_fast_it_trained(benchmark, tmp_path, monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert benchmark.main(["--train", str(tmp_path), "--steps", "2", "--batch", "2"]) == 0
    (row,) = read_metrics(tmp_path, "train")
    assert row["images_per_s"] > 0
    assert row["step"] == 2
