# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import csv
import json
import xml.etree.ElementTree as ET
from pathlib import Path

from made_table import by_size, made_search, made_table
from typer.testing import CliRunner

from offline_search.cli import app
from offline_search.tabular.table import write_table

FILES = ("json", "csv", "md", "svg")


def judged(table: Path, out: Path) -> list[bytes]:
    """The files that the command writes."""
    command = ["bench", "strategies", "--table", str(table), "--out", str(out), "--seeds", "6"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    return [(out / f"strategies.{suffix}").read_bytes() for suffix in FILES]


def test_the_command_writes_one_judgement_in_four_forms_and_always_the_same(tmp_path: Path) -> None:
    best, *others = by_size()
    searches = [
        made_search("fpg", 20, 1.0, best, others[:4]),
        made_search("bn_nas", 20, 0.1, others[9]),
    ]
    write_table(tmp_path / "table.gz", made_table(*searches, noise=0.1))
    files = judged(tmp_path / "table.gz", tmp_path / "one")
    assert files == judged(tmp_path / "table.gz", tmp_path / "two")
    told, rows, page, drawing = (content.decode() for content in files)
    document = json.loads(told)
    assert (document["networks"], document["budget_macs"]) == (324, 3_500_000)
    names = [row["strategy"] for row in document["rows"]]
    # The cheapest search spent less than a short training takes.
    assert names == ["bn_nas", "fpg", "random"]
    read = list(csv.DictReader(rows.splitlines()))
    assert [row["strategy"] for row in read] == names
    for row, entry in zip(read, document["rows"], strict=True):
        assert float(row["regret"]) == entry["regret"][0]
        assert row["tau"] == ("" if entry["tau"][0] is None else str(entry["tau"][0]))
    assert "| random | 1 | 6 replayed |" in page
    assert "| fpg | 1 | 1 made |" in page
    assert f"blindly from the band's {document['band']} has a" in page
    tips = [tip.text or "" for tip in ET.fromstring(drawing).iter() if tip.tag.endswith("title")]
    assert all(any(tip.startswith(name) for tip in tips) for name in names)


def test_a_file_that_is_no_table_is_one_line_and_status_2(tmp_path: Path) -> None:
    command = ["bench", "strategies", "--table", str(tmp_path / "none"), "--out", str(tmp_path)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 2
    assert "benchmarks/table.py makes one" in result.output
