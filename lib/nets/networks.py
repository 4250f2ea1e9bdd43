"""Segmentation networks: a plan is data, a network is built from it, and both live in one weight file.

The expensive layers run on voxels of about 3 mm: a strided stem folds the working grid (1.5 x 1.5 x 3 mm) into it and
a transposed head unfolds the classes back: the same layers on the working grid would visit four times the voxels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from monai.networks.nets import DynUNet
from torch import Tensor, nn

from lib.domain.errors import BadWeightsError
from lib.domain.sequences import SEQUENCES
from lib.domain.structures import STRUCTURE_NAMES, structure_names
from lib.nets.weightfile import read_tensors, write_tensors

ALL_SEQUENCES = "all"
_FEWEST_LEVELS = 3
_TASK = "segment"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a network is for and how it is built; written before training and stored with the weights.

    Attributes:
        code: Sequence code, or ``"all"``.
        structures: Names of the classes 1..N, in order; class 0 is background.
        spacing_mm: Working voxel edge lengths (right, anterior, superior), in mm.
        patch: Voxels of one training patch on the working grid.
        window: Voxels predicted at once, like a patch: instance norm's statistics depend on what is in view. Larger
            images are predicted in overlapping windows.
        stem: Voxels of the working grid folded into one internal voxel.
        channels: Feature channels per level; every level halves the resolution.
        inputs: Input channels; the image is the first.
    """

    code: str
    structures: tuple[str, ...] = STRUCTURE_NAMES
    spacing_mm: tuple[float, float, float] = (1.5, 1.5, 3.0)
    patch: tuple[int, int, int] = (96, 96, 40)
    window: tuple[int, int, int] = (96, 96, 40)
    stem: tuple[int, int, int] = (2, 2, 1)
    channels: tuple[int, ...] = (16, 32, 64, 128)
    inputs: int = 1

    @property
    def classes(self) -> int:
        """Output channels: background and each structure."""
        return 1 + len(self.structures)

    @property
    def multiple(self) -> tuple[int, int, int]:
        """The network takes images whose shape is a multiple of this."""
        deepest = 2 ** (len(self.channels) - 1)
        i, j, k = (step * deepest for step in self.stem)
        return i, j, k


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedWeights:
    """A trained state with the plan it fits, and free notes (version, data hashes, scores)."""

    plan: Plan
    state: Mapping[str, Tensor]
    notes: Mapping[str, str] = field(default_factory=dict)


