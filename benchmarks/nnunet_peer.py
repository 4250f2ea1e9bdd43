"""nnU-Net's own trainer and predictor on our network, cases and patch: the peer that speed is measured against.

nnU-Net is not a dependency of the product; ``make bench-peers`` installs it beside the environment.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lib.imaging.geometry import from_canonical, to_canonical
from lib.imaging.volume import Volume
from lib.nets.cases import ReadyCase
from lib.nets.networks import LoadedWeights, Plan, build_network, network_with

PEERS = Path(sys.prefix) / "bench"
HOW = "nnU-Net is not installed here; `make bench-peers` does that"
_KERNEL = 5  # dimensions of a convolution's weights
_DATASET, _CONFIGURATION, _PLANS = "Dataset001_Peer", "3d_fullres", "nnUNetPlans"


def installed() -> bool:
    """Whether the peer can be measured."""
    return (PEERS / "nnunetv2").is_dir()


def flipped(plan: Plan) -> Plan:
    """The plan in nnU-Net's order of axes, slices first; the network costs the same."""
    return replace(
        plan,
        patch=plan.patch[::-1],
        window=plan.window[::-1],
        stem=plan.stem[::-1],
        spacing_mm=plan.spacing_mm[::-1],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerTrainer:
    """nnU-Net's trainer at work.

    Attributes:
        load: Takes the next batch from the augmenting workers.
        train: One optimiser step on a batch.
        schedule: Sets the learning rate for a share of the budget, 0 to 1, by nnU-Net's own curve.
        state: The weights, in our order of axes.
    """

    load: Callable[[], Any]
    train: Callable[[Any], Any]
    schedule: Callable[[float], None]
    state: Callable[[], Mapping[str, Tensor]]


def peer_fit(
    cases: Sequence[ReadyCase], plan: Plan, batch_size: int, seconds: float, device: torch.device, folder: Path
) -> tuple[Mapping[str, Tensor], int]:
    """Train from nothing for so many seconds of this process (what the augmenting worker takes is not counted).

    Returns:
        The weights, and how many steps there were.
    """
    with peer_trainer(cases, plan, batch_size, device, 1, folder) as peer:
        ready, steps, began = peer.load(), 0, time.process_time()
        while (spent := time.process_time() - began) < seconds:
            peer.schedule(spent / seconds)
            peer.train(ready)
            ready, steps = peer.load(), steps + 1
        return peer.state(), steps


@contextlib.contextmanager
def peer_trainer(
    cases: Sequence[ReadyCase], plan: Plan, batch_size: int, device: torch.device, workers: int, folder: Path
) -> Iterator[PeerTrainer]:
    """nnU-Net's trainer with its own loading, augmentation and step, on our network without deep supervision."""
    _prepare(folder, workers)
    _write_dataset(cases, plan, folder / "preprocessed" / _DATASET / _PLANS)
    quiet = io.StringIO()
    with contextlib.redirect_stdout(quiet):
        trainer = _trainer_class(flipped(plan))(
            _plans(plan, batch_size), _CONFIGURATION, 0, _dataset(cases, plan), device
        )
        trainer.initialize()
        loader, validation = trainer.get_dataloaders()
    try:
        trainer.network.train()
        yield PeerTrainer(
            load=lambda: next(loader),
            train=trainer.train_step,
            schedule=lambda done: trainer.lr_scheduler.step(int(done * trainer.num_epochs)),
            state=lambda: {
                name: turned(tensor.detach().cpu()) for name, tensor in trainer.network.state_dict().items()
            },
        )
    finally:
        for augmenter in (loader, validation):
            finish = getattr(augmenter, "_finish", None)
            if finish is not None:
                finish()


@contextlib.contextmanager
def peer_predictor(
    weights: LoadedWeights, folder: Path, mirroring: bool
) -> Iterator[Callable[[Volume], tuple[NDArray[Any], dict[str, float]]]]:
    """nnU-Net's predictor with our trained network; images in, labels on their voxels and seconds per stage out."""
    _prepare(folder, 1)
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    plan = weights.plan
    state = {name: turned(tensor) for name, tensor in weights.state.items()}
    network = network_with(LoadedWeights(plan=flipped(plan), state=state)).eval()
    plans = PlansManager(_plans(plan, 2))
    predictor = nnUNetPredictor(
        use_mirroring=mirroring, perform_everything_on_device=False, device=torch.device("cpu"), allow_tqdm=False
    )
    predictor.manual_initialization(
        network, plans, plans.get_configuration(_CONFIGURATION), [dict(network.state_dict())], _dataset([], plan), "peer",
        (0, 1, 2) if mirroring else None,
    )  # fmt: skip

    networks_s = 0.0
    logits = predictor.predict_logits_from_preprocessed_data

    def timed(*given: Any, **named: Any) -> Any:
        nonlocal networks_s
        began = time.perf_counter()
        found = logits(*given, **named)
        networks_s = time.perf_counter() - began
        return found

    predictor.predict_logits_from_preprocessed_data = timed

    def predict(volume: Volume) -> tuple[NDArray[Any], dict[str, float]]:
        began = time.perf_counter()
        canonical = to_canonical(volume)
        image = np.ascontiguousarray(canonical.data.astype(np.float32).transpose(2, 1, 0)[None])
        with contextlib.redirect_stdout(io.StringIO()):
            label = predictor.predict_single_npy_array(image, {"spacing": list(canonical.spacing_mm[::-1])})
        result = from_canonical(np.ascontiguousarray(label.transpose(2, 1, 0)), volume)
        return result, {"network": networks_s, "prepare and restore": time.perf_counter() - began - networks_s}

    yield predict


def turned(tensor: Tensor) -> Tensor:
    """A kernel in nnU-Net's order of axes."""
    return tensor.permute(0, 1, 4, 3, 2).contiguous() if tensor.ndim == _KERNEL else tensor


def _prepare(folder: Path, workers: int) -> None:
    """Tell nnU-Net its folders and workers before it is imported, which is when it looks."""
    for name in ("raw", "preprocessed", "results"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        os.environ[f"nnUNet_{name}"] = str(folder / name)
    os.environ["nnUNet_n_proc_DA"] = str(workers)  # noqa: SIM112 - its own spelling
    os.environ.setdefault("nnUNet_compile", "f" if not torch.cuda.is_available() else "t")
    if str(PEERS) not in sys.path:
        sys.path.append(str(PEERS))


def _trainer_class(plan: Plan) -> Any:
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    class OurNetwork(nnUNetTrainer):
        """nnU-Net's trainer around our network."""

        def initialize(self) -> None:
            self.enable_deep_supervision = False
            super().initialize()

        @staticmethod
        def build_network_architecture(*_: Any, **__: Any) -> nn.Module:
            return build_network(plan)

        def set_deep_supervision_enabled(self, enabled: bool) -> None:
            """Our network has no such switch, which nnU-Net's trainer would turn."""

        def do_split(self) -> tuple[list[str], list[str]]:
            names = sorted(
                path.name.removesuffix("_seg.b2nd")
                for path in Path(self.preprocessed_dataset_folder).glob("*_seg.b2nd")
            )
            return names, names[:1]

    return OurNetwork


def _write_dataset(cases: Sequence[ReadyCase], plan: Plan, folder: Path) -> None:
    from nnunetv2.training.dataloading.nnunet_dataset import comp_blosc2_params, nnUNetDatasetBlosc2

    folder.mkdir(parents=True, exist_ok=True)
    for number, case in enumerate(cases):
        image = np.ascontiguousarray(case.image.float().numpy().transpose(2, 1, 0)[None])
        label = np.ascontiguousarray(case.label.numpy().astype(np.int8).transpose(2, 1, 0)[None])
        blocks, chunks = comp_blosc2_params(image.shape, plan.patch[::-1], image.itemsize)
        places = {value: np.argwhere(label == value)[:10_000] for value in range(1, plan.classes)}
        nnUNetDatasetBlosc2.save_case(
            image, label, {"class_locations": places}, str(folder / f"case{number:03d}"), chunks=chunks, blocks=blocks
        )


def _dataset(cases: Sequence[ReadyCase], plan: Plan) -> dict[str, Any]:
    labels = {"background": 0} | {name: index for index, name in enumerate(plan.structures, start=1)}
    return {
        "channel_names": {"0": "MR"},
        "labels": labels,
        "numTraining": len(cases),
        "file_ending": ".nii.gz",
    }


def _plans(plan: Plan, batch_size: int) -> dict[str, Any]:
    levels = len(plan.channels)
    configuration = {
        "data_identifier": _PLANS,
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": batch_size,
        "patch_size": list(plan.patch[::-1]),
        "spacing": list(plan.spacing_mm[::-1]),
        "median_image_size_in_voxels": list(plan.patch[::-1]),
        "normalization_schemes": ["ZScoreNormalization"],
        "use_mask_for_norm": [False],
        "resampling_fn_data": "resample_data_or_seg_to_shape",
        "resampling_fn_seg": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None},
        "resampling_fn_seg_kwargs": {"is_seg": True, "order": 1, "order_z": 0, "force_separate_z": None},
        "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
        "resampling_fn_probabilities_kwargs": {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None},
        "architecture": {
            "network_class_name": "lib.nets.networks.FoldedNetwork",
            "arch_kwargs": {"strides": [[1, 1, 1]] + [[2, 2, 2]] * (levels - 1), "n_stages": levels},
            "_kw_requires_import": [],
        },
        "batch_dice": False,
    }
    return {
        "continue_training": False,
        "dataset_name": _DATASET,
        "plans_name": _PLANS,
        "original_median_spacing_after_transp": list(plan.spacing_mm[::-1]),
        "original_median_shape_after_transp": list(plan.patch[::-1]),
        "image_reader_writer": "NibabelIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": {_CONFIGURATION: configuration},
        "experiment_planner_used": "none",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": {}},
    }
