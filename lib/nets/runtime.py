"""What runs a trained network: CUDA graphs on a GPU, OpenVINO on a CPU where it is installed, else PyTorch.

OpenVINO computes in float32 here, so that a reader gets the same proposal on every machine; that is still faster than
PyTorch, which is only quick where the processor multiplies bfloat16. On a GPU the network computes in bfloat16, and
what it does to a window of one shape is recorded once and replayed: launching its kernels one by one takes longer than
they run.
"""

from __future__ import annotations

import copy
import importlib.util
import logging
import warnings
from collections.abc import Callable
from threading import Lock

import torch
from torch import Tensor, nn

from lib.nets.networks import LoadedWeights, mixed_precision, network_with, pick_device

logger = logging.getLogger(__name__)

Runner = Callable[[Tensor], Tensor]
"""Images (1, inputs, X, Y, Z), float32 on the CPU, to logits (1, classes, X, Y, Z), float32 on the network's device."""

_MOST_RECORDED = 8  # shapes: each keeps its memory on the GPU
_REHEARSALS = 3  # runs before a recording, in which cuDNN chooses its algorithms
_TRANSLATING = Lock()  # PyTorch traces one network at a time; of two at once, one fails


def load_runner(weights: LoadedWeights, device: str = "auto") -> Runner:
    """Build a trained network where it runs fastest.

    Raises:
        BadWeightsError: When the state does not fit its plan.
    """
    network, where = network_with(weights).eval(), pick_device(device)
    if where.type == "cpu" and importlib.util.find_spec("openvino"):
        return openvino_runner(network, weights.plan.multiple, weights.plan.inputs)
    if where.type == "cuda":
        return replaying_runner(network.to(where), (1, weights.plan.inputs, *weights.plan.window))
    return torch_runner(network.to(where))


def replaying_runner(
    network: nn.Module,
    first: tuple[int, ...],
    record: Callable[[nn.Module, Tensor], Callable[[Tensor], Tensor]] | None = None,
) -> Runner:
    """Run a network in bfloat16 by replaying a recording, one for each shape of window.

    Where recording fails the network runs as it is, and that is said once.

    Args:
        network: On its device, in evaluation mode.
        first: Shape of the images (1, inputs, X, Y, Z) that are recorded beforehand.
        record: Makes the recording from an example; None for CUDA graphs.
    """
    device = next(network.parameters()).device
    quick = copy.deepcopy(network).to(dtype=torch.bfloat16, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    recorded: dict[torch.Size, Callable[[Tensor], Tensor]] = {}
    lock, make = Lock(), record or cuda_graph
    failed = False

    def recording(image: Tensor) -> Callable[[Tensor], Tensor]:
        nonlocal failed
        if image.shape not in recorded and not failed and len(recorded) < _MOST_RECORDED:
            try:
                recorded[image.shape] = make(quick, image)
            except RuntimeError as error:
                failed = True
                logger.warning("the network could not be recorded (%s); it runs unrecorded", type(error).__name__)
        chosen: Callable[[Tensor], Tensor] = recorded.get(image.shape, quick)
        return chosen

    @torch.inference_mode()
    def run(image: Tensor) -> Tensor:
        with lock:  # a recording has one input and one output
            there = image.to(device, torch.bfloat16)
            return recording(there)(there).to(torch.float32, copy=True)

    run(torch.zeros(first))
    return run


def cuda_graph(network: nn.Module, example: Tensor) -> Callable[[Tensor], Tensor]:
    """Record what a network does to an image of the example's shape, as a CUDA graph."""
    given = example.clone()
    aside = torch.cuda.Stream(given.device)  # type: ignore[no-untyped-call]
    aside.wait_stream(torch.cuda.current_stream(given.device))
    with torch.cuda.stream(aside):
        for _ in range(_REHEARSALS):
            network(given)
    torch.cuda.current_stream(given.device).wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        answer: Tensor = network(given)

    def replay(image: Tensor) -> Tensor:
        given.copy_(image)
        graph.replay()
        return answer

    return replay


def torch_runner(network: nn.Module) -> Runner:
    """Run a network where its weights are, in bfloat16 where that is fast."""
    device = next((weight.device for weight in network.parameters()), torch.device("cpu"))

    @torch.inference_mode()
    def run(image: Tensor) -> Tensor:
        with mixed_precision(device):
            logits: Tensor = network(image.to(device))
        return logits.float()

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
    with _TRANSLATING, torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of traced shape checks: the answer is the same for every shape
        model = openvino.convert_model(network, example_input=example)
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    compiled = openvino.Core().compile_model(model, "CPU", settings)

    def run(image: Tensor) -> Tensor:
        request = compiled.create_infer_request()  # one per call: requests are not for several threads
        return torch.from_numpy(request.infer([image.contiguous().numpy()])[0].copy())

    return run