class FoldedNetwork(nn.Module):
    """A U-Net behind a strided stem: images (B, inputs, X, Y, Z) to logits (B, classes, X, Y, Z)."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        first, levels = plan.channels[0], len(plan.channels)
        self.stem = nn.Conv3d(plan.inputs, first, plan.stem, plan.stem)
        self.core = DynUNet(
            spatial_dims=3,
            in_channels=first,
            out_channels=first,
            kernel_size=[3] * levels,
            strides=[1] + [2] * (levels - 1),
            upsample_kernel_size=[2] * (levels - 1),
            filters=plan.channels,
            norm_name=("INSTANCE", {"affine": True}),  # statistics per image: an unseen scanner shifts nothing
        )
        self.head = nn.ConvTranspose3d(first, plan.classes, plan.stem, plan.stem)

    def forward(self, image: Tensor) -> Tensor:
        """Logits on the voxels of the image."""
        logits: Tensor = self.head(self.core(self.stem(image)))
        return logits


def build_network(plan: Plan) -> nn.Module:
    """Build the network of a plan, with random weights.

    Raises:
        BadWeightsError: When the plan describes no network.
        UnknownStructureError: When the plan names a structure that is not in the table.
    """
    structure_names(plan.structures)
    if plan.code != ALL_SEQUENCES and plan.code not in SEQUENCES:
        msg = f"the plan is for sequence {plan.code!r}; expected {ALL_SEQUENCES!r} or one of: {', '.join(SEQUENCES)}"
        raise BadWeightsError(msg)
    if len(plan.channels) < _FEWEST_LEVELS or any(count < 1 for count in plan.channels):
        msg = f"the plan has channels {plan.channels!r}; expected three or more positive counts"
        raise BadWeightsError(msg)
    return FoldedNetwork(plan)


def network_with(weights: LoadedWeights) -> nn.Module:
    """Build the network of a plan and fill in its trained state.

    Raises:
        BadWeightsError: When the state does not fit the plan.
    """
    network = build_network(weights.plan)
    try:
        network.load_state_dict(dict(weights.state))
    except RuntimeError as error:
        msg = "the weights do not fit their plan: a tensor is missing, unexpected or of another shape"
        raise BadWeightsError(msg) from error
    return network


def save_weights(path: Path, state: Mapping[str, Tensor], plan: Plan, notes: Mapping[str, str]) -> None:
    """Write plan, notes and state (as float16) to one file, atomically.

    Raises:
        BadWeightsError: When a weight is not finite.
    """
    write_tensors(path, state, {"task": _TASK, "plan": asdict(plan), "notes": dict(notes)})


def load_weights(path: Path) -> LoadedWeights:
    """Read a weight file and check that its tensors fit its plan.

    Raises:
        BadWeightsError: When the file is damaged, for another task, or does not fit its own plan.
    """
    state, header = read_tensors(path)
    if header.get("task") != _TASK:
        msg = f"the weight file is for task {header.get('task')!r}; expected {_TASK!r}"
        raise BadWeightsError(msg)
    notes = header.get("notes")
    weights = LoadedWeights(plan=_plan_from(header.get("plan")), state=state, notes=checked_notes(notes))
    network_with(weights)
    return weights


def checked_notes(notes: object) -> dict[str, str]:
    """Read the notes of a weight file's header.

    Raises:
        BadWeightsError: When they are not text by name.
    """
    if not isinstance(notes, dict) or not all(isinstance(value, str) for value in notes.values()):
        msg = "the weight file's notes are not text by name"
        raise BadWeightsError(msg)
    return notes


def _plan_from(found: object) -> Plan:
    names = {item.name for item in fields(Plan)}
    if not isinstance(found, dict) or {"inputs", *found} != names:  # files of earlier versions have no inputs
        msg = f"the weight file's plan does not have exactly the entries {', '.join(sorted(names))}"
        raise BadWeightsError(msg)
    try:
        return _typed_plan(found)
    except (TypeError, ValueError) as error:
        msg = "the weight file's plan has an entry of the wrong type"
        raise BadWeightsError(msg) from error


def _typed_plan(found: Mapping[str, Any]) -> Plan:
    right, anterior, superior = (float(edge) for edge in found["spacing_mm"])
    return Plan(
        code=str(found["code"]),
        structures=tuple(str(name) for name in found["structures"]),
        spacing_mm=(right, anterior, superior),
        patch=_triple(found["patch"]),
        window=_triple(found["window"]),
        stem=_triple(found["stem"]),
        channels=tuple(int(count) for count in found["channels"]),
        inputs=int(found.get("inputs", 1)),
    )


def _triple(found: Any) -> tuple[int, int, int]:
    i, j, k = (int(count) for count in found)
    return i, j, k


def pick_device(device: str) -> torch.device:
    """``"auto"`` is CUDA when there is one; anything else is taken as torch names it."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(device)


def mixed_precision(device: torch.device) -> torch.autocast:
    """Bfloat16 where the hardware multiplies it (CUDA, AVX512-BF16, AMX: twice as fast), else float32."""
    abilities: Mapping[str, Any] = torch.cpu.get_capabilities() if device.type == "cpu" else {}
    native = device.type == "cuda" or bool(abilities.get("avx512_bf16")) or bool(abilities.get("amx_bf16"))
    return torch.autocast(device.type, torch.bfloat16, enabled=native)
