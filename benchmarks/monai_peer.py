"""The segmentation task of MONAI Label's radiology sample app: a peer that proposals are measured against.

Its SegResNet has random weights, which cost as much as trained ones, between the transforms of the app, with one class
a structure.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.inferers import SlidingWindowInferer
from monai.networks.nets import SegResNet
from monai.transforms import (
    Activationsd,
    AsDiscreted,
    Compose,
    EnsureChannelFirstd,
    GaussianSmoothd,
    Invertd,
    KeepLargestConnectedComponentd,
    NormalizeIntensityd,
    Orientationd,
    ScaleIntensityd,
    Spacingd,
)
from numpy.typing import NDArray

from lib.imaging.volume import Volume


def sample_app(classes: int) -> Callable[[Volume], tuple[NDArray[Any], dict[str, float]]]:
    """Images in; labels on their voxels and the seconds of each stage out."""
    network = SegResNet(
        spatial_dims=3,
        in_channels=1,
        out_channels=classes,
        init_filters=32,
        blocks_down=(1, 2, 2, 4),
        blocks_up=(1, 1, 1),
        dropout_prob=0.2,
    ).eval()
    before = Compose(
        [
            EnsureChannelFirstd("image", channel_dim="no_channel"),
            Orientationd("image", axcodes="RAS", labels=None),
            Spacingd("image", pixdim=(1.5, 1.5, 1.5)),
            NormalizeIntensityd("image", nonzero=True),
            GaussianSmoothd("image", sigma=0.4),
            ScaleIntensityd("image", minv=-1.0, maxv=1.0),
        ]
    )
    after = Compose(
        [
            Activationsd("pred", softmax=True),
            AsDiscreted("pred", argmax=True),
            KeepLargestConnectedComponentd("pred", applied_labels=list(range(1, classes))),
            Invertd("pred", before, orig_keys="image", nearest_interp=True, to_tensor=True),
        ]
    )
    slide = SlidingWindowInferer(
        roi_size=(96, 96, 96), sw_batch_size=2, overlap=0.4, padding_mode="replicate", mode="gaussian"
    )

    @torch.inference_mode()
    def predict(volume: Volume) -> tuple[NDArray[Any], dict[str, float]]:
        marks = [time.perf_counter()]
        image = MetaTensor(torch.from_numpy(volume.data.astype(np.float32)), affine=torch.from_numpy(volume.affine))
        item = before({"image": image})
        marks.append(time.perf_counter())
        item["pred"] = slide(item["image"][None], network)[0]
        marks.append(time.perf_counter())
        label = np.asarray(after(item)["pred"][0])
        marks.append(time.perf_counter())
        took = (late - soon for soon, late in itertools.pairwise(marks))
        return label, dict(zip(("prepare", "network", "restore"), took, strict=True))

    return predict
