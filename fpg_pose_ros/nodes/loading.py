# SPDX-License-Identifier: Apache-2.0
"""From the names of bundles to a tracker that is ready to run; slow, and safe in a thread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from fpg_pose_ros.bundle import read_bundle
from fpg_pose_ros.errors import BundleError, FpgPoseError
from fpg_pose_ros.estimator import Estimator
from fpg_pose_ros.nodes.bundles import find_bundle
from fpg_pose_ros.nodes.settings import Settings
from fpg_pose_ros.tracking import PoseTracker

# Each holds up to 128 MiB, and whoever may call the service may ask for any number.
MAX_BUNDLES: Final = 16


@dataclass(frozen=True)
class LoadRequest:
    """What is to be loaded, and how it is to run.

    Attributes:
        bundles: paths or names of bundles, separated by commas.
        backend, device, threads: what runs the networks, as the parameters.
        settings: in force when it was asked for.
    """

    bundles: str
    backend: str
    device: str
    threads: int
    settings: Settings


class Loaded(NamedTuple):
    """A tracker that is ready to run, and what it runs in a line."""

    tracker: PoseTracker
    description: str


def load(request: LoadRequest) -> Loaded:
    """Reads and checks the bundles, loads their networks and runs each once.

    Raises:
        FpgPoseError: a bundle is refused, or it cannot be loaded.
    """
    names = [name.strip() for name in request.bundles.split(",")]
    if len(names) > MAX_BUNDLES:
        raise BundleError(
            f"{len(names)} bundles are asked for, more than {MAX_BUNDLES} are refused"
        )
    try:
        estimators = [
            Estimator(
                read_bundle(find_bundle(name)),
                backend=request.backend,
                threads=request.threads,
                device=request.device,
                limits=request.settings.limits,
            )
            for name in names
        ]
        tracker = PoseTracker(estimators, request.settings.tracking)
    except FpgPoseError:
        raise
    except Exception as error:  # whatever a bundle does to a runtime, the node lives
        raise BundleError(
            f"the bundle could not be loaded: {type(error).__name__}: {error}"
        ) from error
    return Loaded(tracker, "; ".join(_description(estimator) for estimator in estimators))


def _description(estimator: Estimator) -> str:
    bundle = estimator.bundle
    objects = ", ".join(item.model.name for item in bundle.objects)
    runtimes = ", ".join(sorted(set(estimator.runtimes.values())))
    told = [item.model.name for item in bundle.objects if item.network.memory is not None]
    memory = f"; earlier images help with: {', '.join(told)}" if told else ""
    name = f"bundle {bundle.name} ({bundle.hash[:12]})"
    return f"{name} loaded in {runtimes}; it finds: {objects}{memory}"
