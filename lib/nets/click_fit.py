"""Training of the click network: proposals with mistakes, and a simulated reader who clicks on them.

The reader clicks into the middle of a mistake, then into what is wrong after the network's answer, as in DeepEdit's
and later interactive training. Half of the proposals are real ones of the networks that ship, where there are any.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lib.domain.clicks import Click
from lib.domain.errors import BadWeightsError, NotEnoughLabelsError
from lib.domain.records import LabelledImage
from lib.domain.structures import STRUCTURES
from lib.imaging.geometry import check_same_grid, to_canonical
from lib.imaging.mistakes import mistakes
from lib.imaging.volume import read_label, read_volume
from lib.nets.augment import augment, margin
from lib.nets.click_mistakes import spoiled
from lib.nets.clicks import around, encode
from lib.nets.grids import AIR, label_to_working, mask_box, to_working
from lib.nets.networks import LoadedWeights, Plan, build_network, mixed_precision
from lib.nets.trainee import FitSettings, Trainee, state_of

_AROUND_MM = 40.0  # kept of the image around kidneys, masses and cysts
_WIDE = 1.5  # a mistake is looked for in a box so much larger than a patch
_REAL = 0.5  # share of patches that start from a real proposal
_CLICKED = {"mass": 0.75, "kidney": 0.15, "cyst": 0.1}  # whose mistake is clicked
_OTHER_NAME = 0.3  # chance that "not this" is said as "this is something else"
_MOST_MORE = 1  # rounds of clicks after the first
_TAKEN_ON = 0.5  # chance that the network's answer becomes the label that the next click corrects


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClickCase:
    """A case on the working grid: image float16, truth and proposal (None without one) as classes, uint8."""

    image: Tensor
    truth: Tensor
    proposal: Tensor | None


def read_click_cases(
    cases: Sequence[LabelledImage], proposals: Path | None, plan: Plan, *, readers: int = 2
) -> list[ClickCase]:
    """Read cases and, from a folder of ``<image_id>.nii.gz``, the proposals that are there.

    Raises:
        BadImageError: When a file cannot be read.
        GeometryError: When a label is not on its image's grid.
        NotEnoughLabelsError: When no case has every structure drawn.
    """
    complete = [case for case in cases if case.drawn >= set(plan.structures)]
    if not complete:
        msg = f"none of {len(cases)} labels was drawn completely; expected {', '.join(plan.structures)}"
        raise NotEnoughLabelsError(msg)
    with ThreadPoolExecutor(readers) as pool:
        found = list(pool.map(lambda case: _read(case, proposals, plan), complete))
    return [case for case in found if case is not None]


def _read(case: LabelledImage, proposals: Path | None, plan: Plan) -> ClickCase | None:
    image, label = read_volume(case.image), read_label(case.label)
    check_same_grid(label, image)
    working = to_working(to_canonical(image), plan.spacing_mm)
    values = tuple(STRUCTURES[name].value for name in plan.structures)
    truth = label_to_working(to_canonical(label), plan.spacing_mm, values)[working.box]
    i, j, k = (round(_AROUND_MM / edge) for edge in plan.spacing_mm)
    box = mask_box(truth > 0, (i, j, k))
    if box is None:
        return None
    path = proposals / f"{case.image_id}.nii.gz" if proposals else None
    proposal = None
    if path and path.is_file():
        proposed = label_to_working(to_canonical(read_label(path)), plan.spacing_mm, values)
        proposal = proposed[working.box][box].clone()
    return ClickCase(image=working.image[box].half(), truth=truth[box].clone(), proposal=proposal)


@dataclass(slots=True, kw_only=True, eq=False)
class _Scene:
    """One patch in training; the simulated reader changes its label and adds clicks."""

    image: Tensor
    truth: Tensor
    label: Tensor
    clicks: list[Click]


class ClickTrainee(Trainee):
    """A click network in training."""

    def __init__(self, plan: Plan, settings: FitSettings, network: nn.Module, cases: Sequence[ClickCase]) -> None:
        super().__init__(plan, settings, network, time.monotonic())
        self._cases = cases
        self._rng = np.random.default_rng(settings.seed)

    def batch(self, _: object) -> tuple[Tensor, Tensor, Tensor]:
        """Patches with clicks, and the truth that the network should answer."""
        scenes = [self._scene() for _ in range(self.batch_size)]
        for _ in range(int(self._rng.integers(1 + _MOST_MORE))):
            self._click_again(scenes)
        truth = torch.stack([scene.truth for scene in scenes])[:, None].to(self.device)
        return self._shown(scenes), truth, torch.tensor([[False, *[True] * len(self.plan.structures)]] * len(scenes))

    def _shown(self, scenes: Sequence[_Scene]) -> Tensor:
        shown = [encode(one.image, one.label, one.clicks, self.plan) for one in scenes]
        return torch.stack(shown).to(self.device)

    def _scene(self) -> _Scene:
        """Cut a patch around a mistake, vary it, and click."""
        rng, plan = self._rng, self.plan
        case = self._cases[int(rng.integers(len(self._cases)))]
        real = case.proposal is not None and rng.random() < _REAL
        name = str(rng.choice(list(_CLICKED), p=list(_CLICKED.values())))
        index = 1 + plan.structures.index(name)
        label = case.proposal if real and case.proposal is not None else case.truth
        at = _somewhere(_wrong(label, case.truth, index) if real else case.truth.numpy() == index, rng)
        wide = tuple(round(_WIDE * n) for n in margin(plan.patch))
        image, truth, label = (
            around(source, at, wide, outside) for source, outside in ((case.image, AIR), (case.truth, 0), (label, 0))
        )
        if not real:
            label = torch.from_numpy(spoiled(truth.numpy(), plan.spacing_mm, rng))
        at = _somewhere(_wrong(label, truth, index), rng, near=tuple(n // 4 for n in wide))
        shape = margin(plan.patch)
        image, truth, label = (
            around(source, at, shape, outside) for source, outside in ((image, AIR), (truth, 0), (label, 0))
        )
        image, labels = augment(
            image[None, None].float().to(self.device), torch.stack([truth, label])[None].to(self.device),
            plan.patch, plan.spacing_mm, self.vary_randomly, self.settings.strength,
        )  # fmt: skip
        scene = _Scene(image=image[0, 0].cpu(), truth=labels[0, 0].cpu(), label=labels[0, 1].cpu(), clicks=[])
        self._click(scene, index)
        return scene

    def _click(self, scene: _Scene, index: int) -> None:
        """Click into one of the three largest mistakes of a structure; on the structure itself when there is none."""
        truth = scene.truth.numpy()
        found = mistakes(scene.label.numpy() == index, truth == index, self.plan.spacing_mm, most=3)
        if found:
            chosen = found[min(int(self._rng.exponential(0.6)), len(found) - 1)]
            at, inside = chosen.centre, chosen.missing
        else:
            at = _somewhere(truth == index, self._rng)
            inside = bool(truth[at] == index)
        x, y, z = (float(place + self._rng.normal(0, 0.7)) for place in at)
        actual = int(truth[at])
        name = self.plan.structures[index - 1]
        if not inside and actual and self._rng.random() < _OTHER_NAME:
            name, inside = self.plan.structures[actual - 1], True
        scene.clicks.append(Click(structure=name, inside=inside, at=(x, y, z)))

    def _click_again(self, scenes: Sequence[_Scene]) -> None:
        """Click into what is wrong after the network's answer to the clicks so far."""
        with torch.no_grad(), mixed_precision(self.device):
            answers = self.network(self._shown(scenes)).argmax(1).to("cpu", torch.uint8)
        for scene, answer in zip(scenes, answers, strict=True):
            index = 1 + self.plan.structures.index(scene.clicks[0].structure)
            before, scene.label = scene.label, answer
            self._click(scene, index)
            if self._rng.random() > _TAKEN_ON:
                scene.label = before


