# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json

import pytest

from offline_search.training.config import TrainConfig, TrainingError


def test_json_and_back_is_the_same_configuration() -> None:
    config = TrainConfig(images=123, lr=1e-3, device="cuda:1")
    assert TrainConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("images", 0),
        ("batch", 0),
        ("lr", 0.0),
        ("lr", float("nan")),
        ("sigma_px", -1.0),
        ("warmup", 1.0),
        ("ema", 1.0),
        ("workers", -1),
        ("device", "tpu"),
        ("renderer", "povray"),
        ("precision", "float16"),
        ("weight_decay", -0.1),
        ("curriculum", 1.5),
        ("shards", 0),
        ("shards", 3),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(TrainingError, match=name):
        TrainConfig.from_json({name: value})


def test_a_configuration_from_before_there_was_a_choice_of_renderers_had_the_default() -> None:
    document = TrainConfig(images=5).to_json()
    del document["renderer"]
    assert TrainConfig.from_json(document) == TrainConfig(images=5, renderer="embree")


def test_an_unknown_field_is_refused_by_name() -> None:
    with pytest.raises(TrainingError, match="momentum"):
        TrainConfig.from_json({"momentum": 0.9})


def test_the_rate_rises_to_its_peak_and_falls_to_zero() -> None:
    config = TrainConfig(images=3200, batch=32, lr=0.01, warmup=0.1)
    rates = [config.rate(step) for step in range(config.steps)]
    assert config.steps == 100
    assert max(rates) == pytest.approx(0.01)
    assert rates.index(max(rates)) in (9, 10)
    assert rates[0] == pytest.approx(0.001)
    assert rates[-1] < 1e-5
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_images_that_fill_no_whole_batch_are_still_seen() -> None:
    assert TrainConfig(images=33, batch=32).steps == 2
