# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import sys
from pathlib import Path

import pytest

from offline_search.prepare import SideBySide, Work, all_stores
from offline_search.training.config import TrainingError

# Processes import it by this name.
sys.path.insert(0, str(Path(__file__).parent))
from small_works import Small


def finished(*works: Work) -> list[bool]:
    return [work.finished for work in works]


def test_all_that_is_wanted_is_finished(tmp_path: Path) -> None:
    works = [Small(tmp_path / name) for name in "ab"]
    with SideBySide(1, None) as doing:
        doing.finish(works[:1])
        assert finished(*works) == [True, False]
        doing.finish(works)
    assert finished(*works) == [True, True]


def test_what_is_finished_is_not_done_again(tmp_path: Path) -> None:
    work = Small(tmp_path / "a")
    work.run(None)
    before = work.result.stat().st_mtime_ns
    with SideBySide(1, None) as doing:
        doing.finish([work])
    assert work.result.stat().st_mtime_ns == before


def test_with_one_job_nothing_is_done_meanwhile(tmp_path: Path) -> None:
    first, other = Small(tmp_path / "a"), Small(tmp_path / "b")
    with SideBySide(1, None) as doing:
        doing.finish([first], meanwhile=[other])
    assert finished(first, other) == [True, False]


def test_an_idle_job_begins_with_what_comes_later_and_is_not_waited_for(tmp_path: Path) -> None:
    other = Small(tmp_path / "other", waits_for=tmp_path / "go")
    first = Small(tmp_path / "first", waits_for=other.begun)
    with SideBySide(2, None) as doing:
        doing.finish([first], meanwhile=[other])
        assert finished(first, other) == [True, False]
        (tmp_path / "go").touch()
        doing.finish([other])
    assert other.finished
    assert other.begun.read_text() == "once"


def test_of_a_failure_the_folder_is_named_and_the_others_are_ended(tmp_path: Path) -> None:
    bad = Small(tmp_path / "bad", waits_for=tmp_path / "other" / "begun", fails=True)
    other = Small(tmp_path / "other", waits_for=tmp_path / "never")
    with pytest.raises(TrainingError, match=str(bad.out)), SideBySide(2, None) as doing:
        doing.finish([bad, other])
    assert finished(bad, other) == [False, False]


def test_renders_of_finished_works_are_not_asked_for(tmp_path: Path) -> None:
    done, waiting = Small(tmp_path / "done"), Small(tmp_path / "waiting")
    done.run(None)
    assert all_stores([done], tmp_path) == []
    assert len(all_stores([done, waiting, waiting], tmp_path)) == 1
