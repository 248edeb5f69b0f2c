# SPDX-License-Identifier: Apache-2.0
"""The errors a user can meet: each message names the thing at fault and the remedy.

Only errors raised in more than one room live here; the others stand beside the code that raises
them.
"""

from __future__ import annotations

from typing import Final

_LONGEST: Final = 60


def quoted(text: str) -> str:
    """Returns a text that came in a message, for an error: in quotes, and never long."""
    return repr(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}...")


class FpgPoseError(Exception):
    """Base of every error that is the input's fault, not the program's.

    Commands print it as one line and exit with status 2; the node logs it.
    """


class CameraError(FpgPoseError):
    """A camera calibration that cannot be used; the message names the field."""


class MeshError(FpgPoseError):
    """A mesh, or an object built on one, that cannot be used."""


class DatasetError(FpgPoseError):
    """A file or folder of images, poses or recordings that cannot be read."""


class BundleError(FpgPoseError):
    """A model bundle that is refused; nothing of it has reached a runtime."""
