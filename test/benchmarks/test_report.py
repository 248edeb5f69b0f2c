# SPDX-License-Identifier: Apache-2.0
"""The generated sections of docs/results.md."""

from __future__ import annotations

import json
import math
from pathlib import Path

from benchmarks.report import PAGE, RESULTS, render, section, with_section

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


def test_the_page_shows_the_results_as_they_are() -> None:
    """When this fails, run python benchmarks/report.py."""
    page = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    assert not list(RESULTS.glob("*.json")) or render(page, RESULTS) == page
