# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.numpy

from fpg_pose_ros.bundle import WEIGHTS, Bundle, read_bundle
from fpg_pose_ros.errors import BundleError
from offline_search.rebuild import rebuild


@pytest.fixture(scope="module")
def spot() -> Bundle:
    return read_bundle(Path(__file__).parents[2] / "models" / "spot")


def changed(bundle: Bundle, change: Any) -> Bundle:
    manifest = json.loads(json.dumps(bundle.manifest))
    change(manifest["architecture"]["pose"]["spot"])
    return dataclasses.replace(bundle, manifest=manifest)


def test_a_rebuilt_network_is_plain_and_in_evaluation_mode(spot: Bundle) -> None:
    network = rebuild(spot, "pose.onnx")
    assert not network.training
    assert sum(p.numel() for p in network.parameters()) == spot.objects[0].network.params


@pytest.mark.parametrize(
    ("change", "message"),
    [
        # Would be gigabytes: refused before it is built.
        (lambda a: a["stages"][2].update(width=1_000_000), "differ; export it again"),
        (lambda a: a.update(input_size=[256, 256]), "differ; export it again"),
        (lambda a: a.pop("stages"), r"architecture of pose\.onnx cannot be read"),
        (lambda a: a["head"].update(kind="prophet"), r"architecture of pose\.onnx cannot be read"),
    ],
)
def test_an_architecture_that_is_not_the_networks_is_refused(
    spot: Bundle, change: Any, message: str
) -> None:
    with pytest.raises(BundleError, match=message):
        rebuild(changed(spot, change), "pose.onnx")


def test_weights_that_do_not_fit_are_refused(spot: Bundle) -> None:
    weights = safetensors.numpy.load(spot.files[WEIGHTS])
    name = next(name for name in weights if name.startswith("pose.spot.head"))
    weights[name] = weights[name].ravel()[:-1]
    weights["pose.spot.more"] = weights[name]
    files = {**spot.files, WEIGHTS: safetensors.numpy.save(weights)}
    with pytest.raises(BundleError, match="does not fit its architecture"):
        rebuild(dataclasses.replace(spot, files=files), "pose.onnx")
