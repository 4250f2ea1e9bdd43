"""What an image looks like to the kidney finder: statistics of its layers, which differ by scanner.

Each convolution's output is taken before instance norm evens it out: its mean and spread per channel say how the image
is lit, how sharp and how noisy it is, and what it shows.
"""

from __future__ import annotations

from threading import Lock

import torch
from torch import Tensor, nn

from lib.imaging.geometry import to_canonical
from lib.imaging.volume import Volume
from lib.nets.grids import pad_to, to_working
from lib.nets.networks import LoadedWeights, network_with

_SMALLEST_SPREAD = 1e-4


class FeatureReader:
    """Reads the finder's features of images, on the CPU; safe to call from several threads, one image at a time."""

    def __init__(self, weights: LoadedWeights) -> None:
        """Build the finder's network.

        Raises:
            BadWeightsError: When the state does not fit its plan.
        """
        self._plan = weights.plan
        self._network = network_with(weights).eval()
        self._seen: list[Tensor] = []
        self._lock = Lock()
        for layer in _watched(self._network):
            layer.register_forward_pre_hook(self._note)

    @torch.inference_mode()
    def __call__(self, volume: Volume) -> list[float]:
        """Describe one image.

        Returns:
            Mean and logarithm of the spread of every watched channel (n,).

        Raises:
            BadImageError: When the image holds intensities that are not finite.
        """
        working = to_working(to_canonical(volume), self._plan.spacing_mm).image
        i, j, k = (
            max(2, -(-length // step)) * step for length, step in zip(working.shape, self._plan.multiple, strict=True)
        )
        with self._lock:
            self._seen.clear()
            self._network(pad_to(working, (i, j, k))[None, None])
            found: list[float] = torch.cat(self._seen).tolist()
            return found

    def _note(self, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        channels = inputs[0][0].flatten(1)
        spread = channels.std(1, correction=0).clamp(min=_SMALLEST_SPREAD)
        self._seen += [channels.mean(1), spread.log()]


def _watched(network: nn.Module) -> list[nn.Module]:
    """The first norm of every level on the way down, and the last of the deepest: 184 channels of the usual finder."""
    norms = {name: layer for name, layer in network.named_modules() if isinstance(layer, nn.InstanceNorm3d)}
    first = [layer for name, layer in norms.items() if name.endswith("norm1") and "upsamples" not in name]
    return [*first, *(layer for name, layer in norms.items() if name.endswith("bottleneck.norm2"))]
