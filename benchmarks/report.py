# SPDX-License-Identifier: Apache-2.0
"""Write the figures of benchmarks/results/*.json into docs; none is copied by hand.

    python benchmarks/report.py           # rewrite the generated sections
    python benchmarks/report.py --check   # only say whether they are up to date (exit 1 if not)

Each file becomes one section of docs/results.md between two marker lines; everything else in the
page is left alone. A section whose markers the page lacks is added at its end. The pictures of
search.json, methods.json and table.jsonl.gz are docs/images/search.svg, methods.svg and table.svg.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from benchmarks import (
    report_ablation,
    report_methods,
    report_node,
    report_search,
    report_temporal,
)
from offline_search.tabular.bench import Judgement, judge

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "results.md"
IMAGES = ROOT / "docs" / "images"
_ABLATION, _LMO, _METHODS, _NODE, _SEARCH = "ablation", "lmo", "methods", "node", "search"
_TEMPORAL = "temporal"
# Of each results file that has one: what it shows, and how it is drawn.
_PICTURES = {
    _METHODS: ("what each method reached and spent", report_methods.picture),
    _SEARCH: ("area under recall of ADD over MACs", report_search.picture),
}

# Of each results file: heading of a column, key of the row, how to print its value.
_LMO_COLUMNS = (
    ("object", "object", "{}"),
    ("photographs", "images", "{:d}"),
    ("targets", "targets", "{:d}"),
    ("misses", "misses", "{:d}"),
    ("ADD(-S) .1d", "add01", "{:.3f}"),
    ("AR MSSD", "mssd_recall", "{:.3f}"),
    ("AR MSPD", "mspd_recall", "{:.3f}"),
    ("rotation, median deg", "rotation_deg_median", "{:.1f}"),
    ("translation, median mm", "translation_mm_median", "{:.0f}"),
    ("latency p50, ms", "latency_ms_p50", "{:.1f}"),
    ("pose MMACs", "macs_pose", "mega"),
    ("locator MMACs", "macs_locator", "mega"),
    ("trained on renders", "train_images", "{:,d}"),
    ("training, min", "train_minutes", "{:.0f}"),
    ("seed", "seed", "{}"),
    ("machine", "machine", "{}"),
    ("date", "date", "{}"),
)
_LATENCY_COLUMNS = (
    ("space", "space", "{}"),
    ("networks", "networks", "{:d}"),
    ("rank correlation", "spearman", "{:.3f}"),
    ("that of MACs", "spearman_macs", "{:.3f}"),
    ("error, median %", "median_error_percent", "{:.0f}"),
    ("predicted / measured, median", "median_ratio", "{:.2f}"),
    ("table measured in, s", "table_seconds", "{:.0f}"),
    ("runtime", "runtime", "{}"),
    ("seed", "seed", "{}"),
    ("machine", "machine", "{}"),
    ("date", "date", "{}"),
)
_SEARCH_COST_COLUMNS = (
    ("a step of", "way", "{}"),
    ("ms, median", "step_ms", "{:.1f}"),
    ("time / alone", "time_ratio", "{:.2f}"),
    ("± sd over rounds", "time_ratio_sd", "{:.2f}"),
    ("peak memory, MB", "peak_mb", "{:.0f}"),
    ("memory / alone", "peak_ratio", "{:.2f}"),
    ("rounds", "rounds", "{:d}"),
    ("networks", "networks", "{:d}"),
    ("machine", "machine", "{}"),
)
_DISTRIBUTED_COLUMNS = (
    ("images/s, 1 process", "images_per_s_1", "{}"),
    ("images/s, 2 processes", "images_per_s_2", "{}"),
    ("efficiency", "efficiency", "{:.2f}"),
    ("shards", "shards", "{:d}"),
    ("steps", "steps", "{:d}"),
    ("backend", "backend", "{}"),
    ("data", "data", "{}"),
    ("machine", "machine", "{}"),
    ("date", "date", "{}"),
)
_BACKENDS_COLUMNS = (
    ("network", "network", "{}"),
    ("MMACs", "macs", "mega"),
    ("backend", "backend", "{}"),
    ("version", "version", "{}"),
    ("precision", "precision", "{}"),
    ("processor time, ms", "ms", "{:.3f}"),
    ("threads", "threads", "{:d}"),
    ("rounds", "rounds", "{:d}"),
    ("load of the machine", "load", "{}"),
    ("machine", "machine", "{}"),
    ("date", "date", "{}"),
)
_COLUMNS_OF = {
    "backends": _BACKENDS_COLUMNS,
    "latency": _LATENCY_COLUMNS,
    "search_cost": _SEARCH_COST_COLUMNS,
    "distributed": _DISTRIBUTED_COLUMNS,
}
_TABLE = "table"
_SEEDS = 100  # as the command's
_TABLE_PICTURE = "what each strategy loses and how well it ranks, over the compute that it spent"
_MISSING = "-"
_Columns = Sequence[tuple[str, str, str]]


def section(name: str, rows: Sequence[Mapping[str, Any]] | Mapping[str, Any]) -> str:
    """The generated section of one results file, markers included; without rows, the node's."""
    if name == _SEARCH:
        lines = [*_pictured(name, _PICTURES[name][0]), *report_search.table(rows)]
    elif name == _METHODS:
        lines = [*_pictured(name, _PICTURES[name][0]), *report_methods.lines(rows)]
    elif name == _ABLATION:
        lines = report_ablation.lines(rows)
    elif name == _TEMPORAL:
        lines = report_temporal.lines(rows)
    elif name == _NODE and isinstance(rows, Mapping):
        lines = report_node.lines(rows)
    elif name == _LMO:
        lines = _table(with_all_objects(rows), _LMO_COLUMNS)
    else:
        lines = _table(rows, _COLUMNS_OF.get(name, _LMO_COLUMNS))
    return _marked(name, lines)


