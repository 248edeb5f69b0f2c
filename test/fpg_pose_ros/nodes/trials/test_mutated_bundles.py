# SPDX-License-Identifier: Apache-2.0
"""A thousand bundles that were tampered with: none is taken for sound, no code in them is run."""

# ruff: noqa: E402 - without ROS the file is skipped before it is imported further

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("rclpy", exc_type=ImportError)
srv = pytest.importorskip("fpg_pose_ros.srv", exc_type=ImportError)
pytestmark = [pytest.mark.ros, pytest.mark.timeout(600)]

from fpg_pose_ros.msg import ModelInfo
from mutated_bundles import MAY_BE_ANOTHER, mutants
from ros_processes import Camera, NodeProcess, Peer, poses_of

from fpg_pose_ros.bundle import Bundle, read_bundle
from fpg_pose_ros.errors import BundleError
from fpg_pose_ros.nodes import qos
from fpg_pose_ros.nodes.stamps import stamp_ns

BUNDLES, THROUGH_THE_NODE, FORGED_NETWORKS = 1000, 132, 220


def outcome(path: Path, sound: Bundle) -> str:
    """Offers a bundle to the reader; says what it took it for."""
    try:
        read = read_bundle(path)
    except BundleError:
        return "refused"
    if read.hash != sound.hash:
        return "taken_for_another"
    return "unharmed" if read.files == sound.files else "taken_for_the_original"


def test_the_reader_refuses_what_was_tampered_with(
    marks_bundle: Path,
    tmp_path: Path,
    count: Callable[..., None],
    share: float,
    trial_seed: int,
) -> None:
    """Where only the manifest differs, in a digit say, it is another bundle: its hash says so."""
    sound = read_bundle(marks_bundle)
    canary = tmp_path / "canary"
    outcomes: Counter[str] = Counter()
    for mutant in mutants(marks_bundle, tmp_path, round(share * BUNDLES), trial_seed, canary):
        found = outcome(mutant.path, sound)
        assert found != "taken_for_another" or mutant.kind in MAY_BE_ANOTHER, mutant
        outcomes[found] += 1
    count(offered=outcomes.total(), code_run=int(canary.exists()), **outcomes)
    assert outcomes["taken_for_the_original"] == 0
    assert not canary.exists()


def test_forged_networks_do_not_take_the_process_with_them(
    marks_bundle: Path,
    tmp_path: Path,
    count: Callable[..., None],
    share: float,
    trial_seed: int,
) -> None:
    """With hash and shapes right they reach the runtime: what it does is seen in a process."""
    outcomes: Counter[str] = Counter()
    with subprocess.Popen(
        [sys.executable, str(Path(__file__).parent / "bundle_taster.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as taster:
        assert taster.stdin is not None
        assert taster.stdout is not None
        wanted = round(share * FORGED_NETWORKS)
        for mutant in mutants(
            marks_bundle, tmp_path, wanted, trial_seed, tmp_path / "canary", "sealed_network_bits"
        ):
            taster.stdin.write(f"{mutant.path}\n")
            taster.stdin.flush()
            answer = next((line for line in taster.stdout if line.startswith("answer: ")), None)
            assert answer, f"{mutant} ended the process with {taster.wait()}"
            outcomes[answer.split()[1]] += 1
        taster.stdin.close()
    count(offered=outcomes.total(), crashes=0, **outcomes)


def test_a_running_node_keeps_its_model(
    peer: Peer,
    pose_node: NodeProcess,
    marks_bundle: Path,
    tmp_path: Path,
    count: Callable[..., None],
    share: float,
    trial_seed: int,
) -> None:
    sound = read_bundle(marks_bundle)
    canary = tmp_path / "canary"
    arrays = poses_of(peer)
    infos = peer.collect(ModelInfo, "/pose_node/model_info", qos.latched(1))
    camera = Camera(peer, "reliable")
    camera.wait_for_subscribers()
    camera.send_until(lambda: bool(arrays))
    outcomes: Counter[str] = Counter()
    wanted = round(share * THROUGH_THE_NODE)
    for mutant in mutants(marks_bundle, tmp_path, wanted, trial_seed + 1, canary):
        if mutant.kind in MAY_BE_ANOTHER:
            continue
        request = srv.LoadBundle.Request(bundle=str(mutant.path))
        answer = peer.call("pose_node", "load_bundle", srv.LoadBundle, request)
        outcomes["accepted" if answer.success else "refused"] += 1
        assert not answer.success or outcome(mutant.path, sound) == "unharmed", mutant
        assert answer.message
        camera.send(camera.sent[-1] + 40_000_000)
    peer.spin_until(lambda: stamp_ns(arrays[-1].header.stamp) == camera.sent[-1])
    assert len(arrays[-1].poses) == 1
    assert {info.bundle_hash for info in infos} == {sound.hash}
    assert not canary.exists()
    assert pose_node.process.poll() is None
    assert "Traceback" not in pose_node.output
    answered = len({stamp_ns(array.header.stamp) for array in arrays})
    count(
        offered=outcomes.total(),
        code_run=0,
        images_sent=len(camera.sent),
        images_answered=answered,
        **outcomes,
    )
