"""Recognition of the sequence from pixels alone, for images whose headers say nothing.

The body is seen whole at a coarse fixed shape; probabilities are calibrated by one temperature on held-out images.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lib.domain.errors import BadWeightsError, NotEnoughLabelsError
from lib.domain.sequences import SEQUENCES, get_sequence
from lib.imaging.geometry import to_canonical
from lib.imaging.volume import Volume, read_volume
from lib.nets.augment import Strength, moved, random_grid, recolour
from lib.nets.grids import Shape, Spacing, grid_weights, resample, to_working
from lib.nets.networks import checked_notes, pick_device
from lib.nets.weightfile import read_tensors, write_tensors

_TASK = "recognise"
_GROUPS = 8
_LEARNING_RATE = 1e-3
_BATCH = 8
_POOLED = (2, 2, 2)  # keeps roughly where in the body a brightness is
_FEWEST_CODES = 2
_TEMPERATURES = torch.logspace(-0.5, 1.0, 61)
# The curve stays gentle: the order and distance of tissue brightness is what tells one sequence from another.
_STRENGTH = Strength(curve=0.15, gamma=0.1, noise=0.15, bias=0.2, scale=0.2)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecogniserPlan:
    """How the classifier is built.

    Attributes:
        codes: Sequence codes of the classes, in order.
        shape: Voxels that every body is brought to (right, anterior, superior).
        spacing_mm: Grid on which the body is found and normalised.
        channels: Features per level; every level halves the resolution.
        temperature: Divides the logits.
    """

    codes: tuple[str, ...]
    shape: Shape = (64, 48, 32)
    spacing_mm: Spacing = (3.0, 3.0, 4.0)
    channels: tuple[int, ...] = (16, 32, 64, 96)
    temperature: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RecogniserWeights:
    """A trained classifier with its plan and free notes."""

    plan: RecogniserPlan
    state: Mapping[str, Tensor]
    notes: Mapping[str, str] = field(default_factory=dict)


class Recogniser:
    """A trained classifier, safe to call from several threads."""

    def __init__(self, weights: RecogniserWeights, device: str = "auto") -> None:
        """Build the classifier on its device.

        Raises:
            BadWeightsError: When the state does not fit its plan.
        """
        self.plan = weights.plan
        self._device = pick_device(device)
        self._network = _network_with(weights).to(self._device).eval()

    @torch.inference_mode()
    def __call__(self, volume: Volume) -> dict[str, float]:
        """Probability of every sequence code, most probable first.

        Raises:
            BadImageError: When the image holds intensities that are not finite.
        """
        image = glance(volume, self.plan)[None, None].to(self._device)
        chances = torch.softmax(self._network(image)[0].float() / self.plan.temperature, 0).tolist()
        ranked = sorted(zip(self.plan.codes, chances, strict=True), key=lambda row: -row[1])
        return dict(ranked)


def glance(volume: Volume, plan: RecogniserPlan) -> Tensor:
    """Bring the body in an image to the plan's shape, normalised: (X, Y, Z) float32."""
    body = to_working(to_canonical(volume), plan.spacing_mm).image
    size_mm = [n * edge for n, edge in zip(body.shape, plan.spacing_mm, strict=True)]
    i, j, k = (size / n for size, n in zip(size_mm, plan.shape, strict=True))
    x, y, z = grid_weights((body.shape[0], body.shape[1], body.shape[2]), plan.spacing_mm, plan.shape, (i, j, k))
    return resample(body, (x, y, z))


def build_recogniser(plan: RecogniserPlan) -> nn.Module:
    """Small convolutional classifier: images (B, 1, X, Y, Z) to logits (B, codes)."""
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise((1, *plan.channels)):
        layers += [
            nn.Conv3d(before, after, 3, stride=2, padding=1),
            nn.GroupNorm(_GROUPS, after),
            nn.LeakyReLU(0.01),
        ]
    pooled = [
        nn.AdaptiveAvgPool3d(_POOLED),
        nn.Flatten(),
        nn.Linear(plan.channels[-1] * math.prod(_POOLED), len(plan.codes)),
    ]
    return nn.Sequential(*layers, *pooled)


def _network_with(weights: RecogniserWeights) -> nn.Module:
    try:
        network = build_recogniser(weights.plan)
        network.load_state_dict(dict(weights.state))
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        msg = "the recogniser's weights do not fit their plan"
        raise BadWeightsError(msg) from error
    return network


def save_recogniser(path: Path, weights: RecogniserWeights) -> None:
    """Write a classifier to one file, atomically.

    Raises:
        BadWeightsError: When a weight is not finite.
    """
    write_tensors(path, weights.state, {"task": _TASK, "plan": asdict(weights.plan), "notes": dict(weights.notes)})


def load_recogniser(path: Path) -> RecogniserWeights:
    """Read a classifier and check that its tensors fit its plan.

    Raises:
        BadWeightsError: When the file is damaged, for another task, or does not fit its own plan.
    """
    state, header = read_tensors(path)
    if header.get("task") != _TASK:
        msg = f"the weight file is for task {header.get('task')!r}; expected {_TASK!r}"
        raise BadWeightsError(msg)
    plan = _plan_from(header.get("plan"))
    weights = RecogniserWeights(plan=plan, state=state, notes=checked_notes(header.get("notes")))
    _network_with(weights)
    return weights


