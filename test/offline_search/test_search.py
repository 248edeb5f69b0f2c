# SPDX-License-Identifier: Apache-2.0
"""The command end to end on renders of the built-in object, in processes that are killed."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from offline_search.cli import app
from offline_search.rendering import render_layers
from offline_search.search import SearchRequest, layer_stores, problem_of, search
from offline_search.search_stages import OUTCOME_FILE, parse_macs, parse_milliseconds
from offline_search.space import Architecture, ArchitectureError, cost
from offline_search.space.search_space import load_space
from offline_search.strategies.problem import SearchError
from offline_search.strategies.registry import strategies
from offline_search.training.checkpoint import load_checkpoint
from offline_search.training.config import TrainingError
from offline_search.training.journal import METRICS_FILE, read_metrics

sys.path.insert(0, str(Path(__file__).parent))
from forked import command, start

ROOT = Path(__file__).parents[2]
KILLS = 20
BUDGET = 2.2e6
REQUEST = SearchRequest(
    objects=("spot",),
    budget=BUDGET,
    space="tiny",
    images=200,
    retrain_images=0,
    ranking=0,
    settings={
        "layers": 8,
        "device": "cpu",
        "workers": 0,
        "batch": 4,
        "checkpoint_images": 8,
        "validation": 4,
    },
)
# What takes another time, or is of another folder, whenever a search is run.
VARYING = ("minutes", "peak_rss_mb", "command", "machine")


@pytest.fixture(scope="module")
def cache(layer_cache: Path) -> Path:
    """With all that the searches here show, so that no moment of theirs goes into rendering."""
    render_layers(layer_stores(problem_of(REQUEST, layer_cache)), jobs=2)
    return layer_cache


def started(out: Path, cache: Path) -> BaseProcess:
    """The command line of `REQUEST` in a process of its own."""
    settings = dict(REQUEST.settings)
    layers = settings.pop("layers")
    arguments = [
        *("search", "--object", "spot", "--space", "tiny", "--budget", "2.2M"),
        *("--images", str(REQUEST.images), "--retrain-images", "0", "--ranking", "0"),
        *("--layers", str(layers), "--workers", "0", "--cache", str(cache)),
        *("--settings", json.dumps(settings), "--out", str(out)),
    ]
    return start(command, *arguments, log=out.with_suffix(".log"))


def wait_until(condition: Callable[[], bool], process: BaseProcess) -> None:
    """Until the condition holds or the process has ended."""
    deadline = time.monotonic() + 200
    while not condition() and process.is_alive():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def journal(out: Path) -> int | None:
    """Changes when a process begins to search: it writes the journal's file anew."""
    path = out / "search" / METRICS_FILE
    return path.stat().st_ino if path.exists() else None


def has_begun(out: Path, before: int | None) -> bool:
    return journal(out) != before


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> tuple[Path, float, float]:
    """Folder of an uninterrupted search; seconds until it began to search, and from then on."""
    out = tmp_path_factory.mktemp("search") / "whole"
    first = started(out.with_name("first"), cache)  # pays for the start of what all are forked from
    first.kill()
    began = time.monotonic()
    process = started(out, cache)
    wait_until(lambda: journal(out) is not None, process)
    searching = time.monotonic()
    process.join()
    assert process.exitcode == 0, out.with_suffix(".log").read_text()[-2000:]
    return out, searching - began, time.monotonic() - searching


def read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text())
    return document


def request_of(out: Path) -> SearchRequest:
    """What the command line has made of `REQUEST`."""
    held = read(out / "request.json")
    return SearchRequest(**{**held, "objects": tuple(held["objects"])})


def assert_same(a: Path, b: Path) -> None:
    """Everything that two searches leave, but for what says how long they took."""
    for name in ("architecture.json", "request.json", "search/gates.json"):
        assert (a / name).read_bytes() == (b / name).read_bytes(), name
    results = [read(out / "search.json") for out in (a, b)]
    for result in results:
        for name in VARYING:
            del result[name]
    assert results[0] == results[1]
    states = [load_checkpoint(out / "search" / "checkpoint.safetensors") for out in (a, b)]
    assert states[0][0].keys() == states[1][0].keys()
    assert all(torch.equal(states[0][0][name], states[1][0][name]) for name in states[0][0])
    assert states[0][1]["state"] == states[1][1]["state"]
    stories = [
        [{k: v for k, v in row.items() if k != "minutes"} for row in read_metrics(out, "search")]
        for out in (a / "search", b / "search")
    ]
    assert stories[0] == stories[1]


def test_a_search_leaves_a_network_within_the_budget(whole: tuple[Path, float, float]) -> None:
    out = whole[0]
    result, document = read(out / "search.json"), read(out / "architecture.json")
    network = Architecture.from_json(document["architecture"])
    assert load_space("tiny").point(network)
    assert document["macs"] == result["macs"] == result["cost"] == cost(network).macs
    assert 0.95 * BUDGET <= document["macs"] <= BUDGET
    assert result["within_budget"] is True
    assert result["why"] == ""
    assert result["architecture"] == document["architecture"]
    assert result["budget"] == {"amount": BUDGET, "unit": "MACs", "low": 0.95}
    assert (result["object"], result["space"], result["strategy"]) == ("spot", "tiny", "fpg")
    assert result["layers"] == 4
    assert result["ranking"] is None
    assert result["metrics"] is None
    request = request_of(out)
    assert REQUEST.settings.items() <= request.settings.items()
    assert replace(request, settings=REQUEST.settings) == REQUEST
    assert "<html" in (out / "report.html").read_text()
    assert list((out / "search" / "tensorboard").iterdir())


