# SPDX-License-Identifier: Apache-2.0
"""What a bundle's manifest says of it, as a message."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from builtin_interfaces.msg import Time
from std_msgs.msg import Header

from fpg_pose_ros.bundle import Bundle
from fpg_pose_ros.msg import ModelInfo


def model_info(bundle: Bundle, loaded: Time) -> ModelInfo:
    """Returns what a bundle's manifest says; what it leaves out stays empty."""
    manifest = bundle.manifest
    costs, training = manifest.get("costs", {}), manifest.get("training", {})
    metrics = dict(_numbers(manifest.get("metrics", {})))
    return ModelInfo(
        header=Header(stamp=loaded),
        bundle_name=bundle.name,
        bundle_hash=bundle.hash,
        format_version=manifest["format_version"],
        object_ids=[item.model.name for item in bundle.objects],
        object_diameters=[item.model.diameter for item in bundle.objects],
        pose_macs=int(costs.get("pose_macs") or 0),
        pose_params=int(costs.get("pose_params") or 0),
        locator_macs=int(costs.get("locator_macs") or 0),
        locator_params=int(costs.get("locator_params") or 0),
        budget_macs=int(costs.get("budget_macs") or 0),
        training_data=str(training.get("data", "")),
        training_command=str(training.get("command", "")),
        training_images=int(training.get("images") or 0),
        training_minutes=float(training.get("minutes") or 0.0),
        metric_names=list(metrics),
        metric_values=list(metrics.values()),
        metrics_data=str(manifest.get("metrics", {}).get("data", "")),
    )


def _numbers(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Yields every number of nested mappings, its name joined with dots."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{prefix}{key}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{prefix}{key}", float(value)
