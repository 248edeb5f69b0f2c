# SPDX-License-Identifier: Apache-2.0
"""No bundle that was tampered with is taken for the original: a sample of `make trials`."""

from __future__ import annotations

from pathlib import Path

from mutated_bundles import MAY_BE_ANOTHER, mutants

from fpg_pose_ros.bundle import read_bundle, write_bundle
from fpg_pose_ros.errors import BundleError


def test_each_harm_is_noticed_and_no_code_is_run(cube_parts, tmp_path: Path) -> None:
    sound = write_bundle(tmp_path / "sound", *cube_parts)
    canary = tmp_path / "canary"
    refused = 0
    for mutant in mutants(tmp_path / "sound", tmp_path, 110, 0, canary):
        try:
            read = read_bundle(mutant.path)
        except BundleError:
            refused += 1
            continue
        if (read.hash, read.files) != (sound.hash, sound.files):
            assert mutant.kind in MAY_BE_ANOTHER, mutant
            assert read.hash != sound.hash, mutant
    assert refused > 90
    assert not canary.exists()
