# SPDX-License-Identifier: Apache-2.0
"""The file of a table: every network of a small space, how it trained, and searches made in it.

It is gzip'd JSON lines. The first says what the table is of; each other one is of a `network`, a
`training` or a `search`, as `kind` says. A line's fields are those of the class of that name here.
(Tabular benchmarks of classification networks: NAS-Bench-101, arXiv 1902.09635, NAS-Bench-201,
arXiv 2001.00326.)
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from fpg_pose_ros.errors import FpgPoseError
from offline_search.space.architecture import ArchitectureError
from offline_search.space.meter import MacsMeter
from offline_search.space.search_space import Point, SearchSpace, load_space
from offline_search.strategies.problem import Budget
from offline_search.training.checkpoint import write_atomic

VERSION: Final = 1
"""Raised when a field changes its meaning."""
LEAST_SEEDS: Final = 2
"""Of every network's trainings in full."""


class TableError(FpgPoseError):
    """A table that cannot be read or used; the message says what to do."""


@dataclass(frozen=True)
class Network:
    """An architecture of the space, and its costs.

    Attributes:
        digest: `Architecture.digest`.
        choices, opened: See `Point`.
        macs: Multiply-accumulates of an inference.
        params: Parameters.
        latency_ms: Of an inference, by the parts that were measured on `About.latency_machine`.
    """

    digest: str
    choices: tuple[int, ...]
    opened: tuple[tuple[str, ...], ...]
    macs: int
    params: int
    latency_ms: float


@dataclass(frozen=True)
class Training:
    """A network's training from scratch.

    Attributes:
        network: Its digest.
        images: Samples seen; the learning rate falls to zero over them.
        seed: Of weights and samples.
        curve: Loss on held-out samples (`SearchTask.loss`, the comparing one, nats) after equal
            shares of the training; the last is of the finished network.
        keypoint_px, add_auc, add01: Of the finished network, see `pose_validation.judge`.
        minutes: Wall time.
        data: Digest of all samples that were shown.
    """

    network: str
    images: int
    seed: int
    curve: tuple[float, ...]
    keypoint_px: float
    add_auc: float
    add01: float
    minutes: float
    data: str

    @property
    def loss(self) -> float:
        """Of the finished network."""
        return self.curve[-1]


@dataclass(frozen=True)
class Search:
    """A strategy's search in the space, made for real.

    Attributes:
        strategy: Its name.
        settings: Its own.
        level: Compute that it was given, in trainings in full of a network of the budget.
        compute: What it spent of that, as far as its settings tell.
        seed: Of the search.
        found: Digest of the network it returned.
        ranking: Networks that it compared, and its estimates of them: less is better.
        minutes: Wall time.
    """

    strategy: str
    settings: Mapping[str, Any]
    level: float
    compute: float
    seed: int
    found: str
    ranking: tuple[tuple[str, float], ...]
    minutes: float


@dataclass(frozen=True)
class About:
    """What a table is of.

    Attributes:
        object: That the networks find.
        outputs: Its keypoints.
        space: Name of the space.
        budget_macs: Of all searches.
        images: Of a training in full.
        short_images: Of a short one, as strategies make that compare trained candidates: such
            trainings are of the networks in the budget's band alone, for others are no candidates.
        recipe: Digest of all that decides a training besides its samples.
        machine: On which the networks were trained and searched for.
        latency_machine: On which the times of their parts were measured.
    """

    object: str
    outputs: int
    space: str
    budget_macs: int
    images: int
    short_images: int
    recipe: str
    machine: str
    latency_machine: str

    @property
    def budget(self) -> Budget:
        """Of all searches."""
        return Budget(self.budget_macs, MacsMeter())


