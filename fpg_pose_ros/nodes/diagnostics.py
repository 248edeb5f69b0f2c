# SPDX-License-Identifier: Apache-2.0
"""What a pose node tells on /diagnostics; pure functions of its state.

Names and levels are those of REP 107: `<node>: <part>`, and

* OK: it works, or rests because it was told to;
* WARN: something is not as it should be, and poses may be missing;
* ERROR: it cannot be relied upon until someone mends it.

STALE is what a viewer makes of diagnostics that no longer come, so it is never sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from std_msgs.msg import Header

from fpg_pose_ros.nodes.statistics import Counts


@dataclass(frozen=True)
class NodeReport:
    """The state of a pose node at one moment.

    Attributes:
        node: its full name.
        state: of its lifecycle, as ROS names it.
        enabled: whether it looks at images while it is active.
        bundle, bundle_hash: name of the loaded bundle and SHA-256 of its manifest; empty if none
            is.
        bundle_error: why the last bundle was refused; empty if it was not.
        image_age: seconds since the last image; None if none came.
        image_timeout: seconds without an image after which something is wrong.
        camera_error: why the camera cannot be used now; empty if it can.
        counts: of frames since the node was activated.
        last_counts: the same at the last report.
        last_error: of the frames given up.
        latency_ms: (p50, p99) of each stage, and of the age of a frame's poses: from the image's
            stamp, by the camera's clock, to their publishing, by the node's.
        tracking: whether objects are tracked from image to image.
        tracks: how many things were tracked in the last image.
    """

    node: str
    state: str
    enabled: bool = True
    bundle: str = ""
    bundle_hash: str = ""
    bundle_error: str = ""
    image_age: float | None = None
    image_timeout: float = 2.0
    camera_error: str = ""
    counts: Counts = field(default_factory=Counts)
    last_counts: Counts = field(default_factory=Counts)
    last_error: str = ""
    latency_ms: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    tracking: bool = False
    tracks: int = 0

    @property
    def resting(self) -> str:
        """Why no image is looked at, although nothing is wrong; empty if images are."""
        if self.state != "active":
            return self.state
        return "" if self.enabled else "disabled"

    def rate(self, count: str) -> float:
        """Returns how much one of the counts grew a second since the last report."""
        seconds = self.counts.at - self.last_counts.at
        grown = getattr(self.counts, count) - getattr(self.last_counts, count)
        return float(grown / seconds) if seconds > 0 else 0.0


def diagnostic_array(stamp: Time, report: NodeReport) -> DiagnosticArray:
    """Returns the message: a status each for the model, the camera, the frames and the tracker."""
    return DiagnosticArray(
        header=Header(stamp=stamp),
        status=[
            model_status(report),
            camera_status(report),
            frames_status(report),
            tracker_status(report),
        ],
    )


def model_status(report: NodeReport) -> DiagnosticStatus:
    """Is there a model, and does it run? Error when the bundle was refused."""
    if report.bundle_error:
        level, message = DiagnosticStatus.ERROR, report.bundle_error
    elif not report.bundle:
        level, message = DiagnosticStatus.WARN, f"no bundle loaded ({report.state})"
    elif report.resting:
        level, message = DiagnosticStatus.OK, f"bundle loaded, node is {report.resting}"
    else:
        level, message = DiagnosticStatus.OK, "running"
    values = {"state": report.state, "bundle": report.bundle, "hash": report.bundle_hash}
    return _status(report, "model", level, message, values)


def camera_status(report: NodeReport) -> DiagnosticStatus:
    """Do images come, and can they be used? Error when they stopped, warning when they cannot."""
    if report.resting:
        level, message = DiagnosticStatus.OK, f"not listening ({report.resting})"
    elif report.image_age is None:
        why = f": {report.camera_error}" if report.camera_error else ""
        level, message = DiagnosticStatus.WARN, f"no image has come{why}"
    elif report.image_age > report.image_timeout:
        level, message = DiagnosticStatus.ERROR, f"no image for {report.image_age:.1f} s"
    elif report.camera_error:
        level, message = DiagnosticStatus.WARN, report.camera_error
    else:
        level, message = DiagnosticStatus.OK, "images come"
    values = {
        "rate in (Hz)": f"{report.rate('received'):.1f}",
        "image age (s)": "" if report.image_age is None else f"{report.image_age:.3f}",
    }
    return _status(report, "camera", level, message, values)


def frames_status(report: NodeReport) -> DiagnosticStatus:
    """What became of the frames: counts and latencies. Warning while frames are given up."""
    counts = report.counts
    lately = counts.dropped - report.last_counts.dropped
    if report.resting:
        level, message = DiagnosticStatus.OK, f"not processing ({report.resting})"
    elif lately:
        causes = ", ".join(f"{cause}: {n}" for cause, n in sorted(lately.items()))
        level, message = DiagnosticStatus.WARN, f"dropping frames ({causes})"
    else:
        level, message = DiagnosticStatus.OK, f"{counts.processed} frames processed"
    values = {
        "received": str(counts.received),
        "processed": str(counts.processed),
        "poses": str(counts.poses),
        "rate out (Hz)": f"{report.rate('processed'):.1f}",
        "last error": report.last_error,
    }
    values |= {f"dropped: {cause}": str(n) for cause, n in sorted(counts.dropped.items())}
    for stage, (p50, p99) in report.latency_ms.items():
        values |= {f"{stage} p50 (ms)": f"{p50:.2f}", f"{stage} p99 (ms)": f"{p99:.2f}"}
    return _status(report, "frames", level, message, values)


def tracker_status(report: NodeReport) -> DiagnosticStatus:
    """How many things are tracked, and how often the locator has to search for them."""
    if report.resting:
        message = f"not tracking ({report.resting})"
    elif not report.tracking:
        message = "off: every image stands alone"
    else:
        message = f"{report.tracks} tracked"
    values = {
        "tracks": str(report.tracks if report.tracking else 0),
        "locator rate (Hz)": f"{report.rate('located'):.1f}",
    }
    return _status(report, "tracker", DiagnosticStatus.OK, message, values)


def _status(
    report: NodeReport, part: str, level: bytes, message: str, values: Mapping[str, str]
) -> DiagnosticStatus:
    return DiagnosticStatus(
        level=level,
        name=f"{report.node.lstrip('/')}: {part}",
        message=message,
        hardware_id=report.bundle,
        values=[KeyValue(key=key, value=value) for key, value in values.items()],
    )
