"""What runs a trained network: OpenVINO on a CPU where it is installed, PyTorch elsewhere.

OpenVINO computes in float32 here, so that a reader gets the same proposal on every machine; that is still faster than
PyTorch, which is only quick where the processor multiplies bfloat16.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

from lib.nets.networks import LoadedWeights, mixed_precision, network_with, pick_device

Runner = Callable[[Tensor], Tensor]
"""Images (1, inputs, X, Y, Z), float32 on the CPU, to logits (1, classes, X, Y, Z), float32 on the CPU."""


def load_runner(weights: LoadedWeights, device: str = "auto") -> Runner:
    """Build a trained network where it runs fastest.

    Raises:
        BadWeightsError: When the state does not fit its plan.
    """
    network, where = network_with(weights).eval(), pick_device(device)
    if where.type == "cpu" and importlib.util.find_spec("openvino"):
        return openvino_runner(network, weights.plan.multiple, weights.plan.inputs)
    return torch_runner(network.to(where))


def torch_runner(network: nn.Module) -> Runner:
    """Run a network where its weights are, in bfloat16 where that is fast."""
    device = next((weight.device for weight in network.parameters()), torch.device("cpu"))

    @torch.inference_mode()
    def run(image: Tensor) -> Tensor:
        with mixed_precision(device):
            logits: Tensor = network(image.to(device))
        return logits.float().cpu()

    return run


def openvino_runner(network: nn.Module, multiple: tuple[int, int, int], inputs: int = 1) -> Runner:
    """Translate a network for OpenVINO, for images of any shape that it takes.

    Args:
        network: On the CPU, in evaluation mode.
        multiple: Shapes that the network takes are multiples of this.
        inputs: Its input channels.
    """
    import openvino  # optional, and slow to import

    example = torch.zeros(1, inputs, *(2 * step for step in multiple))
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of traced shape checks: the answer is the same for every shape
        model = openvino.convert_model(network, example_input=example)
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    compiled = openvino.Core().compile_model(model, "CPU", settings)

    def run(image: Tensor) -> Tensor:
        request = compiled.create_infer_request()  # one per call: requests are not for several threads
        return torch.from_numpy(request.infer([image.contiguous().numpy()])[0].copy())

    return run
