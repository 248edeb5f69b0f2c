# SPDX-License-Identifier: Apache-2.0
"""From a bundle back to torch networks: `fpg_pose_ros.backends.pytorch` looks this up by name."""

from __future__ import annotations

import safetensors.torch
from torch import nn

from fpg_pose_ros.bundle import WEIGHTS, Bundle, NetworkSpec
from fpg_pose_ros.errors import BundleError
from offline_search.space import Architecture, ArchitectureError, cost
from offline_search.space.network import build
from offline_search.space.oriented import to_plain
from offline_search.training.checkpoint import without_prefix


def rebuild(bundle: Bundle, file: str) -> nn.Module:
    """The network of one of a bundle's ONNX files, norms folded away, in evaluation mode.

    Raises:
        BundleError: architecture, weights and description do not fit together.
    """
    try:
        spec, architecture, prefix = _described(bundle, file)
        price = cost(architecture)
    except (KeyError, TypeError, AttributeError, ArchitectureError) as error:
        raise BundleError(f"the architecture of {file} cannot be read: {error!r}") from None
    weights = without_prefix(prefix, safetensors.torch.load(bundle.files[WEIGHTS]))
    lags = None if architecture.cell is None else architecture.cell.lags
    # Before anything is built: what is described beyond the weights there are could be of any size.
    if (price.macs, price.params, lags) != (
        spec.macs,
        spec.params,
        None if spec.memory is None else spec.memory.lags,
    ) or price.params > sum(tensor.numel() for tensor in weights.values()):
        raise BundleError(
            f"{file}: its architecture, costs, memory and {WEIGHTS} differ; export it again"
        )
    network = build(architecture)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise BundleError(f"{file}: {WEIGHTS} does not fit its architecture ({reason})") from None
    return to_plain(network)


def _described(bundle: Bundle, file: str) -> tuple[NetworkSpec, Architecture, str]:
    """The network's description, architecture, and where its weights are."""
    described = bundle.manifest["architecture"]
    if file == bundle.locator.file:
        return bundle.locator, Architecture.from_json(described["locator"]), "locator"
    item = next(item for item in bundle.objects if item.network.file == file)
    name = item.model.name
    return item.network, Architecture.from_json(described["pose"][name]), f"pose.{name}"
