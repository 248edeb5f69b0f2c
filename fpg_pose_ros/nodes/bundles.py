# SPDX-License-Identifier: Apache-2.0
"""Where bundles are found by name.

Those that lie beside the package come first, as in a source tree, then those under the nearest
`share` above it, as where it is installed; of several of one name the first is taken.
"""

from __future__ import annotations

from pathlib import Path

import fpg_pose_ros
from fpg_pose_ros.errors import BundleError


def find_bundle(path_or_name: str) -> Path:
    """Returns the path of a bundle, which may be given by the name of one shipped with the package.

    Raises:
        BundleError: there is neither such a path nor such a bundle.
    """
    path = Path(path_or_name).expanduser()
    if path_or_name and path.exists():
        return path
    installed: dict[str, Path] = {}
    for folder in _shipped():
        for entry in sorted(folder.iterdir()):
            if entry.is_dir() and not entry.name.startswith("."):
                installed.setdefault(entry.name, entry)
    if path_or_name in installed:
        return installed[path_or_name]
    raise BundleError(
        f"bundle {path_or_name!r} is neither a path nor an installed bundle "
        f"(installed: {', '.join(installed) or 'none'}): set the parameter bundle"
    )


def _shipped() -> list[Path]:
    """Folders of shipped bundles, the one that goes before the others first."""
    places = [Path(place) for place in fpg_pose_ros.__path__]
    folders = [place.parent / "models" for place in places]
    folders += [up / "share/fpg_pose_ros/models" for place in places for up in place.parents]
    return [folder for folder in folders if folder.is_dir()]
