# SPDX-License-Identifier: Apache-2.0
"""`fpg-pose demo`: search, train, run camera and pose node as processes, record, and report.

ROS is only met through its processes and the bag they leave: importing this needs none.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tqdm import tqdm

from fpg_pose_ros.bundle import Bundle, read_bundle
from fpg_pose_ros.errors import FpgPoseError
from offline_search.data.live import LiveScene
from offline_search.data.objects import RenderableObject, load_object
from offline_search.evaluation import geometry_of
from offline_search.processes import ProcessGroup, Program, terminate_as_interrupt
from offline_search.report.demonstration import Run, report
from offline_search.report.judgement import judge, summary, write_csv
from offline_search.report.machine import machine, own_command
from offline_search.report.page import write_page
from offline_search.report.pictures import select, write_pictures, write_png
from offline_search.report.recording import read_recording
from offline_search.report.visibility import Visibility
from offline_search.ros_programs import Cores, command_of, pose_node_command, ros_environment

RATE_HZ: Final = 30.0
_TRAINING: Final = "training"
_AHEAD: Final = 256
_START_S: Final = 60.0
_SLACK_S: Final = 180.0


class DemoError(FpgPoseError):
    """A demonstration that cannot run as asked; the message says what to change."""


@dataclass(frozen=True)
class DemoRequest:
    """What is to be shown.

    Attributes:
        out: folder for everything that comes of it.
        bundle: a finished bundle, or None to make one first.
        object: name or file of the object that moves.
        seconds: length of the motion.
        seed: of scene and motion, of search and training.
        train: fields of `pipeline.Request` for search and training.
        jobs: processes that render, search and train side by side.
        record_overlay: record the overlay pictures too: as large as the camera's own.
    """

    out: Path
    bundle: Path | None = None
    object: str = "spot"
    seconds: float = 30.0
    seed: int = 0
    train: Mapping[str, Any] = field(default_factory=dict)
    jobs: int = 1
    record_overlay: bool = False


def demo(request: DemoRequest, command: str | None = None) -> dict[str, Any]:
    """Runs the demonstration.

    Returns:
        The figures, as in figures.json; beside it report.html, overlay.mp4, overlay.png,
        poses.csv and bag/.

    Raises:
        FpgPoseError: with a message that says what to do. No process is left running.
    """
    if request.seconds < 1:
        raise DemoError(f"--seconds {request.seconds:g}: at least 1 is needed")
    command = command or own_command()
    thing = load_object(request.object)
    folder = request.bundle or _train(request, command)
    bundle = read_bundle(folder)
    if thing.model.name not in [item.model.name for item in bundle.objects]:
        raise DemoError(f"bundle {bundle.name} does not hold {thing.model.name}; give --object")
    cores = Cores.of_this_machine()
    with terminate_as_interrupt():
        published = run_nodes(request, folder, cores)
    return _report(request, bundle, thing, published, cores, command)


def _train(request: DemoRequest, command: str) -> Path:
    # Training needs torch; showing a finished bundle does not.
    from offline_search.pipeline import Request, pipeline

    wanted = Request(objects=(request.object,), seed=request.seed, **request.train)
    return pipeline(wanted, request.out / _TRAINING, jobs=request.jobs, command=command)


def run_nodes(request: DemoRequest, bundle: Path, cores: Cores) -> dict[str, Any]:
    """Runs recorder, pose node and camera to the end of the motion, and stops them.

    Returns:
        What the camera node says it published.
    """
    bag = request.out / "bag"
    if bag.exists():
        if not (bag / "metadata.yaml").exists() and any(bag.iterdir()):
            raise DemoError(f"{bag} is not a bag of an earlier run; choose another --out")
        shutil.rmtree(bag)
    scene = {
        "source": "render",
        "object": request.object,
        "seed": request.seed,
        "duration": float(request.seconds),
        "rate": RATE_HZ,
        "wait_for_subscribers": 2,
        "prepared_frames": _AHEAD,
    }
    recorder = {
        "output": str(bag.resolve()),
        **({} if request.record_overlay else {"exclude": ".*/overlay"}),
    }
    logs = request.out / "logs"
    with ProcessGroup(logs, ros_environment(logs)) as group:
        recording = group.start("recorder", command_of("recorder", recorder), cpus=cores.others)
        node = group.start("pose_node", pose_node_command(bundle.resolve()), cpus=cores.node)
        group.wait_for_line(recording, "recording to", timeout=_START_S)
        group.wait_for_line(node, "]: active", timeout=_START_S)
        camera = group.start("camera_node", command_of("camera_node", scene), cpus=cores.others)
        _watch(group, camera, request.seconds)
        for name in ("camera_node", "pose_node", "recorder"):
            group.stop(name)
    return _last_json(camera)


def _watch(group: ProcessGroup, camera: Program, seconds: float) -> None:
    """Waits until the camera has shown everything."""
    with tqdm(desc="run", bar_format="{desc}: {elapsed} {postfix}", leave=False) as bar:
        group.wait_for(
            f"the camera did not finish {seconds:g} s of frames",
            lambda: camera.process.poll() is not None,
            timeout=seconds * 4 + _SLACK_S,
            tick=bar.update,
        )
    group.check()


def _last_json(program: Program) -> dict[str, Any]:
    lines = [line for line in program.log.read_text().splitlines() if line.startswith("{")]
    if not lines:
        raise DemoError(f"{program.name} said nothing of what it published; see {program.log}")
    return dict(json.loads(lines[-1]))


def _report(
    request: DemoRequest,
    bundle: Bundle,
    thing: RenderableObject,
    published: Mapping[str, Any],
    cores: Cores,
    command: str,
) -> dict[str, Any]:
    out, model = request.out, thing.model
    recording = read_recording(out / "bag")
    geometry = geometry_of(thing)
    scene = LiveScene(thing, seed=request.seed, fps=RATE_HZ, duration=request.seconds)
    frames = judge(recording, model.name, geometry, Visibility(scene))
    network = next(item.network for item in bundle.objects if item.model.name == model.name)
    macs = network.macs + bundle.locator.macs
    figures = summary(frames, recording, int(published["frames_published"]), macs)
    write_csv(out / "poses.csv", frames)
    chosen = select(frames)
    gallery = write_pictures(
        out / "bag",
        recording.image_topic,
        frames,
        model,
        out / "overlay.mp4",
        RATE_HZ,
        [frame.stamp_ns for _, frame in chosen],
    )
    run = Run(
        object_name=model.name,
        bundle=bundle,
        recording=recording,
        frames=frames,
        figures=figures,
        gallery=gallery,
        chosen=chosen,
        command=command,
        machine=machine(),
        notes={
            "scene": f"{request.seconds:g} s, {model.name} at {RATE_HZ:g} Hz, seed {request.seed}",
            "pose node": cores.describe(),
            "frames shown late": f"{published.get('frames_late', 0)} by over half a period",
            "shown in": f"{published.get('seconds', 0):g} s",
            "recorded": "every topic" if request.record_overlay else "every topic but the overlay",
            **_search_report(request, model.name),
        },
    )
    write_page(out / "report.html", report(run))
    shown = [f.stamp_ns for heading, f in sorted(chosen, key=lambda item: item[0] != "Typical")]
    if shown and shown[0] in gallery.stills:
        write_png(out / "overlay.png", gallery.stills[shown[0]])
    (out / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
    return figures


def _search_report(request: DemoRequest, name: str) -> dict[str, str]:
    """Where the report of the search lies, seen from that of the demonstration; {} without one."""
    place = Path(_TRAINING) / f"search-{name}" / "report.html"
    searched = request.bundle is None and (request.out / place).exists()
    return {"report of the search": str(place)} if searched else {}


def default_jobs() -> int:
    """As many processes as there are cores for this one."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
