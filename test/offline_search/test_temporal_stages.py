# SPDX-License-Identifier: Apache-2.0
"""A temporal cell through the one pipeline: search, training, report, command."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from offline_search.cli import app
from offline_search.export import network_entry
from offline_search.search import SearchRequest, known, problem_of, search
from offline_search.space import Architecture, cost
from offline_search.strategies.problem import SearchError
from offline_search.training.loop import load_result

sys.path.insert(0, str(Path(__file__).parent / "training"))
from filmed_world import BUDGET, LITTLE, trained

SETTINGS = {"batch": 8, "layers": 32, "workers": 0, "validation": 8, "sigma_px": 3.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("seed") / "single")


def request(folder: Path | None) -> SearchRequest:
    return SearchRequest(
        objects=("spot",),
        budget=BUDGET,
        space="temporal",
        strategy="temporal",
        images=32,
        retrain_images=16,
        ranking=0,
        seed_network=None if folder is None else str(folder),
        settings={**SETTINGS, "device": "cpu"},
    )


def test_a_cell_is_found_trained_and_reported(
    tmp_path: Path, folder: Path, layer_cache: Path
) -> None:
    out = tmp_path / "out"
    result = search(request(folder), out, cache=layer_cache)
    assert result["within_budget"] is True
    found = Architecture.from_json(result["architecture"])
    assert result["macs"] == cost(found).macs <= BUDGET
    page = (out / "report.html").read_text()
    assert "lag 8" in page
    assert "cell" in page
    # what remains is as any other training leaves it
    left = load_result(out / "retrain")
    assert left.network.architecture == found
    assert found.cell is not None
    assert network_entry(left, "pose.onnx")["memory"] == {
        "lags": list(found.cell.lags),
        "channels": 12,
        "size": [4, 4],
        "stride": 8,
        "fps": 30.0,
    }


def test_a_search_without_a_trained_network_or_by_time_is_refused(
    folder: Path, layer_cache: Path
) -> None:
    with pytest.raises(SearchError, match="--seed-network"):
        problem_of(request(None), layer_cache)
    with pytest.raises(SearchError, match="temporal cells are searched for a budget of MACs"):
        problem_of(replace(request(folder), unit="ms"), layer_cache)
    assert any(space["name"] == "temporal" for space in known()["spaces"])


def test_the_command_trains_a_whole_network_on_films_and_a_cell_on_nothing_else(
    tmp_path: Path, folder: Path, layer_cache: Path
) -> None:
    place = tmp_path / "architecture.json"
    place.write_text(json.dumps(LITTLE.to_json()))
    common = ["--images", "8", "--layers", "32", "--workers", "0", "--cache", str(layer_cache)]
    asked = [
        "retrain",
        "--architecture",
        str(place),
        "--settings",
        json.dumps({"batch": 8, "validation": 8}),
    ]
    done = CliRunner().invoke(
        app, [*asked, "--data", "films", "--out", str(tmp_path / "a"), *common]
    )
    assert done.exit_code == 0, done.output
    assert np.isfinite(json.loads(done.stdout.splitlines()[-1])["minutes"])
    cell = {"edges": [{"lag": 1, "operators": ["t_dw3"]}], "fps": 30.0}
    place.write_text(json.dumps({**LITTLE.to_json(), "cell": cell}))
    refused = CliRunner().invoke(
        app, [*asked, "--seed-network", str(folder), "--out", str(tmp_path / "b"), *common]
    )
    assert refused.exit_code == 2
    assert "--data films" in refused.output
