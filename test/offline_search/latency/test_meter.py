# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools
import logging
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from offline_search.latency import LatencyError, LatencyMeter
from offline_search.space import Architecture, ArchitectureError, Head
from offline_search.space.meter import Meter, price_list
from offline_search.space.presets import preset
from offline_search.space.search_space import Point, SearchSpace

WIDTHS = (16, 32, 64, 128)
SIDES = (4, 8, 16, 32)


@pytest.fixture
def own(folder: Path, tmp_path: Path) -> Path:
    """A copy of the cache."""
    return Path(shutil.copytree(folder, tmp_path / "cache"))


@pytest.fixture(scope="module")
def architecture(space: SearchSpace) -> Architecture:
    """With a layer of two operators, one of none but the identity, and changes of width."""
    opened = (("sep_k3",), ("sep_k3",), ("sep_k3", "skip"), ("sep_k3",))
    return space.architecture(Point((0, 0, 0, 1, 0, 0), opened), 9)


def table(folder: Path) -> Path:
    (file,) = (folder / "latency").glob("*.json")
    return file


def test_it_is_a_meter_of_milliseconds(folder: Path, architecture: Architecture) -> None:
    meter: Meter = LatencyMeter(folder)
    assert meter.unit == "ms"
    # Between a microsecond and ten seconds: neither seconds nor microseconds.
    assert 1e-3 < meter.total(architecture) < 1e4


def test_a_network_costs_about_what_it_takes(own: Path, architecture: Architecture) -> None:
    meter = LatencyMeter(own)
    assert 0.5 < meter.total(architecture) / meter.measure(architecture) < 2


def test_a_network_costs_the_sum_of_its_parts(
    folder: Path, space: SearchSpace, architecture: Architecture
) -> None:
    meter = LatencyMeter(folder)
    point = space.point(architecture)
    prices = price_list(space, point.choices, 9, meter)
    total = prices.fixed + sum(
        price
        for slot, names, row in zip(space.slots, point.opened, prices.slots, strict=True)
        for name, price in zip(slot.candidates, row, strict=True)
        if name in names
    )
    assert meter.total(architecture) == pytest.approx(total)


def test_more_work_of_the_same_operator_never_costs_less(folder: Path) -> None:
    meter = LatencyMeter(folder)
    for stride in (1, 2):
        ms = {
            key: meter.operator("sep_k3", *key[:2], stride, (key[2], key[2]))
            for key in itertools.product(WIDTHS, WIDTHS, SIDES)
        }
        for (inputs, outputs, side), price in ms.items():
            assert price > 0
            for more in (
                (2 * inputs, outputs, side),
                (inputs, 2 * outputs, side),
                (inputs, outputs, 2 * side),
            ):
                assert ms.get(more, price) >= price


def test_identity_is_free(folder: Path) -> None:
    assert LatencyMeter(folder).operator("skip", 32, 32, 1, (16, 16)) == 0.0


def test_what_was_measured_is_read_and_not_measured_again(
    folder: Path, space: SearchSpace, architecture: Architecture
) -> None:
    before = table(folder).read_bytes()
    first, second = LatencyMeter(folder), LatencyMeter(folder)
    second.prepare(space)
    assert first.total(architecture) == second.total(architecture)
    assert table(folder).read_bytes() == before


def test_the_time_of_a_network_is_kept_where_no_part_is_known(
    tmp_path: Path, architecture: Architecture, caplog: pytest.LogCaptureFixture
) -> None:
    time = LatencyMeter(tmp_path).measure(architecture)
    assert LatencyMeter(tmp_path).measure(architecture) == time > 0
    assert not caplog.records


def test_two_that_measure_at_once_agree(own: Path, architecture: Architecture) -> None:
    meters = LatencyMeter(own), LatencyMeter(own)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda meter: meter.measure(architecture), meters)
    assert first == second
    assert LatencyMeter(own).measure(architecture) == first


def test_an_operator_without_entry_is_measured_when_it_is_asked_for(own: Path) -> None:
    meter = LatencyMeter(own)
    assert "operator coord_attn 1" not in meter.parts
    price = meter.operator("coord_attn", 32, 32, 1, (16, 16))
    assert price > 0
    assert LatencyMeter(own).operator("coord_attn", 32, 32, 1, (16, 16)) == price


@pytest.mark.parametrize(
    "content", ["", "{", '{"parts": {}}', '{"block": 16, "parts": [], "networks": {}}']
)
def test_a_damaged_table_is_measured_anew_with_a_warning(
    own: Path, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    table(own).write_text(content)
    with caplog.at_level(logging.WARNING):
        meter = LatencyMeter(own)
    assert str(table(own)) in caplog.text
    assert not meter.parts


def test_a_damaged_table_is_replaced(own: Path, architecture: Architecture) -> None:
    table(own).write_text("{")
    price = LatencyMeter(own).stem(architecture)
    assert LatencyMeter(own).stem(architecture) == price > 0


def test_calibration_makes_the_total_the_measured_time(
    own: Path, architecture: Architecture
) -> None:
    meter = LatencyMeter(own)
    plain = meter.total(architecture)
    scale = meter.calibrate(architecture)
    assert meter.total(architecture) == pytest.approx(meter.measure(architecture))
    assert meter.total(architecture) == pytest.approx(scale * plain)
    assert LatencyMeter(own).calibrate(architecture) == scale


def test_a_table_is_of_one_number_of_threads(folder: Path) -> None:
    assert not LatencyMeter(folder, threads=2).parts


def test_networks_without_a_table_are_refused(folder: Path, architecture: Architecture) -> None:
    meter = LatencyMeter(folder)
    with pytest.raises(LatencyError, match="4 turns"):
        meter.total(preset("small_any_roll", 9))
    with pytest.raises(LatencyError, match="locator head"):
        meter.total(replace(architecture, head=Head("locator", (16,), 1)))


def test_networks_that_cannot_be_built_are_refused(
    folder: Path, architecture: Architecture
) -> None:
    first, *rest = architecture.stages
    wrong = replace(architecture, stages=(replace(first, layers=(("skip",),)), *rest))
    with pytest.raises(ArchitectureError, match="skip"):
        LatencyMeter(folder).total(wrong)


def test_a_cache_that_cannot_be_written_is_named(
    tmp_path: Path, architecture: Architecture
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LatencyError, match="FPG_POSE_CACHE"):
        LatencyMeter(tmp_path / "file").stem(architecture)
