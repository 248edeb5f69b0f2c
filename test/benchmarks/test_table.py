# SPDX-License-Identifier: Apache-2.0
"""The maker of the table: its lines, what it still has to run, one training and one search."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import table_training
from benchmarks.table import Job, Rows, carry_out, jobs_left
from benchmarks.table_training import (
    BUDGET,
    IMAGES,
    SEARCH_SEEDS,
    SEEDS,
    SHORT_IMAGES,
    SHORT_SEEDS,
    architectures,
    recipe,
    recipe_digest,
    search_one,
    train_one,
)
from offline_search.retrain import VALIDATION_SEED
from offline_search.search_stages import SELECTION_SEED
from offline_search.space.cost import cost
from offline_search.tabular.table import Search, TableError, Training

TRAINING = Training("a" * 64, IMAGES, 0, (2.0, 1.0), 3.0, 0.1, 0.2, 0.5, "d" * 16)
SEARCH = Search("fpg", {"gate": "single"}, 0.5, 0.5, 20, "a" * 64, (("a" * 64, 1.5),), 0.5)


@pytest.fixture(scope="module")
def renders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of rendered layers."""
    return tmp_path_factory.mktemp("layers")


@pytest.fixture
def _few_samples(monkeypatch: pytest.MonkeyPatch, renders: Path) -> None:
    monkeypatch.setenv("FPG_POSE_CACHE", str(renders))
    for name, count in (("IMAGES", 64), ("SHORT_IMAGES", 16), ("JUDGED", 8)):
        monkeypatch.setattr(table_training, name, count)
    for kept in (table_training._training, table_training._held_out):
        kept.cache_clear()


def test_lines_are_read_as_they_were_added(tmp_path: Path) -> None:
    rows = Rows(tmp_path / "rows.jsonl", "r")
    assert rows.read() == ([], [])
    rows.add("training", TRAINING)
    rows.add("search", SEARCH)
    rows.add("training", replace(TRAINING, seed=1))
    assert rows.read() == ([TRAINING, replace(TRAINING, seed=1)], [SEARCH])


def test_a_line_that_a_kill_left_half_written_is_dropped(tmp_path: Path) -> None:
    rows = Rows(tmp_path / "rows.jsonl", "r")
    rows.add("training", TRAINING)
    whole = rows.path.read_bytes()
    rows.path.write_bytes(whole + whole[:40])
    assert rows.read() == ([TRAINING], [])
    rows.add("search", SEARCH)
    assert rows.read() == ([TRAINING], [SEARCH])


def test_lines_of_another_recipe_are_refused(tmp_path: Path) -> None:
    Rows(tmp_path / "rows.jsonl", "r").add("training", TRAINING)
    with pytest.raises(TableError, match="another recipe"):
        Rows(tmp_path / "rows.jsonl", "s").read()


def test_what_has_no_line_is_run_seed_by_seed_short_ones_of_candidates_searches_last(
    tmp_path: Path,
) -> None:
    candidates = [one for one in architectures() if BUDGET.holds(cost(one).macs)]
    networks = [*architectures()[:2], candidates[0]]
    done = replace(TRAINING, network=networks[1].digest), replace(SEARCH, level=1.0)
    everything = jobs_left(networks, ["fpg"], ([], []), tmp_path)
    left = jobs_left(networks, ["fpg"], ([done[0]], [done[1]]), tmp_path)
    levels = len(table_training.LEVELS)
    assert len(everything) == 3 * len(SEEDS) + len(SHORT_SEEDS) + levels * len(SEARCH_SEEDS)
    assert len(left) == len(everything) - 2
    calls = [(kind, *arguments) for kind, _, arguments in left]
    assert calls[:3] == [
        ("training", networks[0], IMAGES, 0),
        ("training", networks[2], IMAGES, 0),
        ("training", networks[0], IMAGES, 1),
    ]
    assert [kind for kind, *_ in calls] == sorted((kind for kind, *_ in calls), reverse=True)
    assert ("search", "fpg", 1.0, 20, tmp_path / "fpg-1-20") not in calls


def test_no_training_shares_samples_with_another_use() -> None:
    seeds = [*SEEDS, *SHORT_SEEDS, *SEARCH_SEEDS, VALIDATION_SEED, SELECTION_SEED]
    assert len(set(seeds)) == len(seeds)


def test_the_budget_is_amid_the_costs_and_many_networks_spend_it() -> None:
    macs = [cost(one).macs for one in architectures()]
    budget = table_training.BUDGET_MACS
    assert 0.25 < sum(price <= budget for price in macs) / len(macs) < 0.75
    assert sum(0.95 * budget <= price <= budget for price in macs) >= 20


def test_the_recipe_has_one_digest() -> None:
    assert recipe_digest() == recipe_digest()
    assert recipe(SHORT_IMAGES, 1).steps == recipe(IMAGES, 0).steps // 4


@pytest.mark.slow
def test_a_job_that_fails_is_told_of_and_the_others_get_their_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = Rows(tmp_path / "rows.jsonl", "r")
    fields = tuple(getattr(TRAINING, field.name) for field in dataclasses.fields(TRAINING))
    jobs: list[Job] = [("training", recipe, (0, 0)), ("training", Training, fields)]
    assert carry_out(jobs, rows, 1) == 1
    assert rows.read() == ([TRAINING], [])
    assert (
        "a training failed: training config: images must be at least 1" in capsys.readouterr().err
    )


@pytest.mark.usefixtures("_few_samples")
def test_a_training_is_the_same_again_and_a_short_one_is_judged_on_other_samples() -> None:
    network = architectures()[0]
    first, again, short = (train_one(network, images, 0) for images in (64, 64, 16))
    assert replace(again, minutes=first.minutes) == first
    assert len(first.curve) == table_training.CURVE_POINTS
    assert first.curve[-1] < first.curve[0]
    assert short.images == 16
    assert short.data != first.data


@pytest.mark.usefixtures("_few_samples")
def test_a_search_is_noted_with_what_it_spent_and_ranked(tmp_path: Path) -> None:
    found = search_one("bn_nas", 1.0, 20, tmp_path)
    digests = {one.digest for one in architectures()}
    assert (found.strategy, found.level, found.compute) == ("bn_nas", 1.0, pytest.approx(0.1))
    assert found.ranking[0][0] == found.found
    assert len(found.ranking) >= 5
    assert {digest for digest, _ in found.ranking} <= digests
    assert search_one("bn_nas", 1.0, 20, tmp_path) == found
