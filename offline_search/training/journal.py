# SPDX-License-Identifier: Apache-2.0
"""What a training says about itself: a progress bar, TensorBoard scalars and metrics.jsonl."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from offline_search.training.checkpoint import disk_errors, write_atomic

METRICS_FILE = "metrics.jsonl"
_BAR = "{desc}: {percentage:3.0f}%|{bar:20}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"


class Journal:
    """Appends rows to metrics.jsonl and TensorBoard, and moves a progress bar of images.

    On resuming, rows past the checkpoint's step are dropped: they are about to be made again.
    """

    def __init__(
        self, out: Path, *, title: str, images: int, start_step: int, start_images: int
    ) -> None:
        """Opens the folder's files; `start_step` is the checkpoint's."""
        self.path = out / METRICS_FILE
        kept = [line for line in self._lines() if json.loads(line)["step"] <= start_step]
        write_atomic(self.path, "".join(line + "\n" for line in kept).encode())
        with disk_errors(out):
            self._board = SummaryWriter(str(out / "tensorboard"), purge_step=start_step + 1)
        self._bar = tqdm(
            total=images,
            initial=min(start_images, images),
            desc=title,
            unit="img",
            unit_scale=True,
            bar_format=_BAR,
            mininterval=1.0,
        )

    def _lines(self) -> list[str]:
        if not self.path.exists():
            return []
        # A kill can leave a last line half-written; it has no line end.
        return self.path.read_text().split("\n")[:-1]

    def advance(self, images: int) -> None:
        """Moves the bar."""
        self._bar.update(images)

    def show(self, scalars: Mapping[str, float]) -> None:
        """Puts figures behind the bar."""
        text = ", ".join(f"{name} {value:.3g}" for name, value in scalars.items() if name != "lr")
        self._bar.set_postfix_str(text, refresh=False)

    def row(self, kind: str, step: int, images: int, scalars: Mapping[str, float]) -> None:
        """One line of metrics.jsonl, and the same scalars under `kind/` in TensorBoard.

        Raises:
            TrainingError: The disk is full.
        """
        rounded = {name: float(f"{value:.6g}") for name, value in scalars.items()}
        with disk_errors(self.path):
            with self.path.open("a") as file:
                file.write(
                    json.dumps({"kind": kind, "step": step, "images": images, **rounded}) + "\n"
                )
            for name, value in rounded.items():
                self._board.add_scalar(f"{kind}/{name}", value, step)

    def say(self, text: str) -> None:
        """A line above the bar."""
        self._bar.write(text)

    def __enter__(self) -> Journal:
        """Nothing to do."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Closes bar and files."""
        self._bar.close()
        if error is None:
            with disk_errors(self.path):
                self._board.close()


def read_metrics(out: Path, kind: str) -> list[dict[str, float]]:
    """The rows of one kind (`train`, `validation`) of a training's metrics.jsonl, oldest first."""
    rows = [json.loads(line) for line in (out / METRICS_FILE).read_text().splitlines()]
    return [{k: v for k, v in row.items() if k != "kind"} for row in rows if row["kind"] == kind]