def test_killed_at_random_moments_it_ends_as_if_it_had_not_been(
    tmp_path: Path, cache: Path, whole: tuple[Path, float, float]
) -> None:
    reference, starting, searching = whole
    rng = random.Random(0)
    out, ended, steps = tmp_path / "0", 0, []
    for kill in range(KILLS):
        begun = partial(has_begun, out, journal(out))
        process = started(out, cache)
        if kill % 4:
            wait_until(begun, process)
            process.join(rng.uniform(0.0, searching / 5))
        else:
            process.join(rng.uniform(0.0, starting + searching / 5))
        process.kill()
        process.join()
        if process.exitcode == 0:
            assert_same(out, reference)
            ended += 1
            out = tmp_path / str(ended)
            continue
        assert process.exitcode == -signal.SIGKILL, out.with_suffix(".log").read_text()[-2000:]
        checkpoint = out / "search" / "checkpoint.safetensors"
        steps.append(load_checkpoint(checkpoint)[1]["course"]["step"] if checkpoint.exists() else 0)
    process = started(out, cache)
    process.join()
    assert process.exitcode == 0, out.with_suffix(".log").read_text()[-2000:]
    assert_same(out, reference)
    assert len(steps) + ended == KILLS
    assert len(set(steps)) > 3, "the kills did not fall into the search"


def test_a_stop_signal_saves_and_ends(
    tmp_path: Path, cache: Path, whole: tuple[Path, float, float]
) -> None:
    out = tmp_path / "out"
    process = started(out, cache)
    wait_until((out / "search" / "checkpoint.safetensors").exists, process)
    assert process.pid is not None
    process.terminate()
    process.join()
    assert process.exitcode == 130
    assert "run the same command again" in out.with_suffix(".log").read_text()
    assert not (out / "search" / OUTCOME_FILE).exists()
    again = started(out, cache)
    again.join()
    assert again.exitcode == 0
    assert_same(out, whole[0])


def test_a_finished_search_is_not_repeated(
    tmp_path: Path, cache: Path, whole: tuple[Path, float, float]
) -> None:
    out = tmp_path / "out"
    shutil.copytree(whole[0], out)
    before = (out / "search" / OUTCOME_FILE).stat().st_mtime_ns
    search(request_of(out), out, cache=cache)
    assert (out / "search" / OUTCOME_FILE).stat().st_mtime_ns == before
    assert_same(out, whole[0])


def test_another_request_in_the_same_folder_is_refused_naming_what_differs(
    cache: Path, whole: tuple[Path, float, float]
) -> None:
    held = {path: path.read_bytes() for path in whole[0].glob("*.json")}
    request = request_of(whole[0])
    for other, named in (
        (replace(request, seed=1), "seed"),
        (replace(request, budget=2e6, strategy="random"), "budget, strategy"),
        (replace(request, settings={**request.settings, "batch": 8}), "settings"),
    ):
        with pytest.raises(SearchError, match=f"another {named}; choose another --out"):
            search(other, whole[0], cache=cache)
    assert {path: path.read_bytes() for path in held} == held


def test_damaged_files_are_named_with_what_to_do(
    tmp_path: Path, cache: Path, whole: tuple[Path, float, float]
) -> None:
    out = tmp_path / "out"
    shutil.copytree(whole[0], out)
    request = request_of(out)
    outcome, checkpoint = out / "search" / OUTCOME_FILE, out / "search" / "checkpoint.safetensors"
    for damaged in (outcome.read_text()[:-40], "{}", "[]"):
        outcome.write_text(damaged)
        with pytest.raises(SearchError, match=rf"{OUTCOME_FILE} is damaged .*delete it"):
            search(request, out, cache=cache)
    outcome.unlink()
    search(request, out, cache=cache)
    assert_same(out, whole[0])
    outcome.unlink()
    checkpoint.write_bytes(checkpoint.read_bytes()[:-100])
    with pytest.raises(TrainingError, match=r"checkpoint\.safetensors .*delete it"):
        search(request, out, cache=cache)
    (out / "request.json").write_text("{")
    with pytest.raises(SearchError, match=r"request\.json is damaged .*delete"):
        search(request, out, cache=cache)


