# SPDX-License-Identifier: Apache-2.0
"""What of an error the command line shows: one line and a status, where the user can mend it."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from fpg_pose_ros.errors import FpgPoseError

#: Modules that only an extra brings, and its name.
_EXTRA = dict.fromkeys(
    (
        *("embreex", "jinja2", "onnx", "onnxscript", "PIL", "scipy", "skimage"),
        *("tensorboard", "torch", "tqdm", "trimesh"),
    ),
    "train",
)
_INTERRUPTED = 130


class Commands(TyperGroup):
    """Turns what a user can cause into one clear line."""

    def invoke(self, ctx: Any) -> Any:
        """Runs a command."""
        try:
            return super().invoke(ctx)
        except FpgPoseError as error:
            typer.echo(f"fpg-pose: {error}", err=True)
            raise typer.Exit(_INTERRUPTED if _is_stop(error) else 2) from None
        except ModuleNotFoundError as error:
            extra = _EXTRA.get((error.name or "").split(".")[0])
            if extra is None:
                raise
            typer.echo(
                f"fpg-pose: {error.name} is not installed; it comes with the extra [{extra}]: "
                f"in a clone, pip install '.[{extra}]'",
                err=True,
            )
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            typer.echo("fpg-pose: interrupted; run the same command again to go on", err=True)
            raise typer.Exit(_INTERRUPTED) from None


def _is_stop(error: FpgPoseError) -> bool:
    # By name: importing the class would import torch.
    return type(error).__name__ == "TrainingStopped"
