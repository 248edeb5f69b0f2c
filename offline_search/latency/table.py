# SPDX-License-Identifier: Apache-2.0
"""What was measured on this machine: one file a runtime and processor, shared by all processes."""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import onnxruntime

from fpg_pose_ros.errors import FpgPoseError
from offline_search.data.slots import cache_folder
from offline_search.hardware import processor
from offline_search.latency.fit import Fit
from offline_search.training.checkpoint import write_atomic

#: Change when the same file would come to mean something else.
VERSION: Final = 1


class LatencyError(FpgPoseError):
    """Times cannot be had; the message says why and what helps."""


@dataclass(frozen=True)
class Table:
    """Times on one machine.

    Attributes:
        block: Channels that the runtime computes on at once; None while nothing is measured.
        parts: By the name of the part.
        networks: Whole networks, ms, by the architecture's digest.
    """

    block: int | None = None
    parts: Mapping[str, Fit] = field(default_factory=dict)
    networks: Mapping[str, float] = field(default_factory=dict)


class TableFile:
    """The file of a table. A damaged one counts as none: everything in it can be had again."""

    def __init__(self, folder: Path | None, threads: int) -> None:
        """Names the file; `folder` is `cache_folder()` by default."""
        self.machine = {
            "version": VERSION,
            "runtime": "onnxruntime",
            "runtime_version": onnxruntime.__version__,
            "processor": processor(),
            "threads": threads,
        }
        digest = hashlib.sha256(json.dumps(self.machine, sort_keys=True).encode()).hexdigest()
        self.path = (folder or cache_folder()) / "latency" / f"{digest[:16]}.json"

    def read(self) -> Table:
        """The table, empty if there is none yet."""
        try:
            return _table(json.loads(self.path.read_text()))
        except FileNotFoundError:
            return Table()
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            logging.getLogger(__name__).warning(
                "latency table %s is damaged (%r): measuring anew", self.path, error
            )
            return Table()

    def write(self, table: Table) -> None:
        """Replaces the table as a whole. Only inside `locked`."""
        document = {"machine": self.machine, **asdict(table)}
        write_atomic(self.path, (json.dumps(document, indent=1) + "\n").encode())

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes waiting: two that measure at once would disturb each other.

        Raises:
            LatencyError: The folder cannot be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lock = self.path.with_suffix(".lock").open("w")
        except OSError as error:
            raise LatencyError(
                f"latency table {self.path} cannot be written ({error.strerror}); "
                "set FPG_POSE_CACHE to a folder with room"
            ) from None
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _table(document: Mapping[str, Any]) -> Table:
    parts = {
        str(name): Fit(tuple(map(float, fit["rates"])), float(fit["error"]), int(fit["graphs"]))
        for name, fit in document["parts"].items()
    }
    networks = {str(digest): float(ms) for digest, ms in document["networks"].items()}
    block = document["block"]  # None while only whole networks are measured
    return Table(None if block is None else int(block), parts, networks)
