# SPDX-License-Identifier: Apache-2.0
"""A folder as a search leaves it, with made-up but plausible figures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from offline_search.space.architecture import Architecture
from offline_search.space.cost import cost
from offline_search.space.search_space import Point, SearchSpace, load_space

KEYPOINTS = 12
ROWS, TIMES = 120, 40


def write_search(out: Path, *, space: str = "small", unit: str = "MACs") -> Path:
    """Everything but examples: the outcome, the course, the gates, and a retraining."""
    rng = np.random.default_rng(7)
    searched = load_space(space)
    point = affordable_point(searched, rng)
    found = searched.architecture(point, KEYPOINTS)
    (out / "search").mkdir(parents=True)
    write_json(out / "search.json", outcome(found, searched, unit, rng))
    write_json(out / "request.json", {"objects": ["spot"], "budget": 30e6, "images": 10_000})
    write_json(out / "search" / "gates.json", gates(searched, point, rng))
    _write_trace(out / "search" / "metrics.jsonl", rng)
    _write_retraining(out / "retrain", rng)
    return out


def write_json(path: Path, document: Any) -> None:
    path.write_text(json.dumps(document))


def change(out: Path, **fields: Any) -> None:
    """Replaces fields of search.json."""
    path = out / "search.json"
    write_json(path, {**json.loads(path.read_text()), **fields})


def random_point(space: SearchSpace, rng: np.random.Generator) -> Point:
    opened = []
    for slot in space.slots:
        count = min(int(rng.choice([1, 1, 2, 2, 3, 4])), len(slot.candidates))
        chosen = set(rng.choice(len(slot.candidates), count, replace=False))
        opened.append(tuple(n for i, n in enumerate(slot.candidates) if i in chosen))
    return Point(tuple(int(rng.integers(len(g.choices))) for g in space.genes), tuple(opened))


def affordable_point(space: SearchSpace, rng: np.random.Generator) -> Point:
    """Of a few random ones that which comes closest to 30 million MACs."""
    points = [random_point(space, rng) for _ in range(60)]
    costs = [cost(space.architecture(point, KEYPOINTS)).macs for point in points]
    return points[int(np.argmin(np.abs(np.log(np.array(costs) / 30e6))))]


def metrics(add_auc: float) -> dict[str, float]:
    return {
        "add01": min(1.6 * add_auc, 1.0),
        "adds01": min(2.1 * add_auc, 1.0),
        "add_auc": add_auc,
        "rotation_deg": 2.0 / add_auc,
        "depth_percent": 0.6 / add_auc,
        "keypoint_px": 0.5 / add_auc,
        "solved": 0.998,
    }


def outcome(
    found: Architecture, space: SearchSpace, unit: str, rng: np.random.Generator
) -> dict[str, Any]:
    price = cost(found)
    layers = [layer for stage in found.stages for layer in stage.layers]
    amount = 8.0 if unit == "ms" else price.macs / 0.982
    return {
        "strategy": "fpg",
        "paper": "FPG-NAS, arXiv 2508.03618",
        "space": space.name,
        "log10_size": space.log10_size,
        "object": "spot",
        "seed": 0,
        "budget": {"amount": amount, "unit": unit, "low": 0.95},
        "architecture": found.to_json(),
        "macs": price.macs,
        "params": price.params,
        "cost": 7.86 if unit == "ms" else price.macs,
        "within_budget": True,
        "why": "",
        "estimate": 1.93,
        "settings": {"gate": "several", "warmup": 0.35},
        "ranking": {
            "kendall_tau": 0.64,
            "images": 1500,
            "candidates": ranking(space, found, rng),
            "minutes": 3.1,
        },
        "layers_with_several": sum(len(layer) > 1 for layer in layers),
        "layers": len(layers),
        "minutes": {"search": 6.84, "ranking": 3.1, "retrain": 7.45},
        "images": {"search": 42_000, "ranking": 24_000, "retrain": 60_000},
        "peak_rss_mb": 1212.4,
        "command": "fpg-pose search --object spot --space small --budget 30M --out runs/a",
        "machine": {"processor": "a processor, 2 logical cores", "memory": "8 GiB"},
    }


def ranking(
    space: SearchSpace, found: Architecture, rng: np.random.Generator
) -> list[dict[str, Any]]:
    rivals = [space.architecture(random_point(space, rng), KEYPOINTS) for _ in range(5)]
    rows = []
    for network in (found, *rivals):
        loss = rng.uniform(1.7, 2.6)
        rows.append(
            {
                "macs": int(cost(found).macs * rng.uniform(0.97, 1.0)),
                "params": cost(network).params,
                "estimate": loss + rng.normal() * 0.1,
                "trained": loss + rng.normal() * 0.1,
                "add_auc": 0.6 - 0.2 * loss,
                "architecture": network.to_json(),
            }
        )
    return rows


def trials(space: str = "small", count: int = 30) -> list[dict[str, Any]]:
    """As a strategy that draws candidates notes them."""
    rng, searched = np.random.default_rng(5), load_space(space)
    rows = []
    for _ in range(count):
        found = searched.architecture(random_point(searched, rng), KEYPOINTS)
        score = float(rng.uniform(2.1, 3.2))
        price = cost(found)
        row = {"macs": price.macs, "params": price.params, "score": score}
        rows.append({**row, "architecture": found.to_json()})
    return rows


def pruning(space: str = "small", stages: Sequence[int] = (3, 2, 1)) -> list[dict[str, Any]]:
    """As a strategy that prunes notes its stages: the last half of each layer's names falls."""
    rng, left = np.random.default_rng(6), [slot.candidates for slot in load_space(space).slots]
    trace = []
    for number, easiest_of in enumerate(stages):
        last = number == len(stages) - 1
        after = [names if last else names[: -(-len(names) // 2)] for names in left]
        layers = [
            {
                "left": list(kept),
                "fell": [name for name in names if name not in kept],
                "effects": {name: round(float(rng.normal()) * 0.02, 5) for name in names},
            }
            for names, kept in zip(left, after, strict=True)
        ]
        hardness = {"hidden": 0.05 * number, "small": 0.3, "foreshortened": 0.2 + 0.1 * number}
        shares = {"spent": (number + 1) / len(stages), "compared": 400}
        trace.append({"easiest_of": easiest_of, **shares, "hardness": hardness, "layers": layers})
        left = after
    return trace


def baselines(macs: Sequence[float] = (10e6, 30e6, 60e6)) -> list[Mapping[str, Any]]:
    """Rows of other methods, three seeds each."""
    rng = np.random.default_rng(3)
    methods = {
        "MobileNetV3-small": 0.36,
        "MobileNetV4-conv-small": 0.39,
        "LCNet": 0.33,
        "EfficientNet-lite0": 0.37,
        "ResNet-18": 0.3,
        "random": 0.41,
    }
    return [
        {
            "object": name,
            "method": method,
            "macs": budget * rng.uniform(0.96, 1.0),
            "budget_macs": budget,
            "seed": seed,
            "add_auc": score + 0.07 * np.log(budget / 30e6) + rng.normal() * 0.012,
        }
        for name in ("spot", "can")
        for method, score in methods.items()
        for budget in macs
        for seed in range(3)
    ]


def gates(space: SearchSpace, point: Point, rng: np.random.Generator) -> dict[str, Any]:
    """Logits that wander from 0 to what the point says."""
    times = np.linspace(0.1, 1.0, TIMES)
    rise = np.linspace(0.0, 1.0, TIMES) ** 1.5

    def course(ends: Sequence[float]) -> np.ndarray:
        noise = np.cumsum(rng.normal(size=(TIMES, len(ends))), axis=0) * 0.12
        return np.outer(rise, ends) + noise * (1 - rise)[:, None]

    slots = [
        1
        / (
            1
            + np.exp(-course([rng.uniform(1, 4) * (1 if n in kept else -1) for n in s.candidates]))
        )
        for s, kept in zip(space.slots, point.opened, strict=True)
    ]
    genes = []
    for gene, choice in zip(space.genes, point.choices, strict=True):
        logits = course([3.5 if i == choice else -1.0 for i in range(len(gene.choices))])
        genes.append(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True))
    described = space.to_json()
    return {
        "slots": described["slots"],
        "genes": described["genes"],
        "times": [
            {
                "spent": spent,
                "gates": [slot[i].round(3).tolist() for slot in slots],
                "genes": [gene[i].round(3).tolist() for gene in genes],
            }
            for i, spent in enumerate(times)
        ],
    }


def _write_trace(path: Path, rng: np.random.Generator) -> None:
    rows = []
    for i, spent in enumerate(np.linspace(0.0, 1.0, ROWS)):
        warm = spent < 0.25
        expected = 2.2 if warm else 0.97 + 1.23 * np.exp(-6 * (spent - 0.25))
        row = {
            "kind": "search",
            "step": 10 * (i + 1),
            "images": 160 * (i + 1),
            "spent": spent,
            "loss_train": 4.2 * np.exp(-2 * spent) + 1.3 + rng.normal() * 0.12,
            "expected": 30e6 * expected,
            "discrete": 30e6 * (expected + rng.normal() * 0.25 * (1 - spent)),
            "budget": 30e6,
            "entropy": 1.0 if warm else float(np.exp(-3 * (spent - 0.25))),
            "tau": 5.0 * 0.02**spent,
            "lambda": 0.0 if warm else 1.4 * (1 - np.exp(-5 * (spent - 0.25))),
            "minutes": 6.84 * spent,
        }
        if not warm:
            row["loss_held_out"] = row["loss_train"] + 0.2 + rng.normal() * 0.1
        rows.append(row)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"kind": "search", "st')


def _write_retraining(folder: Path, rng: np.random.Generator) -> None:
    folder.mkdir()
    rows: list[dict[str, Any]] = []
    for i in range(1, 151):
        images = 400 * i
        loss = 5 * np.exp(-i / 40) + 1.1 + rng.normal() * 0.08
        rows.append({"kind": "train", "step": 25 * i, "images": images, "loss": loss})
        if i % 25 == 0:
            area = 0.412 * (1 - np.exp(-i / 50))
            rows.append({"kind": "validation", "step": 25 * i, "images": images, **metrics(area)})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = {"metrics": metrics(0.412), "extra": {}, "minutes": 7.45, "images": 60_000}
    write_json(folder / "result.json", result)