def test_rivals_are_ranked_and_the_found_network_is_trained_from_scratch(
    tmp_path: Path, cache: Path
) -> None:
    request = replace(
        REQUEST,
        strategy="random",
        strategy_settings={"trials": 2},
        images=16,
        retrain_images=16,
        ranking=2,
        ranking_images=8,
    )
    result = search(request, tmp_path, cache=cache, command="fpg-pose search --here")
    assert read(tmp_path / "search.json") == result
    assert result["command"] == "fpg-pose search --here"
    ranking = result["ranking"]
    assert ranking["kendall_tau"] in (-1.0, 1.0)
    assert len(ranking["candidates"]) == 2
    first = ranking["candidates"][0]
    assert first["architecture"] == result["architecture"]
    assert first["macs"] == result["macs"]
    assert first["estimate"] == result["estimate"]
    assert result["images"]["retrain"] == 16
    assert 0 <= result["metrics"]["add01"] <= 1
    assert all(result["minutes"][part] > 0 for part in ("search", "ranking", "retrain"))
    trained = read(tmp_path / "retrain" / "architecture.json")
    assert trained["architecture"] == result["architecture"]


@pytest.mark.parametrize(
    ("changes", "error", "named"),
    [
        ({"space": "huge"}, ArchitectureError, "unknown search space huge"),
        ({"strategy": "luck"}, SearchError, "unknown strategy 'luck'"),
        ({"strategy_settings": {"colour": "red"}}, SearchError, "colour"),
        ({"settings": {"colour": "red"}}, TrainingError, "colour"),
        ({"budget": 5e5}, SearchError, "raise the budget"),
        ({"budget": 5e8}, SearchError, "lower the budget"),
    ],
)
def test_what_cannot_be_searched_is_told_before_anything_is_done(
    tmp_path: Path, changes: dict[str, Any], error: type[Exception], named: str
) -> None:
    with pytest.raises(error, match=named):
        search(replace(REQUEST, **changes), tmp_path / "out", cache=tmp_path / "cache")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "macs"),
    [
        ("30M", 30e6),
        ("0.03G", 30e6),
        ("30000000", 30e6),
        ("30", 30e6),
        ("2.5", 2.5e6),
        (" 900k ", 900e3),
        ("9999", 9999e6),
        ("10000", 10000.0),
    ],
)
def test_budgets_are_read_with_and_without_units(text: str, macs: float) -> None:
    assert parse_macs(text) == pytest.approx(macs)


def test_fabrics_of_the_objects_parts_are_found_trained_and_reported(
    tmp_path: Path, cache: Path
) -> None:
    request = replace(
        REQUEST,
        space="fabric_tiny",
        strategy="posenfs",
        budget=5.8e6,
        images=16,
        retrain_images=8,
    )
    result = search(request, tmp_path / "out", cache=cache)
    assert result["within_budget"] is True
    assert result["macs"] == cost(Architecture.from_json(result["architecture"])).macs
    parts = problem_of(request, cache).task.model.parts
    assert {name: tuple(points) for name, points in result["parts"].items()} == parts
    page = (tmp_path / "out" / "report.html").read_text()
    assert all(f"cells for {name}" in page for name in parts)
    assert "share over an even one" in page
    with pytest.raises(SearchError, match="give --budget"):
        problem_of(replace(request, unit="ms"), cache)


@pytest.mark.parametrize("text", ["", "M", "-3M", "0", "nan", "inf", "30 apples", "30m"])
def test_what_is_no_budget_is_refused(text: str) -> None:
    with pytest.raises(SearchError, match="such as 30M"):
        parse_macs(text)


def test_latencies_are_read_with_and_without_their_unit() -> None:
    assert parse_milliseconds("8ms") == parse_milliseconds(" 8 ") == 8.0
    for text in ("", "ms", "0ms", "-1", "8s", "nan"):
        with pytest.raises(SearchError, match="such as 8ms"):
            parse_milliseconds(text)


def test_the_command_lists_strategies_and_spaces() -> None:
    listed = json.loads(CliRunner().invoke(app, ["search", "--list", "--json"]).stdout)
    names = [entry["name"] for entry in listed["strategies"]]
    assert names == [entry.name for entry in strategies()]
    assert len(names) >= 8
    assert all("arXiv" in entry["paper"] for kind in listed.values() for entry in kind)
    sizes = {entry["name"]: entry["log10_size"] for entry in listed["spaces"]}
    assert sizes.keys() >= {
        "efficientpose",
        "fabric",
        "full",
        "small",
        "structures",
        "table",
        "tiny",
    }
    assert sizes["full"] >= 92
    lines = CliRunner().invoke(app, ["search", "--list"]).stdout.splitlines()
    assert len(lines) == len(listed["strategies"]) + len(listed["spaces"])


def test_the_file_itself_is_a_program_wherever_it_is_run(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "offline_search" / "search.py"), "--list", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["strategies"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--budget", "30M"], "--out"),
        (["--out", "x"], "--budget"),
        (["--out", "x", "--budget", "30M", "--latency", "8ms"], "--latency"),
        (["--out", "x", "--budget", "lots"], "such as 30M"),
        (["--out", "x", "--budget", "30M", "--settings", "{"], "--settings"),
        (["--out", "x", "--budget", "30M", "--object", "unicorn"], "unicorn"),
    ],
)
def test_what_is_asked_for_wrongly_is_one_line_and_status_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], named: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["search", *arguments])
    assert result.exit_code == 2
    assert named in result.output
    assert not list(tmp_path.iterdir())