def _wrong(label: Tensor, truth: Tensor, index: int) -> NDArray[np.bool_]:
    wrong: NDArray[np.bool_] = ((label == index) != (truth == index)).numpy()
    return wrong


def _somewhere(
    mask: NDArray[np.bool_], rng: np.random.Generator, near: tuple[int, ...] = (0, 0, 0)
) -> tuple[int, int, int]:
    """A random voxel of a mask, at least ``near`` from the border; the middle when there is none."""
    inner = tuple(slice(edge, n - edge) for edge, n in zip(near, mask.shape, strict=True))
    found = np.flatnonzero(mask[inner])
    if not len(found):
        i, j, k = (n // 2 for n in mask.shape)
        return i, j, k
    place = np.unravel_index(int(found[rng.integers(len(found))]), mask[inner].shape)
    i, j, k = (int(at) + edge for at, edge in zip(place, near, strict=True))
    return i, j, k


def widened(weights: LoadedWeights, plan: Plan) -> dict[str, Tensor]:
    """State of a network that sees the image alone, for one that sees more: what is new counts for nothing at first.

    Raises:
        BadWeightsError: When the networks differ in more than their inputs.
    """
    if replace(weights.plan, code=plan.code, patch=plan.patch, window=plan.window, inputs=plan.inputs) != plan:
        msg = f"cannot start from a network of {weights.plan.channels} channels; expected the click network's plan"
        raise BadWeightsError(msg)
    state = dict(weights.state)
    first = state["stem.weight"]
    wide = torch.zeros(len(first), plan.inputs, *first.shape[2:])
    wide[:, : first.shape[1]] = first
    return {**state, "stem.weight": wide}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClickFit:
    """Averaged weights at the end of a training run, and how many steps it took."""

    state: dict[str, Tensor]
    steps: int


def fit_clicks(
    cases: Sequence[ClickCase],
    plan: Plan,
    settings: FitSettings,
    *,
    start_from: LoadedWeights | None = None,
    on_progress: Callable[[int, float, float], None] = lambda *_: None,
) -> ClickFit:
    """Train a click network.

    Args:
        cases: To learn from.
        plan: The network.
        settings: Budget and seed.
        start_from: Weights of a click network, or of a segmentation network of the same layers.
        on_progress: Told steps, share of the budget that is used and mean loss, after every
            ``settings.steps_per_epoch`` steps.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        network = build_network(plan)
    if start_from:
        network.load_state_dict(widened(start_from, plan))
    run = ClickTrainee(plan, settings, network, cases)
    losses: list[float] = []
    while run.progress() < 1:
        losses.append(float(run.step([])))
        if len(losses) == settings.steps_per_epoch:
            on_progress(run.steps, run.progress(), float(np.mean(losses)))
            losses.clear()
    return ClickFit(state=state_of(run.average), steps=run.steps)