def with_all_objects(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The rows of LM-O, after those of each bundle one of all its targets together."""
    bundles: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        bundles.setdefault(row.get("bundle_hash", ""), []).append(row)
    shown: list[Mapping[str, Any]] = []
    for each in bundles.values():
        shown += each
        if len(each) > 1:
            targets = sum(row["targets"] for row in each)
            recalls = {
                key: sum(row[key] * row["targets"] for row in each) / targets
                for key in ("add01", "mssd_recall", "mspd_recall")
            }
            misses = sum(row["misses"] for row in each)
            shown.append({"object": "*together*", "targets": targets, "misses": misses, **recalls})
    return shown


def _marked(name: str, lines: Sequence[str]) -> str:
    return "\n".join([_marker("begin", name), "", *lines, "", _marker("end", name)])


def _pictured(name: str, shown: str) -> list[str]:
    place = _picture(name).relative_to(PAGE.parent).as_posix()
    return [f"![{shown}]({place})", ""]


def _picture(name: str) -> Path:
    return IMAGES / f"{name}.svg"


def _table(rows: Sequence[Mapping[str, Any]], columns: _Columns) -> list[str]:
    lines = []
    lines.append("| " + " | ".join(heading for heading, _, _ in columns) + " |")
    lines.append("| " + " | ".join("---" for _ in columns) + " |")
    for row in rows:
        cells = (_cell(row.get(key), form) for _, key, form in columns)
        lines.append("| " + " | ".join(cells) + " |")
    keys = ("train_command", "command")
    commands = list(dict.fromkeys(row[key] for row in rows for key in keys if row.get(key)))
    if commands:
        lines += ["", "Trained and measured by:", "", "```sh", *commands, "```"]
    return lines


def with_section(page: str, name: str, text: str) -> str:
    """The page with one section replaced, or added at its end where it has none."""
    begin, end = _marker("begin", name), _marker("end", name)
    if begin not in page or end not in page:
        return page.rstrip("\n") + f"\n\n{text}\n"
    before, rest = page.split(begin, 1)
    return before + text + rest.split(end, 1)[1]


def render(page: str, results: Path) -> str:
    """The page with the sections of all results files in a folder."""
    for file in sorted(results.glob("*.json")):
        page = with_section(page, file.stem, section(file.stem, json.loads(file.read_text())))
    if judgement := _judged(results):
        lines = [*_pictured(_TABLE, _TABLE_PICTURE), *judgement.lines()]
        page = with_section(page, _TABLE, _marked(_TABLE, lines))
    return page


@lru_cache(maxsize=1)
def _judged(results: Path) -> Judgement | None:
    file = results / f"{_TABLE}.jsonl.gz"
    return judge(file, seeds=_SEEDS) if file.exists() else None


def pictures(results: Path) -> dict[Path, str]:
    """The drawings of the results in a folder, by where they belong."""
    files = {name: results / f"{name}.json" for name in _PICTURES}
    drawn = {
        _picture(name): _PICTURES[name][1](json.loads(file.read_text()))
        for name, file in files.items()
        if file.exists()
    }
    if judgement := _judged(results):
        drawn[_picture(_TABLE)] = judgement.picture()
    return drawn


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if outdated")
    options = parser.parse_args(arguments)
    page = PAGE.read_text(encoding="utf-8") if PAGE.exists() else "# Results\n"
    documents = {PAGE: render(page, RESULTS), **pictures(RESULTS)}
    outdated = [path for path, text in documents.items() if _read(path) != text]
    if options.check:
        for path in outdated:
            print(f"{path} is outdated: run python benchmarks/report.py", file=sys.stderr)
        return int(bool(outdated))
    for path in outdated:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(documents[path], encoding="utf-8")
    return 0


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


def _marker(kind: str, name: str) -> str:
    return f"<!-- {kind}: {name}, written by benchmarks/report.py -->"


def _cell(value: Any, form: str) -> str:
    if value is None or value != value:  # a NaN is not equal to itself
        return _MISSING
    if form == "mega":
        return f"{value / 1e6:.1f}"
    return form.format(value).replace("|", "/")


if __name__ == "__main__":
    sys.exit(main())
