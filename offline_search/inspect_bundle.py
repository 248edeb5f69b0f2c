# SPDX-License-Identifier: Apache-2.0
"""`fpg-pose inspect`: what a model bundle holds, checked by the robot's own reader."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from fpg_pose_ros.bundle import Bundle, NetworkSpec, read_bundle

# Longer texts are curves and the like, which --json shows.
_MAX_TEXT: Final = 160


def inspect(bundle: Path, *, as_json: bool = False) -> Bundle:
    """The command: check a bundle and print what it holds.

    Args:
        bundle: directory or zip.
        as_json: print one JSON document instead of text for people.

    Raises:
        BundleError: the bundle is refused.
    """
    opened = read_bundle(bundle)
    print(json.dumps(describe(opened), indent=1) if as_json else format_text(opened))
    return opened


def describe(bundle: Bundle) -> dict[str, Any]:
    """Returns the manifest with what follows from it: hash, sizes, FLOPs."""
    return {
        **bundle.manifest,
        "hash": bundle.hash,
        "bytes": sum(map(len, bundle.files.values())),
        "flops": {
            "pose": {item.model.name: 2 * item.network.macs for item in bundle.objects},
            "locator": 2 * bundle.locator.macs,
        },
    }


def format_text(bundle: Bundle) -> str:
    """Returns the description for people."""
    rows = list(_rows(bundle))
    width = max(len(label) for label, _ in rows)
    return "\n".join(f"{label:<{width}}  {text}" for label, text in rows)


def _rows(bundle: Bundle) -> Iterator[tuple[str, str]]:
    """Yields (label, text) of each line."""
    manifest = bundle.manifest
    size = sum(map(len, bundle.files.values())) / 2**20
    yield "bundle", f"{bundle.name}, format {manifest['format_version']}, {size:.2f} MiB"
    yield "sha256", bundle.hash
    yield "created", str(manifest.get("created", "not said"))
    for item in bundle.objects:
        model = item.model
        symmetries = len(model.symmetries.discrete) + len(model.symmetries.continuous)
        yield (
            "object",
            f"{model.name}: diameter {model.diameter * 1e3:.1f} mm, "
            f"{len(model.keypoints)} keypoints, {len(model.parts)} parts, "
            f"{symmetries} symmetries, {len(model.mesh.faces)} faces",
        )
        yield "  pose network", _network(item.network)
    yield "locator", _network(bundle.locator)
    budget = manifest.get("costs", {}).get("budget_macs")
    yield "budget", f"{budget / 1e6:.1f} MMACs" if budget else "none"
    for section in ("training", "quantisation", "metrics", "calibration"):
        for name, value in _flat(manifest.get(section, {})):
            yield f"{section} {name}", value
    for name, content in sorted(bundle.files.items()):
        yield "file", f"{name}, {len(content) / 1024:.0f} KiB"


def _network(spec: NetworkSpec) -> str:
    height, width = spec.input_size
    memory = spec.memory
    lags = "" if memory is None else ", ".join(map(str, memory.lags))
    return (
        f"{spec.kind}, input {width} x {height} px, {spec.macs / 1e6:.2f} MMACs "
        f"({2 * spec.macs / 1e6:.2f} MFLOPs), {spec.params / 1e3:.0f} k parameters, "
        f"{spec.precision}"
        + ("" if memory is None else f", remembers {lags} images back at {memory.fps:g} Hz")
    )


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yields nested mappings as dotted names; leaves out lists and very long texts."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        elif not isinstance(value, list) and len(str(value)) <= _MAX_TEXT:
            yield f"{prefix}{key}", f"{value:.6g}" if isinstance(value, float) else str(value)
