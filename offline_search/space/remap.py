# SPDX-License-Identifier: Apache-2.0
"""Parameter remapping: a network starts from the weights of another one, its seed.

The two may differ in depth, width and kernels. As in FNA (arXiv 2001.02525, and its released code),
by which EfficientPose (arXiv 2012.07086) starts:

- depth: a layer takes the weights of the seed's layer of the same place in the same stage; layers
  that the seed's stage lacks take those of its last one;
- width: the first channels are the seed's, and read nothing from channels that the seed has not;
- kernel: the middle is the seed's, of a larger one cut out, around a smaller one zeros.

Ours: new channels keep their fresh start (with zeros, FNA's filling, both sides of a ReLU would
stay zero for ever). So a network that is wider or of larger kernels than its seed begins with the
seed's outputs. An operator takes weights of one of its make alone, from the nearest layer before it
in the stage where its own has none. What has no counterpart keeps its fresh start: other makes,
further stages, a head of another kind, the last layer for another number of maps, and linear layers
of another shape.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from offline_search.space.architecture import Architecture, ArchitectureError
from offline_search.space.network import Layer, Network
from offline_search.space.operators import make_of


def remap(seed: Network, target: Network) -> dict[str, Tensor]:
    """The target's state with what it has of the seed; neither network is changed.

    Raises:
        ArchitectureError: One commutes with turns of the image, the other does not.
    """
    head = remap_head(seed, target.head, target.architecture)
    return {**remap_body(seed, target), **_under("head", head), **_cell(seed, target)}


def remap_body(seed: Network, target: Network) -> dict[str, Tensor]:
    """The part of `remap` in front of the head.

    Raises:
        ArchitectureError: See `remap`.
    """
    if seed.architecture.turns != target.architecture.turns:
        raise ArchitectureError(
            f"the seed network has turns {seed.architecture.turns}, this one "
            f"{target.architecture.turns}: choose a seed of the same"
        )
    state = _under("stem", _remap_module(seed.stem, target.stem))
    donors, takers = _stages(seed), _stages(target)
    slot = 0
    for stage, layers in enumerate(takers):
        givers = donors[stage] if stage < len(donors) else []
        for layer, operators in enumerate(layers):
            for index, (name, operator) in enumerate(operators):
                donor = _donor(givers[: layer + 1], name)
                state |= _under(
                    f"layers.{slot}.operators.{index}", _remap_module(donor or operator, operator)
                )
            slot += 1
    return state


def remap_head(seed: Network, head: nn.Module, architecture: Architecture) -> dict[str, Tensor]:
    """The state of a head that belongs to an architecture with what it has of the seed's."""
    ours, theirs = architecture.head, seed.architecture.head
    if ours.kind != theirs.kind:
        return _remap_module(head, head)
    state = _remap_module(seed.head, head)
    if (ours.outputs, ours.mask) != (theirs.outputs, theirs.mask):
        # Its rows belong to keypoints of another object.
        state |= {name: t.clone() for name, t in head.state_dict().items() if _is_last(name)}
    return state


def _cell(seed: Network, target: Network) -> dict[str, Tensor]:
    """The state of the target's temporal cell: operators of the same lag and name are the seed's.

    A new operator adds nothing at first, so a network that only gains a cell begins as its seed.
    """
    if target.cell is None:
        return {}
    donors = {} if seed.cell is None else seed.cell.state_dict()
    return {
        f"cell.{name}": _remap_tensor(donors.get(name), fresh, outputs=0)
        for name, fresh in target.cell.state_dict().items()
    }


def remap_weight(seed: Tensor, fresh: Tensor, *, outputs: int = 0) -> Tensor:
    """One convolution's kernels from another's.

    Args:
        seed: (O, I, k, k), or (I, O, k, k) of a transposed convolution.
        fresh: The same with other sizes: what it starts from without a seed.
        outputs: The axis of O: 0 or 1.
    """
    remapped = fresh.clone()
    known = min(seed.shape[outputs], fresh.shape[outputs])
    remapped.narrow(outputs, 0, known).zero_()
    into, out_of = remapped, seed
    for axis, (ours, theirs) in enumerate(zip(fresh.shape, seed.shape, strict=True)):
        common = min(ours, theirs)
        middle = axis >= 2
        into = into.narrow(axis, (ours - common) // 2 if middle else 0, common)
        out_of = out_of.narrow(axis, (theirs - common) // 2 if middle else 0, common)
    into.copy_(out_of)
    return remapped


def _remap_module(seed: nn.Module, target: nn.Module) -> dict[str, Tensor]:
    """The target's state from a module of the same make; a module from itself is itself."""
    donors = seed.state_dict()
    transposed = {
        f"{name}.weight"
        for name, module in target.named_modules()
        if isinstance(module, nn.ConvTranspose2d)
    }
    return {
        name: _remap_tensor(donors.get(name), fresh, outputs=int(name in transposed))
        for name, fresh in target.state_dict().items()
    }


def _remap_tensor(seed: Tensor | None, fresh: Tensor, *, outputs: int) -> Tensor:
    if seed is None or seed.dim() != fresh.dim():
        return fresh.clone()
    seed = seed.to(fresh)
    if fresh.dim() == 4:
        return remap_weight(seed, fresh, outputs=outputs)
    if fresh.dim() == 1:
        known = min(len(seed), len(fresh))
        return torch.cat((seed[:known], fresh[known:]))
    return seed.clone() if seed.shape == fresh.shape else fresh.clone()


def _stages(network: Network) -> list[list[list[tuple[str, nn.Module]]]]:
    """Of each stage and layer the operators, with their names."""
    layers = iter(network.layers)
    found = []
    for stage in network.architecture.stages:
        of_stage = []
        for names in stage.layers:
            layer = next(layers)
            assert isinstance(layer, Layer)
            of_stage.append(list(zip(names, layer.operators, strict=True)))
        found.append(of_stage)
    return found


def _donor(layers: list[list[tuple[str, nn.Module]]], name: str) -> nn.Module | None:
    """From the last of these layers that has it: the operator itself, or the largest of its make.

    A seed's stage may have fewer layers than are looked at.
    """
    for operators in reversed(layers):
        alike = [entry for entry in operators if make_of(entry[0]) == make_of(name)]
        if alike:
            return max(alike, key=lambda entry: (entry[0] == name, _size(entry[1])))[1]
    return None


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _is_last(name: str) -> bool:
    return name.startswith(("maps.", "heat.", "box."))


def _under(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": tensor for name, tensor in state.items()}
