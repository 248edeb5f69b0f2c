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
from offline_search.report.learned import _one_of_each, networks, searches
from offline_search.report.pictures import select, write_pictures
from offline_search.report.recording import read_recording
from offline_search.space.architecture import Architecture, Head, Stage
from offline_search.space.presets import preset

SECTIONS = ("seen", "accuracy", "trust", "latency", "search", "networks", "training", "made")


SEARCH = {
    "strategy": "fpg",
    "paper": "a paper",
    "space": "small",
    "log10_size": 28.3,
    "seed": 3,
    "budget": {"amount": 15e6, "unit": "MACs", "low": 0.95},
    "macs": 14_700_000,
    "within_budget": True,
    "why": "",
    "layers": 9,
    "layers_with_several": 4,
    "minutes": 2.5,
    "images": 6400,
    "command": "fpg-pose pipeline --seed 3",
}


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
            "searches": {model.name: SEARCH},
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


def test_the_search_is_told_with_its_budget(make_report: Callable[..., str]) -> None:
    page = Page(make_report([0.0, 0.0], [0.0, 0.0]))
    assert "14.7 MMACs, 98.0% of the budget of 15" in page.text
    assert "4 of 9" in page.text


def test_a_network_that_was_given_has_no_section_on_a_search(bundle: Bundle) -> None:
    assert searches(bundle) is not None
    del bundle.manifest["training"]["searches"]  # type: ignore[attr-defined]
    assert searches(bundle) is None


def test_a_search_outside_the_band_says_why(bundle: Bundle) -> None:
    noted = {**SEARCH, "why": "no combination was found"}
    bundle.manifest["training"]["searches"]["thing"] = noted
    section = searches(bundle)
    assert section is not None
    assert ["outside the budget's band", "no combination was found"] in section.blocks[-1].rows  # type: ignore[union-attr]


def test_operators_side_by_side_are_drawn_so(bundle: Bundle) -> None:
    poses = bundle.manifest["architecture"]["pose"]
    assert all('class="mean"' not in block.svg for block in networks(bundle).blocks)  # type: ignore[union-attr]
    (name,) = poses
    stage = Stage(16, 2, (("mb_k3_e3", "sep_k3"),))
    poses[name] = Architecture((64, 64), 8, 8, (stage,), Head("simcc", (16,), 4)).to_json()
    assert 'class="mean"' in networks(bundle).blocks[0].svg  # type: ignore[union-attr]


def test_of_two_validations_at_one_place_the_last_is_drawn() -> None:
    course = {"images": [10.0, 99.0, 100.0], "add01": [0.1, 0.5, 0.8]}
    assert _one_of_each(course) == {"images": [10.0, 100.0], "add01": [0.1, 0.8]}
    assert _one_of_each({}) == {}