def _plan_from(found: Any) -> RecogniserPlan:
    names = {item.name for item in fields(RecogniserPlan)}
    if not isinstance(found, dict) or set(found) != names:
        msg = f"the recogniser's plan does not have exactly the entries {', '.join(sorted(names))}"
        raise BadWeightsError(msg)
    try:
        i, j, k = (int(count) for count in found["shape"])
        right, anterior, superior = (float(edge) for edge in found["spacing_mm"])
        return RecogniserPlan(
            codes=tuple(str(code) for code in found["codes"]),
            shape=(i, j, k),
            spacing_mm=(right, anterior, superior),
            channels=tuple(int(count) for count in found["channels"]),
            temperature=float(found["temperature"]),
        )
    except (TypeError, ValueError) as error:
        msg = "the recogniser's plan has an entry of the wrong type"
        raise BadWeightsError(msg) from error


def train_recogniser(
    train: Sequence[tuple[Path, str]],
    calibrate: Sequence[tuple[Path, str]],
    *,
    epochs: int = 30,
    minutes: float | None = None,
    seed: int = 0,
    device: str = "auto",
    should_stop: Callable[[], bool] = lambda: False,
) -> RecogniserWeights:
    """Train and calibrate a classifier.

    Args:
        train: Image file and its sequence code.
        calibrate: The same, of other patients: sets the temperature, and is what ``held_out_accuracy`` is measured on.
        epochs: Passes over the images.
        minutes: Ends the run early, reading included; the learning rate then fits the time.
        seed: Makes a run on the CPU that is limited by epochs repeatable.
        device: ``"auto"``, or a torch device.
        should_stop: Asked before every step.

    Returns:
        Weights whose notes hold ``held_out_accuracy`` and ``held_out_images``.

    Raises:
        NotEnoughLabelsError: When there are fewer than two images, or fewer than two sequences.
        UnknownSequenceError: When a code is not in the table.
        BadImageError: When an image cannot be read.
    """
    began = time.monotonic()
    plan = RecogniserPlan(codes=_codes(train))
    (images, targets), aside = _seen(train, plan), _seen(calibrate, plan)
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_recogniser(plan).to(pick_device(device))
    pace = _pace(began, minutes, epochs * math.ceil(len(images) / _BATCH), should_stop)
    _learn(network, images, targets, plan, pace, generator)
    return _calibrated(network.cpu().eval(), *aside, plan)


def _seen(cases: Sequence[tuple[Path, str]], plan: RecogniserPlan) -> tuple[Tensor, Tensor]:
    """Images (N, 1, X, Y, Z) and class indices (N,)."""
    with ThreadPoolExecutor(2) as pool:
        images = list(pool.map(lambda case: glance(read_volume(case[0]), plan), cases))
    targets = torch.tensor([plan.codes.index(code) for _, code in cases], dtype=torch.long)
    return torch.stack(images)[:, None] if images else torch.empty((0, 1, *plan.shape)), targets


def _codes(cases: Sequence[tuple[Path, str]]) -> tuple[str, ...]:
    seen = {get_sequence(code).code for _, code in cases}
    codes = tuple(code for code in SEQUENCES if code in seen)
    if len(codes) < _FEWEST_CODES:
        msg = f"{len(cases)} images of {len(codes)} sequences; expected images of at least two sequences"
        raise NotEnoughLabelsError(msg)
    return codes


def _pace(began: float, minutes: float | None, steps: int, should_stop: Callable[[], bool]) -> Iterator[float]:
    """Yield the share of the budget used before each step, until it is used up."""
    first = time.monotonic()
    for step in range(steps):
        timed = 0.0 if minutes is None else (time.monotonic() - first) / max(1e-9, began + 60 * minutes - first)
        if should_stop() or not 0 <= timed < 1:
            return
        yield max(timed, step / steps)


def _learn(
    network: nn.Module,
    images: Tensor,
    targets: Tensor,
    plan: RecogniserPlan,
    pace: Iterator[float],
    generator: torch.Generator,
) -> None:
    device = next(network.parameters()).device
    optimiser = torch.optim.AdamW(network.parameters(), _LEARNING_RATE, weight_decay=1e-2)
    order = torch.empty(0, dtype=torch.long)
    for progress in pace:
        if len(order) < min(_BATCH, len(images)):
            order = torch.randperm(len(images), generator=generator)
        picked, order = order[:_BATCH], order[_BATCH:]
        for group in optimiser.param_groups:
            group["lr"] = _LEARNING_RATE * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))
        grid = random_grid(images[picked], plan.shape, plan.spacing_mm, generator, _STRENGTH)
        logits = network(recolour(moved(images[picked], grid), generator, _STRENGTH).to(device))
        optimiser.zero_grad()
        loss = nn.functional.cross_entropy(logits, targets[picked].to(device))
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()


@torch.inference_mode()
def _calibrated(network: nn.Module, images: Tensor, targets: Tensor, plan: RecogniserPlan) -> RecogniserWeights:
    """Choose the temperature with the least cross-entropy on images that were not learned from."""
    temperature, accuracy = 1.0, math.nan
    if len(images):
        logits = torch.cat([network(image[None]) for image in images])
        losses = torch.stack([nn.functional.cross_entropy(logits / value, targets) for value in _TEMPERATURES])
        temperature = float(_TEMPERATURES[losses.argmin()])
        accuracy = float((logits.argmax(1) == targets).float().mean())
    return RecogniserWeights(
        plan=replace(plan, temperature=temperature),
        state={name: tensor.clone() for name, tensor in network.state_dict().items()},
        notes={"held_out_accuracy": f"{accuracy:.3f}", "held_out_images": str(len(images))},
    )
