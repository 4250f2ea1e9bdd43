"""MONAI Label infer tasks: one per sequence, and one that finds out which sequence it is."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType

from lib.domain.errors import BadRequestError
from lib.domain.sequences import SEQUENCES, SequenceSpec
from lib.domain.structures import STRUCTURES
from lib.imaging.volume import NIFTI_SUFFIXES, Volume, image_stem, read_volume, write_volume
from lib.infers.nrrd import write_nrrd
from lib.infers.propose import Proposer

NRRD_SUFFIX = ".nrrd"
LABELS = {row.name: row.value for row in STRUCTURES.values()}


class SequenceInfer(InferTask):
    """Adapter for Proposer: one sequence's network, or whichever fits when ``spec`` is None."""

    def __init__(self, proposer: Proposer, spec: SequenceSpec | None = None) -> None:
        title = spec.title if spec else "whichever sequence the image is"
        super().__init__(InferType.SEGMENTATION, LABELS, 3, f"Kidneys, masses and cysts on {title}", config={})
        self._proposer = proposer
        self._code = spec.code if spec else ""

    def is_valid(self) -> bool:
        """Whether there are trained weights: an untrained network is never served."""
        models = self._proposer.models
        return any(models.find(code) for code in ([self._code] if self._code else SEQUENCES))

    def get_path(self, validate: bool = True) -> str | None:  # noqa: ARG002
        """Return the weight file that serves now."""
        path = self._proposer.models.find(self._code) if self._code else None
        return str(path) if path else None

    def __call__(self, request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Return the label file (the caller removes it) and what clients show.

        Raises:
            RenalError: When image, sequence or file type cannot be used.
        """
        suffix = str(request.get("result_extension") or NIFTI_SUFFIXES[0])
        if suffix not in (*NIFTI_SUFFIXES, NRRD_SUFFIX):
            msg = f"result_extension is {suffix!r}; expected one of {', '.join((*NIFTI_SUFFIXES, NRRD_SUFFIX))}"
            raise BadRequestError(msg)
        path = Path(request["image"])
        info = request.get("image_info") or {}
        proposal = self._proposer.propose(
            read_volume(path),
            requested=self._code or str(request.get("sequence") or ""),
            metadata=str(info.get("sequence") or ""),
            image_id=image_stem(path) if info else "",
            sidecar=info.get("sidecar"),
        )
        return _write(proposal.label, suffix), proposal.to_json()


def _write(label: Volume, suffix: str) -> str:
    """Write where no client writes: one on the same machine saves the reply under the same name in the folder above."""
    folder = Path(tempfile.gettempdir()) / "renal-loop"
    folder.mkdir(mode=0o700, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, suffix=suffix, delete=False) as file:
        path = Path(file.name)
    (write_nrrd if suffix == NRRD_SUFFIX else write_volume)(label, path)
    return str(path)
