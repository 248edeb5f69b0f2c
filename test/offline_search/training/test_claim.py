# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path

import pytest

from offline_search.training.claim import claim
from offline_search.training.config import TrainingError


def test_a_folder_is_claimed_once_and_again_for_the_same(tmp_path: Path) -> None:
    place = tmp_path / "new" / "request.json"
    claim(place, {"seed": 0}, "run", TrainingError)
    claim(place, {"seed": 0}, "run", TrainingError)
    assert json.loads(place.read_text()) == {"seed": 0}


def test_another_request_is_refused_and_the_difference_named(tmp_path: Path) -> None:
    place = tmp_path / "request.json"
    claim(place, {"seed": 0, "budget": 3}, "search", TrainingError)
    with pytest.raises(TrainingError, match="belongs to a search with another seed;"):
        claim(place, {"seed": 1, "budget": 3}, "search", TrainingError)
    assert json.loads(place.read_text())["seed"] == 0


def test_a_damaged_note_is_told(tmp_path: Path) -> None:
    place = tmp_path / "request.json"
    place.write_text("{")
    with pytest.raises(TrainingError, match="damaged"):
        claim(place, {}, "run", TrainingError)
