# SPDX-License-Identifier: Apache-2.0
"""Several workers of one search, on a real PostgreSQL server."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import postgresql
import pytest
import sqlalchemy
from drawn_search import drawn_problem, search
from forked import start
from optuna.trial import TrialState

from offline_search.strategies.sm_nas import SmNas
from offline_search.training.loop import RESULT_FILE

pytestmark = [
    pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning"),
    pytest.mark.skipif(bool(postgresql.why_not()), reason=postgresql.why_not()),
]
STAGES = {"structural": 4, "modular": 3}
SETTINGS: dict[str, Any] = {**STAGES, "population": 2}
IMAGES = (12 + 64) * sum(STAGES.values())
"""12 of each training; a score costs 64."""


@pytest.fixture
def url() -> Iterator[str]:
    with postgresql.server() as url:
        yield url


def indices(url: str, stage: str, state: TrialState) -> list[int]:
    """Numbers of a stage's trials in that state."""
    names = [
        summary.study_name
        for summary in optuna.get_all_study_summaries(url)
        if summary.study_name.endswith(stage)
    ]
    trials = [
        trial
        for name in names
        for trial in optuna.load_study(study_name=name, storage=url).get_trials(states=(state,))
    ]
    return sorted(trial.user_attrs["index"] for trial in trials)


def pretend_that_a_minute_has_passed(url: str, stage: str, index: int) -> None:
    """Since the worker of that trial has said that it lives."""
    engine = sqlalchemy.create_engine(url)
    stale = (
        "UPDATE trial_heartbeats SET heartbeat = '2020-01-01' WHERE trial_id IN ("
        "SELECT trial_id FROM trial_user_attributes JOIN trials USING (trial_id) "
        "JOIN studies USING (study_id) WHERE study_name LIKE '%' || :stage "
        "AND state = 'RUNNING' AND key = 'index' AND value_json = :index)"
    )
    with engine.begin() as connection:
        done = connection.execute(sqlalchemy.text(stale), {"stage": stage, "index": str(index)})
        assert done.rowcount == 1
    engine.dispose()


def test_of_three_workers_one_is_killed_and_nothing_is_lost_or_done_twice(
    tmp_path: Path, url: str
) -> None:
    settings = {**SETTINGS, "storage": url}
    problem = {"images": IMAGES, "cache": tmp_path / "cache"}
    killed = {**problem, "stop_at": 5, "stop_by": "SIGKILL"}
    workers = {
        name: start(
            *(search, "sm_nas", settings, tmp_path / name, killed if name == "killed" else problem),
            log=tmp_path / f"{name}.log",
        )
        for name in ("killed", "a", "b")
    }
    workers["killed"].join(120)
    assert workers["killed"].exitcode == -signal.SIGKILL
    (lost,) = (tmp_path / "killed" / "trials").iterdir()
    stage, number, _ = lost.name.split("-")
    pretend_that_a_minute_has_passed(url, stage, int(number))
    for name in "ab":
        workers[name].join(200)
    logs = [(tmp_path / f"{name}.log").read_text()[-2000:] for name in "ab"]
    assert [workers[name].exitcode for name in "ab"] == [0, 0], logs

    # Nothing is lost: every trial is done once, and only the killed worker's had failed.
    for name, count in STAGES.items():
        assert indices(url, name, TrialState.COMPLETE) == list(range(count))
        assert indices(url, name, TrialState.RUNNING) == []
        assert indices(url, name, TrialState.FAIL) == ([int(number)] if name == stage else [])
    # Nothing is done twice: no number was trained by both.
    trained = [path.parent.name.rsplit("-", 1)[0] for path in tmp_path.rglob(f"*/{RESULT_FILE}")]
    assert max(Counter(trained).values()) == 1
    # Who comes late finds all of it done.
    late = SmNas(**settings).search(drawn_problem(**problem), tmp_path / "late")
    assert not (tmp_path / "late" / "trials").exists()
    assert len(late.details["trials"]) == sum(STAGES.values())
    assert late.details["trained"] == len(trained)
    assert late.images == 12 * len(trained)
