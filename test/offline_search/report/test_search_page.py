# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from search_sample import baselines, change, pruning, trials, write_json, write_search

from offline_search.report.search_page import write_search_report
from offline_search.report.search_record import SearchRecordError

SECTIONS = ["network", "course", "gates", "front", "ranking", "retraining", "made"]


class Page(HTMLParser):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self.html = path.read_text()
        self.references: list[str] = []
        self.sections: list[str] = []
        self.tags: set[str] = set()
        self.drawings: list[str] = []
        self.text = ""
        self.feed(self.html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.tags.add(tag)
        self.references += [v or "" for k, v in attrs if k in ("src", "href", "data", "action")]
        if tag == "section":
            self.sections.append(str(named.get("id")))
        if tag == "svg":
            self.drawings.append(str(named["aria-label"]))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return write_search(tmp_path / "out")


def page(out: Path, *args: object) -> Page:
    return Page(write_search_report(out, *args))  # type: ignore[arg-type]


def test_every_part_of_a_search_is_on_the_page(out: Path) -> None:
    (out / "examples").mkdir()
    cv2.imwrite(str(out / "examples" / "a.png"), np.full((32, 32, 3), 90, np.uint8))
    write_json(out / "examples.json", [{"file": "examples/a.png", "caption": "ADD 0.123 d"}])
    shown = page(out)
    assert shown.sections == ["figures", "poses", *SECTIONS]
    for words in ("ADD 0.123 d", "fpg-pose search --object spot", "a processor", "10000", "0.412"):
        assert words in shown.text
    assert "Kendall's τ" in shown.text
    assert "0.64" in shown.text
    for words in ("expected and discrete cost", "weight of the cost", "losses", "entropy"):
        assert any(words in drawing for drawing in shown.drawings)


def test_a_page_is_one_file_that_fetches_nothing(out: Path) -> None:
    shown = page(out, baselines())
    assert {"script", "link", "iframe", "object"}.isdisjoint(shown.tags)
    assert all(r.startswith(("data:", "#")) for r in shown.references)
    assert not re.search(r"https?://|url\(|@import", shown.html)
    assert "@media print" in shown.html


def test_the_page_says_what_the_weights_start_from(out: Path) -> None:
    assert page(out).text.count("from scratch") == 2
    change(out, seed_network="runs/a128")
    seeded = page(out).text
    assert "from scratch" not in seeded
    assert seeded.count("from the weights of the seed network runs/a128") == 2


def test_a_search_whose_retraining_is_missing_has_a_report(out: Path) -> None:
    shutil.rmtree(out / "retrain")
    shown = page(out)
    assert shown.sections == ["figures", *(name for name in SECTIONS if name != "retraining")]
    assert "not retrained yet" in shown.text


def test_a_search_without_anything_optional_has_a_report(out: Path) -> None:
    shutil.rmtree(out / "retrain")
    shutil.rmtree(out / "search")
    document = json.loads((out / "search.json").read_text())
    document["ranking"] = None
    for name in ("paper", "minutes", "images", "peak_rss_mb", "command", "machine", "settings"):
        del document[name]
    write_json(out / "search.json", document)
    assert page(out).sections == ["figures", "network", "made"]


def test_random_trials_are_shown_in_place_of_gates(out: Path) -> None:
    shutil.rmtree(out / "search")
    change(out, strategy="random", ranking=None, trials=trials(count=12))
    shown = page(out)
    assert "trials" in shown.sections
    assert not {"gates", "course"} & set(shown.sections)
    assert "12 candidates" in shown.text


def test_the_front_of_a_search_for_loss_and_time_is_drawn(out: Path) -> None:
    shutil.rmtree(out / "search")
    found = json.loads((out / "search.json").read_text())["architecture"]
    times, losses = (2.0, 3.0, 4.0, 5.0), (2.8, 2.5, 2.7, 2.4)
    stages = ("structural", "structural", "modular", "modular")
    rows = [
        {**row, "ms": ms, "score": loss, "stage": stage}
        for row, ms, loss, stage in zip(trials(), times, losses, stages, strict=False)
    ]
    rows[1]["architecture"] = found
    clock = {"of": "network", "runtime_version": "1.2", "threads": 1, "processor": "a core"}
    words = "4 candidates were bred."
    change(out, strategy="sm_nas", ranking=None, trials=rows, trials_text=words, latency=clock)
    shown = page(out)
    assert shown.sections.index("time-front") == shown.sections.index("trials") + 1
    assert words in shown.text
    assert "ONNX Runtime 1.2 with 1 thread on a core: each network was measured" in shown.text
    drawing = next(d for d in shown.html.split("<svg") if "loss over time" in d.split(">")[0])
    assert "this network: 3.000 ms, 2.5000" in drawing
    line = re.search(r'class="front" points="([^"]*)"', drawing)
    assert line
    heights = [float(place.split(",")[1]) for place in line.group(1).split()]
    # Three of the four: down twice, and on to the drawing's right.
    assert len(heights) == 6
    assert heights == sorted(heights)
    change(out, judged_by="pose error")
    shown = page(out)
    assert "pose error over time" in shown.html
    assert "held-out loss" not in shown.text
    change(out, latency=None)
    assert "time-front" not in page(out).sections


def test_gates_of_which_one_stays_are_told_from_others(out: Path) -> None:
    change(out, settings={"gate": "single"})
    shown = page(out)
    assert "compete for one place" in shown.text


def test_what_was_pruned_is_told_stage_by_stage(out: Path) -> None:
    change(out, strategy="da_nas", pruning=pruning(), gates_text="Drawn evenly from what is left.")
    shown = page(out)
    assert shown.sections.index("pruning") == shown.sections.index("gates") + 1
    for words in ("easiest of 3", "easiest of 2", "all samples", "fell after stage 2", "hidden"):
        assert words in shown.text
    assert "fell after stage 3" not in shown.text
    assert "Drawn evenly from what is left." in shown.text
    effect = pruning()[0]["layers"][0]["effects"]["conv_k3"]
    assert f"conv_k3\N{NO-BREAK SPACE}{1e3 * effect:+.1f}" in shown.text
    assert "pruning" not in page(write_search(out / "other")).sections


def test_the_best_trial_so_far_is_that_of_the_least_loss(out: Path) -> None:
    rows = [{**row, "score": score} for row, score in zip(trials(), (3.0, 2.0, 2.5), strict=False)]
    change(out, trials=rows)
    drawing = next(d for d in page(out).html.split("<svg") if "best so far" in d.split(">")[0])
    line = re.search(r'class="line t1" points="([^"]*)"', drawing)
    assert line
    first, second, third = (float(place.split(",")[1]) for place in line.group(1).split())
    assert first < second == third


def test_a_latency_budget_is_shown_in_its_own_unit(tmp_path: Path) -> None:
    shown = page(write_search(tmp_path, unit="ms"))
    assert "7.86\N{NO-BREAK SPACE}ms for a budget of 8" in shown.text
    assert "98.2% of the budget of 8 ms" in shown.text
    assert "Latency" in shown.text


def test_a_network_outside_the_budget_says_why(out: Path) -> None:
    change(out, within_budget=False, why="nothing so small is in the space")
    shown = page(out)
    assert "not within the budget: nothing so small is in the space" in shown.text
    assert 'class="tile bad"' in shown.html


def test_baselines_of_this_object_stand_beside_the_network(out: Path) -> None:
    rows = baselines((10e6, 30e6))
    shown = page(out, [*rows, {**rows[0], "method": "Nobody", "object": "can"}])
    assert "ResNet-18" in shown.text
    assert "(3 seeds)" in shown.text
    assert "Nobody" not in shown.text


def test_what_files_say_is_text_and_never_markup(out: Path) -> None:
    change(out, object="<i>spot", command="<b>", why="<u>", within_budget=False)
    html = page(out).html
    assert not [tag for tag in ("<i>", "<b>", "<u>") if tag in html]


def test_the_full_space_has_a_report_of_moderate_size(tmp_path: Path) -> None:
    path = write_search_report(write_search(tmp_path, space="full"))
    assert path.stat().st_size < 1_000_000


def test_a_folder_without_a_finished_search_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SearchRecordError, match="fpg-pose search"):
        write_search_report(tmp_path)


def test_a_damaged_file_is_named(out: Path) -> None:
    (out / "search" / "gates.json").write_text("{")
    with pytest.raises(SearchRecordError, match=r"gates\.json"):
        write_search_report(out)
