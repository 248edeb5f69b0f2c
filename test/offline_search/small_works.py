# SPDX-License-Identifier: Apache-2.0
"""Works of the pipeline that only wait, in a module that other processes can import."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fpg_pose_ros.errors import FpgPoseError
from offline_search.data.layers import LayerStore

PATIENCE_S = 60.0


@dataclass(frozen=True)
class Small:
    """Ends when a file is there."""

    out: Path
    waits_for: Path | None = None
    fails: bool = False

    @property
    def begun(self) -> Path:
        """Says how often it was begun."""
        return self.out / "begun"

    @property
    def result(self) -> Path:
        """There when it is finished."""
        return self.out / "result"

    @property
    def finished(self) -> bool:
        """See `Work`."""
        return self.result.exists()

    def stores(self, cache: Path | None) -> Iterator[LayerStore]:
        """See `Work`."""
        yield LayerStore(cache, None, seed=1, count=1, resolution=8)

    def run(self, cache: Path | None) -> None:
        """See `Work`."""
        self.out.mkdir(parents=True, exist_ok=True)
        self.begun.write_text("twice" if self.begun.exists() else "once")
        end = time.monotonic() + PATIENCE_S
        while self.waits_for and not self.waits_for.exists() and time.monotonic() < end:
            time.sleep(0.01)
        if self.fails:
            raise FpgPoseError("as was to be expected")
        self.result.touch()