@dataclass(frozen=True)
class Table:
    """See the module."""

    about: About
    networks: tuple[Network, ...]
    trainings: tuple[Training, ...]
    searches: tuple[Search, ...]

    @property
    def space(self) -> SearchSpace:
        """All of whose architectures are here."""
        return load_space(self.about.space)

    @property
    def band(self) -> tuple[Network, ...]:
        """The networks that a search may end with: see `Budget.holds`."""
        return tuple(one for one in self.networks if self.about.budget.holds(one.macs))


def write_table(path: Path, table: Table) -> None:
    """Writes a table; the same one gives the same bytes.

    Raises:
        TrainingError: The disk is full.
    """
    lines = [{"kind": "table", "version": VERSION, **asdict(table.about)}]
    for kind, entries in (
        ("network", table.networks),
        ("training", table.trainings),
        ("search", table.searches),
    ):
        lines += [{"kind": kind, **asdict(entry)} for entry in entries]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    write_atomic(path, gzip.compress(text.encode(), mtime=0))


def read_table(path: Path) -> Table:
    """Reads a table and checks that it is whole: every network of its space, trained often enough.

    Raises:
        TableError: It is not, or it is damaged, or of another version.
    """
    try:
        text = gzip.decompress(path.read_bytes())
        head, *lines = [json.loads(line) for line in text.splitlines()]
        if head.pop("kind") != "table":
            raise ValueError("its first line is of no table")
        version = head.pop("version")
        if version != VERSION:
            raise TableError(
                f"{path} is a table of version {version}, this program reads {VERSION}: "
                "take the program that wrote it, or make the table anew"
            )
        table = Table(
            about=About(**head),
            networks=tuple(_network(line) for line in _of(lines, "network")),
            trainings=tuple(training(line) for line in _of(lines, "training")),
            searches=tuple(search(line) for line in _of(lines, "search")),
        )
    except (OSError, EOFError, ValueError, KeyError, TypeError, IndexError) as error:
        raise TableError(f"{path} is no table ({error}); benchmarks/table.py makes one") from error
    _check(path, table)
    return table


def training(line: Mapping[str, Any]) -> Training:
    """Of its JSON object."""
    return Training(**{**line, "curve": tuple(line["curve"])})


def search(line: Mapping[str, Any]) -> Search:
    """Of its JSON object."""
    ranking = tuple((digest, float(estimate)) for digest, estimate in line["ranking"])
    return Search(**{**line, "ranking": ranking})


def _network(line: Mapping[str, Any]) -> Network:
    opened = tuple(tuple(names) for names in line["opened"])
    return Network(**{**line, "choices": tuple(line["choices"]), "opened": opened})


def _of(lines: Iterable[Mapping[str, Any]], kind: str) -> Iterator[dict[str, Any]]:
    for line in lines:
        if line["kind"] == kind:
            yield {name: value for name, value in line.items() if name != "kind"}


def _check(path: Path, table: Table) -> None:
    about = table.about
    try:
        space = table.space
        digests = {
            space.architecture(Point(network.choices, network.opened), about.outputs).digest
            for network in table.networks
        }
    except ArchitectureError as error:
        raise TableError(f"{path}: its space is not that of this program ({error})") from error
    if digests != {network.digest for network in table.networks} or len(digests) != space.size:
        raise TableError(
            f"{path} holds {len(digests)} networks that are not all {space.size} of the space "
            f"{space.name} of this program; make the table anew"
        )
    for images, least, networks in (
        (about.images, LEAST_SEEDS, table.networks),
        (about.short_images, 1, table.band),
    ):
        counts = Counter(one.network for one in table.trainings if one.images == images)
        lacking = [one for one in networks if counts[one.digest] < least]
        if lacking:
            raise TableError(
                f"{path}: {len(lacking)} of {len(networks)} networks lack trainings of {images} "
                "images; run benchmarks/table.py to its end"
            )
    told = [one.network for one in table.trainings]
    for found in table.searches:
        told += [found.found, *(digest for digest, _ in found.ranking)]
    if unknown := set(told) - digests:
        raise TableError(f"{path} tells of a network that is not in it: {min(unknown)[:12]}")
