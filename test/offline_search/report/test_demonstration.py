# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from fpg_pose_ros.bundle import Bundle, BundleObject, NetworkSpec
from fpg_pose_ros.objects import ObjectModel
from offline_search.metrics.scores import ObjectGeometry
from offline_search.report.demonstration import Run, report
from offline_search.report.judgement import judge, summary
from offline_search.report.learned import _one_of_each
from offline_search.report.pictures import select, write_pictures
from offline_search.report.recording import read_recording
from offline_search.space.presets import preset

SECTIONS = ("seen", "accuracy", "latency", "networks", "training", "made")


@pytest.fixture
def bundle(model: ObjectModel) -> Bundle:
    course = {
        "train": {"images": [100.0, 200.0, 300.0], "loss": [3.0, 2.0, None]},
        "validation": {"images": [150.0, 300.0], "add01": [0.1, 0.6], "found": [0.2, 0.9]},
    }
    manifest = {
        "architecture": {
            "pose": {model.name: preset("demo", 4).to_json()},
            "locator": preset("locator", 1).to_json(),
        },
        "training": {
            "command": "fpg-pose pipeline --seed 3",
            "data": "renders",
            "minutes_by_network": {"pose-thing": 2.5},
            "curves": {"pose-thing": course},
        },
    }
    network = NetworkSpec("pose.onnx", "heatmap", (128, 128), 20_000_000, 150_000)
    locator = NetworkSpec("locator.onnx", "locator", (192, 256), 10_000_000, 40_000)
    return Bundle("thing", "ab" * 32, manifest, (BundleObject(model, network),), locator, {})


@pytest.fixture
def make_report(
    write_run: Callable[..., Path], model: ObjectModel, bundle: Bundle, tmp_path: Path
) -> Callable[..., str]:
    def make(truth: list[float], published: list[float | str | None]) -> str:
        bag = write_run(truth, published)
        recording = read_recording(bag)
        geometry = ObjectGeometry(model.mesh.vertices, np.eye(4)[None], model.diameter)
        frames = judge(recording, model.name, geometry, lambda _: 1.0)
        chosen = select(frames)
        stamps = [frame.stamp_ns for _, frame in chosen]
        video = tmp_path / "overlay.mp4"
        return report(
            Run(
                object_name=model.name,
                bundle=bundle,
                recording=recording,
                frames=frames,
                figures=summary(frames, recording, len(truth), 30_000_000),
                gallery=write_pictures(bag, "/image", frames, model, video, 30.0, stamps),
                chosen=chosen,
                command="fpg-pose demo --out <somewhere>",
                machine={"processor": "a processor"},
                notes={"seed": "3"},
            )
        )

    return make


class Page(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.references: list[str] = []
        self.sections: dict[str, int] = {}
        self.drawings = 0
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.references += [v or "" for k, v in attrs if k in ("src", "href")]
        self.drawings += tag == "svg"
        if tag == "section" and named.get("id"):
            self.sections[str(named["id"])] = 1

    def handle_data(self, data: str) -> None:
        self.text += data


def test_every_section_is_there_and_nothing_is_fetched(make_report: Callable[..., str]) -> None:
    html = make_report([0.0] * 40, [0.001 * (i % 20) for i in range(40)])
    page = Page(html)
    assert set(SECTIONS) <= set(page.sections)
    assert all(r.startswith(("data:", "#")) for r in page.references)
    assert "http://" not in html.replace("http://www.w3.org/", "")
    assert "https://" not in html
    assert page.drawings >= 10


def test_figures_commands_and_machine_are_told(make_report: Callable[..., str]) -> None:
    page = Page(make_report([0.0] * 4, [0.0, 0.001, None, 0.1]))
    assert "2 of 4 poses right" in page.text
    assert "50.0" in page.text
    assert "fpg-pose demo --out <somewhere>" in page.text
    assert "fpg-pose pipeline --seed 3" in page.text
    assert "a processor" in page.text
    assert "ab" * 32 in page.text


def test_a_run_that_found_nothing_has_a_report_too(make_report: Callable[..., str]) -> None:
    page = Page(make_report([0.0, 0.0], [None, None]))
    assert "0 of 2 poses right" in page.text
    assert "No pose was found." in page.text


def test_a_run_without_answers_has_a_report_too(make_report: Callable[..., str]) -> None:
    page = Page(make_report([0.0, 0.0], ["silent", "silent"]))
    assert "The node answered nothing." in page.text


def test_of_two_validations_at_one_place_the_last_is_drawn() -> None:
    course = {"images": [10.0, 99.0, 100.0], "add01": [0.1, 0.5, 0.8]}
    assert _one_of_each(course) == {"images": [10.0, 100.0], "add01": [0.1, 0.8]}
    assert _one_of_each({}) == {}
