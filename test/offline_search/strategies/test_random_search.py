# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from drawn_search import drawn_problem, search
from forked import start
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from offline_search.space import cost
from offline_search.strategies.problem import Outcome, SearchError
from offline_search.strategies.random_search import RandomSearch
from offline_search.strategies.registry import make_strategy
from offline_search.strategies.trials import TRIALS_FILE
from offline_search.training.loop import CHECKPOINT_FILE, RESULT_FILE

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
PROBLEM: dict[str, Any] = {"images": 240}
SCORE = 64
"""What a score costs, in images of a training."""


def run(out: Path, trials: int = 3, **settings: Any) -> Outcome:
    return RandomSearch(trials=trials, **settings).search(drawn_problem(**PROBLEM), out)


def states(storage: Any) -> dict[TrialState, list[int]]:
    """Indices of the trials in each state, of the one study that there is."""
    (summary,) = optuna.get_all_study_summaries(storage)
    found: dict[TrialState, list[int]] = {}
    for trial in optuna.load_study(study_name=summary.study_name, storage=storage).trials:
        found.setdefault(trial.state, []).append(trial.user_attrs.get("index", -1))
    return {state: sorted(indices) for state, indices in found.items()}


def journal(out: Path) -> JournalStorage:
    return JournalStorage(JournalFileBackend(str(out / TRIALS_FILE)))


def wait_until(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """An uninterrupted search."""
    out = tmp_path_factory.mktemp("whole")
    return out, run(out)


def test_the_best_of_n_networks_within_the_budget_is_found(whole: tuple[Path, Outcome]) -> None:
    out, outcome = whole
    budget = drawn_problem().budget
    networks = [outcome.architecture, *(network for network, _ in outcome.rivals)]
    assert len({network.digest for network in networks}) == 3
    assert all(budget.holds(cost(network).macs) for network in networks)
    scores = [outcome.estimate, *(estimate for _, estimate in outcome.rivals)]
    assert scores == sorted(scores, key=lambda score: score or 0.0)
    assert outcome.why == ""
    # The compute is shared equally, by trainings and scores.
    assert outcome.images == PROBLEM["images"] - 3 * SCORE
    assert 0.95 <= outcome.details["compute"] <= 1
    assert outcome.minutes > 0
    assert len(outcome.details["trials"]) == 3
    assert states(journal(out)) == {TrialState.COMPLETE: [0, 1, 2]}


def test_a_finished_search_is_not_repeated(whole: tuple[Path, Outcome]) -> None:
    out, outcome = whole
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")}
    again = run(out)
    assert again.architecture == outcome.architecture
    assert again.rivals == outcome.rivals
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(before) == 6


def test_a_killed_trial_is_done_again(tmp_path: Path, whole: tuple[Path, Outcome]) -> None:
    process = start(
        search, "random", {"trials": 3}, tmp_path / "out", PROBLEM, log=tmp_path / "log"
    )
    out = tmp_path / "out"
    wait_until((out / "trials" / "1" / CHECKPOINT_FILE).exists)
    process.kill()
    process.join()
    first = states(journal(out))
    assert first[TrialState.COMPLETE] == [0]
    assert len(first[TrialState.RUNNING]) == 1
    outcome = run(out)
    assert outcome.architecture == whole[1].architecture
    assert outcome.estimate == whole[1].estimate
    assert outcome.rivals == whole[1].rivals
    assert states(journal(out)) == {
        TrialState.COMPLETE: [0, 1, 2],
        TrialState.FAIL: first[TrialState.RUNNING],
    }


def test_two_workers_with_one_storage_do_no_trial_twice(
    tmp_path: Path, whole: tuple[Path, Outcome]
) -> None:
    storage = f"sqlite:///{tmp_path / 'trials.db'}"
    settings = {"trials": 3, "storage": storage}
    workers = [
        start(search, "random", settings, tmp_path / name, PROBLEM, log=tmp_path / f"{name}.log")
        for name in "ab"
    ]
    for worker in workers:
        worker.join(200)
    logs = [(tmp_path / f"{name}.log").read_text()[-2000:] for name in "ab"]
    assert [worker.exitcode for worker in workers] == [0, 0], logs
    done = states(storage)
    assert done[TrialState.COMPLETE] == [0, 1, 2]
    # Nobody did what another had done.
    found = [[path.parent.name for path in (tmp_path / name).rglob(RESULT_FILE)] for name in "ab"]
    assert sorted([*found[0], *found[1]]) == ["0", "1", "2"]
    outcome = run(tmp_path / "c", storage=storage)
    assert outcome.architecture == whole[1].architecture
    assert outcome.rivals == whole[1].rivals


def test_a_trial_of_a_worker_that_is_gone_is_done_by_another(
    tmp_path: Path, whole: tuple[Path, Outcome]
) -> None:
    database = tmp_path / "trials.db"
    settings = {"trials": 3, "storage": f"sqlite:///{database}"}
    lost = start(search, "random", settings, tmp_path / "a", PROBLEM, log=tmp_path / "log")
    wait_until(lambda: bool(list((tmp_path / "a").rglob(CHECKPOINT_FILE))))
    lost.kill()
    lost.join()
    # As if the minute had passed after which a worker that gives no sign counts as gone.
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE trial_heartbeats SET heartbeat = '2020-01-01 00:00:00'")
    outcome = run(tmp_path / "b", storage=settings["storage"])
    assert outcome.architecture == whole[1].architecture
    done = states(settings["storage"])
    assert done[TrialState.COMPLETE] == [0, 1, 2]
    assert len(done[TrialState.FAIL]) == 1


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"trials": 0}, "trials must be at least 1"),
        ({"mean_open": 0.0}, "mean_open must be positive"),
    ],
)
def test_a_setting_that_cannot_be_is_named_with_what_can(
    settings: dict[str, Any], named: str
) -> None:
    with pytest.raises(SearchError, match=f"strategy random: {named}"):
        RandomSearch(**settings)


@pytest.mark.parametrize(
    "storage",
    ["postgresql+psycopg://me:s3cret@host/db", "postgresql://host/db?user=me&password=s3cret"],
)
@pytest.mark.parametrize("strategy", ["random", "sm_nas"])
def test_a_password_is_refused_and_not_told(strategy: str, storage: str) -> None:
    with pytest.raises(SearchError, match=rf"strategy {strategy}: .*PGPASSWORD") as refused:
        make_strategy(strategy, {"storage": storage})
    assert "s3cret" not in str(refused.value)


def test_a_storage_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/none/trials.db"
    with pytest.raises(SearchError, match=f"storage {url} cannot be opened"):
        run(tmp_path, storage=url)
