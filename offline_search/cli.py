# SPDX-License-Identifier: Apache-2.0
"""`fpg-pose`: the command line. It declares arguments and hands them to plain functions.

What a command needs is imported when it is called, so that `--help` is quick and works without
torch or ROS. An error that is the input's fault is one line on stderr and exit status 2.
"""

from __future__ import annotations

import json
import os
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from offline_search.cli_errors import Commands

# Two threads help on a quiet machine and cost several-fold on a busy one; processes fill the cores.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

app = typer.Typer(
    cls=Commands,
    help="Makes, judges and runs models that find 6DoF poses of known objects in camera images.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
object_app = typer.Typer(help="Object files.", no_args_is_help=True, rich_markup_mode=None)
data_app = typer.Typer(help="Training data.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(object_app, name="object")
app.add_typer(data_app, name="data")
bench_app = typer.Typer(
    help="Judgements of what is offered here.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(bench_app, name="bench")


class Units(str, Enum):
    """Units of a mesh file."""

    m = "m"
    cm = "cm"
    mm = "mm"
    inch = "inch"


class NetworkKind(str, Enum):
    """What a network is trained for."""

    pose = "pose"
    locator = "locator"


class SampleKind(str, Enum):
    """What a preview shows."""

    pose = "pose"
    locator = "locator"
    live = "live"


class RendererKind(str, Enum):
    """What renders."""

    embree = "embree"
    mitsuba = "mitsuba"
    moderngl = "moderngl"


class Overlays(str, Enum):
    """What is drawn."""

    images = "images"
    video = "video"
    none = "none"


ObjectNames = Annotated[
    list[str], typer.Option("--object", help="Name of a built-in object, or an object file.")
]
PoseData = Annotated[
    str | None,
    typer.Option(
        help="bop:PATH or linemod:PATH (--object 5, NAME=5 or FILE.yaml=5), or speed:PATH "
        "(--object tango or FILE.yaml); films: renders of the object in motion; by default renders."
    ),
]
Cache = Annotated[
    Path | None,
    typer.Option(help="Folder of rendered layers; by default FPG_POSE_CACHE or the user's cache."),
]
Seed = Annotated[int, typer.Option(help="Of everything that is random.", min=0)]
Device = Annotated[str, typer.Option(help="cpu or cuda.")]
Workers = Annotated[
    int, typer.Option(help="Processes that make samples for each training; 0: its own.", min=0)
]
Shards = Annotated[
    int | None,
    typer.Option(
        help="Parts of a batch that are normalised apart and shared out to torchrun's processes; "
        "by default one for each.",
        min=1,
    ),
]
Layers = Annotated[int, typer.Option(help="Different renders of each object.", min=1)]
Renderer = Annotated[
    RendererKind,
    typer.Option(
        help="Of the objects' renders that are trained on; mitsuba (path tracing) and moderngl (a "
        "GPU's rasteriser) are extras. Held-out renders are embree's always."
    ),
]
Space = Annotated[str, typer.Option(help="Name or YAML file of the space that is searched.")]
Strategy = Annotated[
    str | None,
    typer.Option(
        help="How it is searched: a name that `fpg-pose search --list` shows; by default fpg, of "
        "a space of fabrics posenfs, of temporal cells temporal."
    ),
]
StrategySettings = Annotated[str, typer.Option(help="The strategy's own settings, JSON.")]
PoseArchitecture = Annotated[
    str | None,
    typer.Option(
        help="Preset or JSON file of the pose network, NAME@128 for an input of 128x128; by "
        "default it is searched for."
    ),
]
SearchImages = Annotated[
    int,
    typer.Option(
        help="Compute of the search: that of training a network of the budget on so many.", min=1
    ),
]
SeedNetworkPlace = Annotated[
    Path | None,
    typer.Option(
        help="Start from the weights of another training, as far as they fit: its folder, or its "
        "weights.safetensors."
    ),
]
Threads = Annotated[int, typer.Option(help="Threads of one inference.", min=1)]
Backend = Annotated[
    str,
    typer.Option(help="What runs the networks: onnxruntime, openvino, torch; auto: the fastest."),
]


@object_app.command("create")
def object_create(
    mesh: Annotated[Path, typer.Argument(help="Any mesh that trimesh reads.")],
    name: Annotated[str, typer.Option(help="Of the object: letters, digits, _ and -.")],
    out: Annotated[Path, typer.Option(help="Folder of object files.")] = Path("objects"),
    units: Annotated[Units | None, typer.Option(help="Of the mesh's coordinates.")] = None,
    scale: Annotated[float, typer.Option(help="Further factor on the coordinates.")] = 1.0,
    diameter: Annotated[
        float | None,
        typer.Option(help="Instead: how far the object's farthest points are apart, m.", min=0),
    ] = None,
    texture: Annotated[Path | None, typer.Option(help="If the mesh names none.")] = None,
    symmetries: Annotated[
        Path | None, typer.Option(help="YAML or JSON: {discrete: [...], continuous: [...]}.")
    ] = None,
    parts: Annotated[
        str, typer.Option(help="How many to find by clustering, or a file {part: [indices]}.")
    ] = "4",
    views: Annotated[
        Path | None, typer.Option(help="YAML or JSON: {elevation_deg: [lo, hi], ...}.")
    ] = None,
    keypoints: Annotated[int, typer.Option(help="How many.", min=4, max=64)] = 16,
) -> None:
    """Make an object file from a mesh."""
    from offline_search.object import create, describe

    thing = create(
        mesh,
        name=name,
        out=out,
        units=units.value if units else None,
        scale=scale,
        size=diameter,
        texture=texture,
        symmetries=symmetries,
        parts=parts,
        views=views,
        keypoints=keypoints,
    )
    typer.echo(describe(thing))


@data_app.command("preview")
def data_preview(
    objects: ObjectNames = ["spot"],  # noqa: B006 - typer copies it
    out: Annotated[Path, typer.Option(help="Picture to write.")] = Path("preview.png"),
    kind: Annotated[SampleKind, typer.Option(help="What to show.")] = SampleKind.pose,
    count: Annotated[int, typer.Option(help="How many samples.", min=1)] = 24,
    seed: Seed = 0,
    difficulty: Annotated[
        str,
        typer.Option(help="clean, cluttered, 0 to 1, or rising: from clean to cluttered."),
    ] = "rising",
    renderer: Annotated[
        RendererKind, typer.Option(help="Of the objects; mitsuba and moderngl are extras.")
    ] = RendererKind.embree,
) -> None:
    """Look at training samples with their labels."""
    from offline_search.data.preview import preview

    asked: str | float = float(difficulty) if difficulty[:1].isdigit() else difficulty
    typer.echo(
        str(
            preview(
                objects,
                out,
                kind=kind.value,
                count=count,
                seed=seed,
                difficulty=asked,
                renderer=renderer.value,
            )
        )
    )


@app.command()
def retrain(
    out: Annotated[Path, typer.Option(help="Folder of the training.")],
    objects: ObjectNames = ["spot"],  # noqa: B006
    data: PoseData = None,
    kind: Annotated[NetworkKind, typer.Option(help="What the network is for.")] = NetworkKind.pose,
    architecture: Annotated[
        str | None,
        typer.Option(
            help="Preset or JSON file, by default small, or locator; NAME@128 for an input of "
            "128x128."
        ),
    ] = None,
    images: Annotated[
        int, typer.Option(help="Samples to train on; of each object of pose networks.", min=1)
    ] = 40_000,
    layers: Layers = 6000,
    renderer: Renderer = RendererKind.embree,
    seed: Seed = 0,
    device: Device = "cpu",
    workers: Workers = 1,
    shards: Shards = None,
    cache: Cache = None,
    seed_network: SeedNetworkPlace = None,
    settings: Annotated[
        str, typer.Option(help="Further settings as JSON, such as '{\"lr\": 0.002}'.")
    ] = "{}",
) -> None:
    """Train one network from scratch; run again, it goes on where it was stopped.

    Pose networks of several objects (--object A --object B) are trained together: they share a
    backbone, each sees --images samples of its own, and OUT/pose-NAME holds each one's network.

    Several processes share the work: torchrun --nproc-per-node 2 -m offline_search.cli retrain ...
    """
    from offline_search.retrain import retrain as run
    from offline_search.retrain_shared import pose_folder
    from offline_search.retrain_shared import retrain_shared as together
    from offline_search.training.config import TrainConfig

    config = TrainConfig.from_json(
        {
            "images": images,
            "layers": layers,
            "renderer": renderer.value,
            "seed": seed,
            "device": device,
            "workers": workers,
            "shards": shards or int(os.environ.get("WORLD_SIZE", "1")),
            **_json(settings, "--settings"),
        }
    )
    chosen = architecture or ("locator" if kind is NetworkKind.locator else "small")
    if kind is NetworkKind.pose and len(objects) > 1:
        if seed_network is not None:
            raise typer.BadParameter("--seed-network is for one network: give one --object")
        results = together(
            objects, architecture=chosen, config=config, out=out, data=data, cache=cache
        )
        trained = [(pose_folder(out, name), result) for name, result in results.items()]
    else:
        result = run(
            objects,
            kind=kind.value,
            architecture=chosen,
            config=config,
            out=out,
            data=data,
            cache=cache,
            seed_network=seed_network,
        )
        trained = [(out, result)]
    if os.environ.get("RANK", "0") == "0":
        for place, result in trained:
            typer.echo(json.dumps({"out": str(place), "minutes": result.minutes, **result.metrics}))


@app.command()
def space(
    name: Annotated[str, typer.Option(help="Name or YAML file of a space.")] = "full",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Describe a search space: its size, its layers with their candidates, its choices."""
    from offline_search.space.named import named
    from offline_search.space.search_space import load_space

    found = load_space(name)
    described = {**found.to_json(), "named": named(found)}
    if as_json:
        typer.echo(json.dumps(described))
        return
    typer.echo(f"{described['name']}: 10^{described['log10_size']:.1f} architectures")
    for gene in described["genes"]:
        typer.echo(f"  {gene['name']}: {', '.join(gene['choices'])}")
    for slot in described["slots"]:
        place = f"stage {slot['stage']}, layer {slot['layer']}"
        typer.echo(f"  {place}: any of {', '.join(slot['candidates'])}")
    for entry in described["named"]:
        size, cost = "x".join(map(str, entry["input_size"])), f"{entry['macs'] / 1e6:.1f} MMACs"
        typer.echo(f"  {entry['name']}: {cost} at {size}, {entry['params'] / 1e6:.2f} M parameters")


@app.command()
def search(
    out: Annotated[
        Path | None, typer.Option(help="Folder of the search; goes on with what is in it.")
    ] = None,
    objects: ObjectNames = ["spot"],  # noqa: B006
    data: PoseData = None,
    budget: Annotated[
        str | None, typer.Option(help="Most MACs of the network, such as 30M.")
    ] = None,
    latency: Annotated[
        str | None, typer.Option(help="Instead: most time of an inference here, such as 8ms.")
    ] = None,
    space: Space = "small",
    strategy: Strategy = None,
    strategy_settings: StrategySettings = "{}",
    seed: Seed = 0,
    images: SearchImages = 10_000,
    retrain_images: Annotated[
        int, typer.Option(help="Samples of the found network's training; 0: none.", min=0)
    ] = 16_000,
    ranking: Annotated[
        int, typer.Option(help="Networks trained briefly to check the estimates.", min=0)
    ] = 4,
    ranking_images: Annotated[int, typer.Option(help="Samples of each.", min=0)] = 1_500,
    jobs: Annotated[int, typer.Option(help="Processes that render.", min=1)] = 1,
    layers: Annotated[int, typer.Option(help="Different renders of the object.", min=1)] = 3_000,
    renderer: Renderer = RendererKind.embree,
    device: Device = "cpu",
    workers: Workers = 1,
    shards: Shards = None,
    cache: Cache = None,
    seed_network: SeedNetworkPlace = None,
    settings: Annotated[str, typer.Option(help="Further settings of trainings, JSON.")] = "{}",
    show: Annotated[bool, typer.Option("--list", help="Show strategies and spaces.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --list: as JSON.")] = False,
) -> None:
    """Find a network within a budget, train it from scratch, report."""
    from offline_search.search import SearchRequest, known
    from offline_search.search import search as run
    from offline_search.search_stages import parse_macs, parse_milliseconds
    from offline_search.space.search_space import load_space
    from offline_search.strategies.registry import default_strategy

    if show:
        listed = known()
        if as_json:
            typer.echo(json.dumps(listed))
        for entry in [] if as_json else [*listed["strategies"], *listed["spaces"]]:
            typer.echo(f"{entry['name']}: {entry['summary']}")
        return
    if out is None:
        raise typer.BadParameter("where to? Give --out FOLDER")
    if (budget is None) == (latency is None):
        raise typer.BadParameter("give either --budget, such as 30M, or --latency, such as 8ms")
    request = SearchRequest(
        objects=tuple(objects),
        budget=parse_macs(budget) if budget is not None else parse_milliseconds(str(latency)),
        unit="MACs" if budget is not None else "ms",
        data=data,
        space=space,
        strategy=strategy or default_strategy(load_space(space)),
        strategy_settings=_json(strategy_settings, "--strategy-settings"),
        seed=seed,
        images=images,
        retrain_images=retrain_images,
        ranking=ranking,
        ranking_images=ranking_images,
        renderer=renderer.value,
        seed_network=str(seed_network) if seed_network is not None else None,
        settings={
            "layers": layers,
            "device": device,
            "workers": workers,
            "shards": shards or int(os.environ.get("WORLD_SIZE", "1")),
            **_json(settings, "--settings"),
        },
    )
    result = run(request, out, jobs=jobs, cache=cache)
    if os.environ.get("RANK", "0") != "0":
        return
    shown = ("macs", "params", "cost", "within_budget", "why", "layers_with_several", "minutes")
    tau = (result["ranking"] or {}).get("kendall_tau")
    typer.echo(f"report: {out / 'report.html'}")
    typer.echo(
        json.dumps(
            {
                "out": str(out),
                **{name: result[name] for name in shown},
                "kendall_tau": tau,
                **(result["metrics"] or {}),
            }
        )
    )


@bench_app.command("strategies")
def bench_strategies(
    table: Annotated[Path, typer.Option(help="Of a space's networks, all of them trained.")],
    out: Annotated[Path, typer.Option(help="Folder of the table, its figures and its plot.")],
    seeds: Annotated[
        int, typer.Option(help="Searches that are replayed, and resamples of intervals.", min=1)
    ] = 100,
) -> None:
    """Judge search strategies by a table, in seconds: what they rank, find and spend."""
    from offline_search.tabular.bench import judge_strategies

    for line in judge_strategies(table, out, seeds=seeds):
        typer.echo(line)


@app.command()
def pipeline(
    out: Annotated[Path, typer.Option(help="Folder of the run; the bundle is OUT/bundle.")],
    objects: ObjectNames = ["spot"],  # noqa: B006
    images: Annotated[int, typer.Option(help="Samples of each pose network.", min=1)] = 40_000,
    locator_images: Annotated[int, typer.Option(help="Samples of the locator.", min=1)] = 20_000,
    architecture: PoseArchitecture = None,
    budget: Annotated[
        str | None,
        typer.Option(help="Most MACs of a pose network; a search is for 30M by default."),
    ] = None,
    space: Space = "small",
    strategy: Strategy = None,
    strategy_settings: StrategySettings = "{}",
    search_images: SearchImages = 8_000,
    locator_architecture: Annotated[str, typer.Option(help="Preset or JSON file.")] = "locator",
    shared_backbone: Annotated[
        bool,
        typer.Option(
            "--shared-backbone",
            help="Train the pose networks of all objects together: one backbone, a head each, "
            "each sees --images samples of its own. Without --architecture, that of the first "
            "object is searched for and serves all.",
        ),
    ] = False,
    seed: Seed = 0,
    layers: Layers = 6000,
    renderer: Renderer = RendererKind.embree,
    frames: Annotated[int, typer.Option(help="Held-out frames to judge on.", min=1)] = 200,
    name: Annotated[str, typer.Option(help="Of the bundle; by default the objects'.")] = "",
    jobs: Annotated[
        int,
        typer.Option(help="Processes that render, and searches and trainings side by side.", min=1),
    ] = 1,
    device: Device = "cpu",
    workers: Workers = 1,
    cache: Cache = None,
    settings: Annotated[str, typer.Option(help="Further settings of trainings, JSON.")] = "{}",
) -> None:
    """Make a bundle: render, search, train, calibrate, judge, pack; run again, it goes on."""
    from offline_search.pipeline import Request
    from offline_search.pipeline import pipeline as run
    from offline_search.space.search_space import load_space
    from offline_search.strategies.registry import default_strategy

    request = Request(
        objects=tuple(objects),
        images=images,
        locator_images=locator_images,
        architecture=architecture,
        budget_macs=_budget(budget, architecture, "30M"),
        space=space,
        strategy=strategy or default_strategy(load_space(space)),
        strategy_settings=_json(strategy_settings, "--strategy-settings"),
        search_images=search_images,
        locator_architecture=locator_architecture,
        shared_backbone=shared_backbone,
        seed=seed,
        layers=layers,
        renderer=renderer.value,
        frames=frames,
        name=name,
        settings={"device": device, "workers": workers, **_json(settings, "--settings")},
    )
    typer.echo(str(run(request, out, jobs=jobs, cache=cache)))


@app.command()
def export(
    out: Annotated[Path, typer.Option(help="The bundle: a folder, or a zip.")],
    pose: Annotated[
        list[Path], typer.Option(help="Finished training of a pose network, one each --object.")
    ],
    locator: Annotated[Path, typer.Option(help="Finished training of the locator.")],
    objects: ObjectNames = ["spot"],  # noqa: B006
    name: Annotated[str, typer.Option(help="Of the bundle; by default the objects'.")] = "",
) -> None:
    """Make a bundle of finished trainings, as `retrain` and `search` leave them."""
    from offline_search.export_bundle import export_bundle

    export_bundle(objects, pose, locator, out, name=name)


@app.command()
def evaluate(
    bundle: Annotated[Path, typer.Argument(help="Model bundle: folder or zip.")],
    data: Annotated[
        str | None, typer.Option(help="bop:PATH, linemod:PATH or speed:PATH, a dataset's folder.")
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(help="Its images; by default test, of SPEED+ synthetic (lightbox, sunlamp)."),
    ] = None,
    objects: Annotated[
        str | None,
        typer.Option(help="BOP, LINEMOD: which ones, as 5,8 or can=5,driller=8; SPEED: its name."),
    ] = None,
    targets: Annotated[Path | None, typer.Option(help="BOP: target file.")] = None,
    rendered: Annotated[
        str | None, typer.Option("--object", help="On rendered frames of this object instead.")
    ] = None,
    frames: Annotated[int, typer.Option(help="Rendered frames.", min=1)] = 300,
    seed: Annotated[int, typer.Option(help="Of the rendered scene.", min=0)] = 1,
    backend: Backend = "onnxruntime",
    threads: Threads = 1,
    device: Device = "cpu",
    json_out: Annotated[Path | None, typer.Option("--json", help="Write figures here.")] = None,
    results: Annotated[Path | None, typer.Option(help="Write estimates as BOP's CSV.")] = None,
    gallery: Annotated[
        Path | None,
        typer.Option(help="Write a page of the worst and median cases into this folder."),
    ] = None,
    track: Annotated[
        bool, typer.Option(help="Through rendered frames, as the node does in a film.")
    ] = False,
) -> None:
    """Judge a bundle by the very estimator that runs on the robot."""
    from offline_search.evaluate import evaluate as run

    run(
        bundle,
        data=data,
        split=split,
        targets=targets,
        objects=objects,
        rendered=rendered,
        frames=frames,
        seed=seed,
        backend=backend,
        threads=threads,
        device=device,
        json_out=json_out,
        results_out=results,
        gallery=gallery,
        track=track,
    )


@app.command()
def calibrate(
    bundle: Annotated[Path, typer.Argument(help="Model bundle: folder or zip.")],
    objects: ObjectNames = ["spot"],  # noqa: B006
    images: Annotated[
        int, typer.Option(help="Rendered frames of each object to fit to.", min=1)
    ] = 600,
    out: Annotated[
        Path | None, typer.Option(help="The calibrated bundle; by default the same path.")
    ] = None,
    seed: Seed = 0,
    threads: Threads = 1,
) -> None:
    """Make a bundle's scores probabilities and its covariances true, on held-out renders."""
    from offline_search.calibrate import calibrate_bundle

    calibrate_bundle(bundle, objects, images=images, out=out or bundle, seed=seed, threads=threads)


@app.command()
def quantise(
    bundle: Annotated[Path, typer.Argument(help="Model bundle: folder or zip.")],
    out: Annotated[Path, typer.Option(help="The quantised bundle: a folder, or a zip.")],
    objects: ObjectNames = ["spot"],  # noqa: B006
    calibration_frames: Annotated[
        int, typer.Option(help="Rendered frames of each object to find the ranges on.", min=1)
    ] = 150,
    images: Annotated[
        int,
        typer.Option(
            help="Others to calibrate scores and covariances anew on, if they are; 0: drop that.",
            min=0,
        ),
    ] = 600,
    frames: Annotated[int, typer.Option(help="Other frames of each, to judge on.", min=1)] = 300,
    seed: Annotated[int, typer.Option(help="Of the frames that are judged.", min=0)] = 1,
) -> None:
    """Compute a bundle's networks in 8-bit integers; print what that costs and gains."""
    from offline_search.quantise import quantise as run

    run(
        bundle,
        objects,
        out=out,
        calibration_frames=calibration_frames,
        images=images,
        frames=frames,
        seed=seed,
    )


@app.command()
def estimate(
    bundle: Annotated[Path, typer.Argument(help="Model bundle: folder or zip.")],
    source: Annotated[Path, typer.Argument(help="Image, folder, video, BOP scene or rosbag.")],
    output: Annotated[Path, typer.Option(help="Folder for poses.csv and overlays.")] = Path(
        "estimates"
    ),
    camera: Annotated[Path | None, typer.Option(help="Calibration, JSON or YAML.")] = None,
    topic: Annotated[str | None, typer.Option(help="Image topic of a bag.")] = None,
    overlays: Annotated[Overlays, typer.Option(help="What is drawn.")] = Overlays.images,
    backend: Backend = "onnxruntime",
    threads: Threads = 1,
    device: Device = "cpu",
    min_score: Annotated[float, typer.Option(help="Least score of a pose.", min=0, max=1)] = 0.3,
    max_reprojection_error: Annotated[
        float, typer.Option(help="Largest one of a pose, in sides of its box.", min=0.001)
    ] = 0.12,
    limit: Annotated[int | None, typer.Option(help="Stop after so many images.", min=1)] = None,
    bag: Annotated[
        bool, typer.Option(help="Of an MCAP or db3 bag, write a copy with poses, TF and overlay.")
    ] = True,
    bag_out: Annotated[
        Path | None, typer.Option(help="Folder of that copy; by default OUTPUT/bag.")
    ] = None,
    track: Annotated[
        bool, typer.Option(help="Follow things from image to image, as the node does.")
    ] = False,
) -> None:
    """Run a bundle over recorded images: poses as CSV, overlays, and, of a bag, a bag with both."""
    from offline_search.estimate import estimate as run

    run(
        bundle,
        source,
        output=output,
        camera=camera,
        topic=topic,
        overlays=overlays.value,
        backend=backend,
        threads=threads,
        device=device,
        min_score=min_score,
        max_reprojection_error=max_reprojection_error,
        limit=limit,
        bag=bag,
        bag_out=bag_out,
        track=track,
    )


@app.command()
def inspect(
    bundle: Annotated[Path, typer.Argument(help="Model bundle: folder or zip.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Check a bundle and show what it holds: objects, networks, costs, how it was trained."""
    from offline_search.inspect_bundle import inspect as run

    run(bundle, as_json=as_json)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for report, video, poses and bag.")] = Path(
        "demo"
    ),
    bundle: Annotated[
        Path | None, typer.Option(help="Show this bundle instead of making one.")
    ] = None,
    thing: Annotated[str, typer.Option("--object", help="What moves: a name or file.")] = "spot",
    seconds: Annotated[float, typer.Option(help="Length of the motion.", min=1)] = 30.0,
    seed: Seed = 0,
    images: Annotated[int, typer.Option(help="Samples of the pose network.", min=1)] = 40_000,
    locator_images: Annotated[int, typer.Option(help="Samples of the locator.", min=1)] = 16_000,
    architecture: PoseArchitecture = None,
    budget: Annotated[
        str | None,
        typer.Option(help="Most MACs of the pose network; a search is for 15M by default."),
    ] = None,
    search_images: SearchImages = 12_000,
    layers: Layers = 3000,
    frames: Annotated[int, typer.Option(help="Held-out frames to judge on.", min=1)] = 60,
    jobs: Annotated[
        int | None, typer.Option(help="Processes side by side; by default a core each.", min=1)
    ] = None,
    workers: Workers = 1,
    device: Device = "cpu",
    record_overlay: Annotated[bool, typer.Option(help="Record the overlay pictures too.")] = False,
) -> None:
    """Search, train, run camera and pose node, record, report. Last line on stdout is JSON."""
    from offline_search.demo import DemoRequest, default_jobs
    from offline_search.demo import demo as run

    # What reads it needs torch, which showing a finished bundle does not.
    budget_macs = _budget(budget, architecture, "15M") if bundle is None else None
    figures = run(
        DemoRequest(
            out=out,
            bundle=bundle,
            object=thing,
            seconds=seconds,
            seed=seed,
            train={
                "images": images,
                "locator_images": locator_images,
                "architecture": architecture,
                "budget_macs": budget_macs,
                "search_images": search_images,
                "layers": layers,
                "frames": frames,
                "settings": {"device": device, "workers": workers, "validation": 256},
            },
            jobs=jobs or default_jobs(),
            record_overlay=record_overlay,
        )
    )
    typer.echo(f"report: {out / 'report.html'}")
    typer.echo(json.dumps(figures))


def _budget(text: str | None, architecture: str | None, default: str) -> int | None:
    """Most MACs of a pose network; None where its architecture is given without a budget."""
    from offline_search.search_stages import parse_macs

    if text is None and architecture is not None:
        return None
    return round(parse_macs(text or default))


def _json(text: str, option: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"{option} {text!r} is no JSON ({error})") from None
    if not isinstance(document, dict):
        raise typer.BadParameter(f"{option} must be a JSON object, such as '{{\"lr\": 0.002}}'")
    return document


if __name__ == "__main__":
    app(prog_name="fpg-pose")
