# SPDX-License-Identifier: Apache-2.0
"""The benchmark of searched networks: what it runs, writes and skips."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks import search
from benchmarks.runs import collect, run_all
from benchmarks.search import KEY, Run, load_thing, main, plan, recipe, run_one
from fpg_pose_ros.errors import DatasetError
from offline_search.retrain import VALIDATION_SEED

RUN = Run("spot", 10, "resnet18", 0, images=16)


def row(run: Run, add_auc: float) -> dict[str, object]:
    return {
        "object": run.thing,
        "budget_macs": run.budget * 1_000_000,
        "method": run.method,
        "seed": run.seed,
        "add_auc": add_auc,
        "train_minutes": 1.0,
    }


def write_row(work: Path, run: Run, add_auc: float) -> None:
    (work / run.name).mkdir(parents=True, exist_ok=True)
    (work / run.name / "row.json").write_text(json.dumps(row(run, add_auc)))


@pytest.fixture
def _held(tmp_path: Path) -> Iterator[None]:
    """Another instance of the command is at `RUN`."""
    (tmp_path / RUN.name).mkdir()
    with (tmp_path / RUN.name / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def test_the_first_object_runs_at_all_budgets_and_the_others_at_the_first() -> None:
    runs = plan(["spot", "can"], [30, 10], ["fpg", "lcnet"], [0, 1], 100)
    assert [run.name for run in runs[:4]] == [
        "spot-30-fpg-0",
        "spot-30-lcnet-0",
        "spot-30-fpg-1",
        "spot-30-lcnet-1",
    ]
    assert [(run.thing, run.budget) for run in runs[4::4]] == [("spot", 10), ("can", 30)]


def test_training_choice_of_decoding_and_test_share_no_render() -> None:
    seeds = {recipe(1, seed).seed for seed in (0, 1, 2)}
    assert len(seeds | {VALIDATION_SEED, search.TEST_SEED}) == 5


@pytest.mark.skipif(find_spec("timm") is None, reason="timm is not installed (make bench-search)")
def test_a_run_is_trained_and_judged_and_its_row_says_by_what(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FPG_POSE_CACHE", str(tmp_path / "cache"))
    for name in ("LAYERS", "VALIDATION", "TEST_SAMPLES"):
        monkeypatch.setattr(search, name, 8)
    made = run_one(RUN, tmp_path)
    assert made["macs"] <= made["budget_macs"] == 10_000_000
    assert (made["input_size"], made["images_seen"], made["search_minutes"]) == (96, 16, None)
    assert 0 <= made["add_auc"] <= made["add01"] <= 1
    assert made["command"] == (
        "python benchmarks/search.py --objects spot --budgets 10 --methods resnet18 --seeds 0 "
        "--images 16"
    )
    again = run_one(RUN, tmp_path)  # the finished training is read, not repeated
    assert {**again, "date": made["date"]} == made


def test_rows_are_collected_beside_those_of_other_machines(tmp_path: Path) -> None:
    work, results = tmp_path / "work", tmp_path / "results" / "search.json"
    elsewhere = Run("spot", 10, "lcnet", 0, images=16)
    results.parent.mkdir()
    results.write_text(json.dumps([row(RUN, 0.1), row(elsewhere, 0.2)]))
    write_row(work, RUN, 0.3)
    collect(work, results, KEY)
    assert json.loads(results.read_text()) == [row(elsewhere, 0.2), row(RUN, 0.3)]


def test_a_finished_run_is_not_repeated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_row(tmp_path / "work", RUN, 0.3)
    options = ["--objects", "spot", "--budgets", "10", "--methods", "resnet18", "--seeds", "0"]
    places = ["--work", str(tmp_path / "work"), "--results", str(tmp_path / "search.json")]
    assert main([*options, *places]) == 0
    assert "1 of 1 runs are finished" in capsys.readouterr().out


@pytest.mark.usefixtures("_held")
def test_runs_that_fail_or_are_taken_are_named_and_stop_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = Run("spot", 10, "nonsense", 0, images=16)
    assert run_all([broken, RUN], tmp_path, tmp_path / "search.json", 2, KEY) == [broken]
    said = capsys.readouterr().out
    assert f"{broken.name}: failed, see {tmp_path / broken.name / 'log'}" in said
    assert f"{RUN.name}: another instance is at it" in said


def test_without_the_dataset_its_objects_say_where_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FPG_POSE_DATA", raising=False)
    with pytest.raises(DatasetError, match=r"can is an object of LM-O: set FPG_POSE_DATA"):
        load_thing("can", tmp_path)
    with pytest.raises(SystemExit):
        main(["--objects", "bunny"])
