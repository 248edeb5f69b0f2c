# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.latency import main, random_architecture
from benchmarks.report import section
from offline_search.space.search_space import load_space


def test_networks_are_drawn_from_the_space_with_layers_of_several_operators() -> None:
    space = load_space("small")
    drawn = [random_architecture(space, np.random.default_rng(seed)) for seed in range(20)]
    assert all(space.architecture(space.point(network), 16) == network for network in drawn)
    counts = {len(names) for network in drawn for s in network.stages for names in s.layers}
    assert counts == {1, 2, 3}


def test_the_figures_reach_the_page_of_results(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "latency.json"
    command = ["--space", "tiny", "--networks", "3", "--out", str(out)]
    main(command)
    rows = json.loads(out.read_text())
    (row,) = rows
    assert row["networks"] == len(row["points"]) == 3
    assert all(0.3 < point["predicted_ms"] / point["measured_ms"] < 3 for point in row["points"])
    # What is printed and what is kept are rounded each by itself.
    printed = float(capsys.readouterr().out.split("median ratio ")[1].split()[0])
    assert printed == pytest.approx(row["median_ratio"], abs=0.006)
    page = section("latency", rows)
    assert "| tiny | 3 |" in page
    assert "python benchmarks/latency.py --space tiny --networks 3" in page
