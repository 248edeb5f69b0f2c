# SPDX-License-Identifier: Apache-2.0
"""The generated sections of docs/results.md."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks.report import (
    PAGE,
    RESULTS,
    pictures,
    render,
    section,
    with_all_objects,
    with_section,
)
from benchmarks.report_search import groups, picture

ROW = {
    "object": "can",
    "images": 100,
    "targets": 99,
    "macs_pose": 39_100_000,
    "train_minutes": 61.2,
    "add01": 0.4567,
    "rotation_deg_median": math.nan,
    "command": "python benchmarks/lmo_through_ros.py",
}


def search_row(method: str, add_auc: float, seed: int = 0, **others: Any) -> dict[str, Any]:
    return {
        "object": "spot",
        "budget_macs": 30_000_000,
        "method": method,
        "seed": seed,
        "macs": 29_300_000,
        "params": 353_201,
        "add01": 2 * add_auc,
        "add_auc": add_auc,
        "rotation_deg_median": None,
        "search_minutes": None,
        "train_minutes": 1.0,
        "images_seen": 8000,
        "machine": "a machine",
        "date": "2026-01-02",
        "command": f"python benchmarks/search.py --methods {method} --seeds {seed}",
        **others,
    }


def test_a_row_shows_its_figures_and_what_is_unknown() -> None:
    lines = section("lmo", [ROW]).splitlines()
    cells = [cell.strip() for cell in lines[4].strip("|").split("|")]
    headings = [cell.strip() for cell in lines[2].strip("|").split("|")]
    shown = dict(zip(headings, cells, strict=True))
    assert shown["object"] == "can"
    assert shown["ADD(-S) .1d"] == "0.457"
    assert shown["pose MMACs"] == "39.1"
    assert shown["training, min"] == "61"
    assert shown["rotation, median deg"] == shown["seed"] == "-"
    assert "python benchmarks/lmo_through_ros.py" in lines


def test_objects_of_a_bundle_are_summed_up_by_their_targets() -> None:
    figures = {"mssd_recall": 0.2, "mspd_recall": 0.4, "bundle_hash": "1"}
    can = {"object": "can", "targets": 30, "misses": 3, "add01": 0.1, **figures}
    cat = {**can, "object": "cat", "targets": 10, "misses": 2, "add01": 0.5}
    alone = {**can, "bundle_hash": "2"}
    shown = with_all_objects([can, cat, alone])
    assert shown[:2] + shown[3:] == [can, cat, alone]
    assert (shown[2]["targets"], shown[2]["misses"]) == (40, 5)
    assert shown[2]["add01"] == pytest.approx(0.2)
    assert shown[2]["mspd_recall"] == pytest.approx(0.4)


def test_a_section_is_replaced_and_the_rest_of_the_page_kept() -> None:
    page = with_section("# Results\n\nWords.\n", "lmo", section("lmo", [ROW]))
    assert page.startswith("# Results\n\nWords.\n")
    page += "\nMore words.\n"
    again = with_section(page, "lmo", section("lmo", [{**ROW, "object": "driller"}]))
    assert "| driller |" in again
    assert "| can |" not in again
    assert again.endswith("\nMore words.\n")
    assert with_section(again, "lmo", section("lmo", [{**ROW, "object": "driller"}])) == again


def test_each_results_file_gets_its_section(tmp_path: Path) -> None:
    for name in ("lmo", "other"):
        (tmp_path / f"{name}.json").write_text(json.dumps([ROW]))
    page = render("# Results\n", tmp_path)
    assert page.index("begin: lmo") < page.index("begin: other")


def test_seeds_of_a_method_are_one_line_of_means_and_spreads_the_best_first() -> None:
    rows = [
        search_row("lcnet", 0.1),
        search_row("fpg", 0.3, search_minutes=5.0),
        search_row("fpg", 0.5, seed=1, search_minutes=7.0),
    ]
    lines = section("search", rows).splitlines()
    tables = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[4:8]]
    _, _, best, other = (dict(zip(tables[0], cells, strict=True)) for cells in tables)
    assert (best["object"], best["budget, MMACs"], best["seeds"]) == ("spot", "30", "2")
    assert (best["method"], best["ADD AUC"]) == ("fpg", "0.400 ± 0.141")
    assert (best["search, min"], best["MMACs"], best["parameters, k"]) == (
        "6.0 ± 1.4",
        "29.3",
        "353",
    )
    assert (other["method"], other["ADD AUC"], other["search, min"]) == ("lcnet", "0.100", "-")
    assert best["rotation, median deg"] == "-"  # no pose was found: there is no median
    assert "python benchmarks/search.py" in lines


def test_the_object_with_most_budgets_comes_first_and_cheap_networks_before_dear_ones() -> None:
    rows = [
        search_row("fpg", 0.3, object="can"),
        search_row("fpg", 0.3),
        search_row("fpg", 0.1, budget_macs=10_000_000),
    ]
    assert [(g.thing, g.budget_macs) for g in groups(rows)] == [
        ("spot", 10_000_000),
        ("spot", 30_000_000),
        ("can", 30_000_000),
    ]


def test_the_picture_shows_each_mean_and_tells_searched_from_hand_made() -> None:
    drawing = picture(
        [search_row("lcnet", 0.1), search_row("fpg", 0.3, search_minutes=5.0, object="can<")]
    )
    root = ElementTree.fromstring(drawing)
    name = "{http://www.w3.org/2000/svg}"
    tips = {tip.text for tip in root.iter(f"{name}title")}
    assert {"lcnet: 0.100 ± 0.000", "fpg: 0.300 ± 0.000"} <= tips
    fills = [circle.get("fill") for circle in root.iter(f"{name}circle")]
    assert fills.count("#fff") == 2  # lcnet's mark and its legend's
    assert "can<" in {text.text for text in root.iter(f"{name}text")}


def test_the_page_shows_the_results_as_they_are() -> None:
    """When this fails, run python benchmarks/report.py."""
    page = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    assert not list(RESULTS.glob("*.json")) or render(page, RESULTS) == page
    assert all(path.read_text() == drawing for path, drawing in pictures(RESULTS).items())
