"""MONAI Label infer tasks: one per sequence, and one that finds out which sequence it is."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType

from lib.domain.errors import BadRequestError
from lib.domain.records import LabelledImage
from lib.domain.sequences import SEQUENCES, SequenceSpec
from lib.domain.structures import STRUCTURES
from lib.imaging.volume import NIFTI_SUFFIXES, Volume, image_stem, read_label, read_volume, write_volume
from lib.infers.carried import CarriedOver
from lib.infers.nrrd import write_nrrd
from lib.infers.propose import Proposal, Proposer
from lib.infers.waiting import WaitingRoom, key_of
from lib.registry.models import FINDER, RECOGNISER

logger = logging.getLogger(__name__)

NRRD_SUFFIX = ".nrrd"
PROPAGATE = "propagate"  # option of a request: whether readers' labels on other sequences may be carried over
READERS_LABELS = "readers_labels"  # set by the app alone: what may be carried over
LABELS = {row.name: row.value for row in STRUCTURES.values()}


class SequenceInfer(InferTask):
    """Adapter for Proposer: one sequence's network, or whichever fits when ``spec`` is None."""

    def __init__(
        self,
        proposer: Proposer,
        spec: SequenceSpec | None = None,
        waiting: WaitingRoom | None = None,
        carried: CarriedOver | None = None,
    ) -> None:
        """Take what proposes.

        Args:
            proposer: Of every sequence.
            spec: The sequence; None to find out which.
            waiting: Where the network's proposals wait for their readers.
            carried: Carries readers' labels over from the other images of an examination; None to propose by the
                network alone.
        """
        title = spec.title if spec else "whichever sequence the image is"
        config = {PROPAGATE: True} if carried else {}
        super().__init__(InferType.SEGMENTATION, LABELS, 3, f"Kidneys, masses and cysts on {title}", config=config)
        self._proposer, self._waiting, self._carried = proposer, waiting, carried
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
        suffix = checked_suffix(request)
        label, reply = self.label(request)
        return write_label(label, suffix), reply

    def label(self, request: Mapping[str, Any]) -> tuple[Volume, dict[str, Any]]:
        """Return the proposal, without a file, and what clients show.

        Raises:
            RenalError: When image or sequence cannot be used.
        """
        path, info = Path(request["image"]), request.get("image_info") or {}
        if not info or self._waiting is None:
            proposal = self._propose(request, path, info)
            return proposal.label, proposal.to_json()
        return self._best(self._waiting, request, path, info, request.get(READERS_LABELS) or ())

    def key(self, request: Mapping[str, Any]) -> str:
        """Identify what the proposal for a request is made from: another key, another proposal."""
        own = self._key(request, Path(request["image"]), request.get("image_info") or {})
        labels = (
            request.get(READERS_LABELS) or () if self._carried and request.get(PROPAGATE, True) is not False else ()
        )
        return key_of([], own, *(label.label_sha256 for label in labels))

    def prepare(self, path: Path, info: Mapping[str, Any], labels: Sequence[LabelledImage] = ()) -> None:
        """Let the proposal for an image of the datastore wait for its reader.

        Args:
            path: The image.
            info: What is known of it.
            labels: Readers' labels on other images of the examination, the newest first.

        Raises:
            RenalError: When the image or its sequence cannot be used.
        """
        key = self.made_from(path, info)
        if self._waiting and not self._waiting.find(image_stem(path), key):
            self._make(self._waiting, key, {}, path, info)
        if self._waiting and labels:
            self._best(self._waiting, {}, path, info, labels)

    def proposal(self, path: Path, info: Mapping[str, Any]) -> Proposal:
        """Let the network propose for an image of the datastore; nothing is kept.

        Raises:
            RenalError: When the image or its sequence cannot be used.
        """
        return self._propose({}, path, info)

    def made_from(self, path: Path, info: Mapping[str, Any]) -> str:
        """Identify what the network's proposal for an image of the datastore would be made from now."""
        return self._key({}, path, info)

    def waiting(self, path: Path, info: Mapping[str, Any]) -> dict[str, str]:
        """Whether the network's proposal for an image of the datastore waits, and which model made it.

        Returns:
            ``state``: ``waiting``, ``stale`` (image or model are others now: it will be made anew) or ``none``.
        """
        found = self._waiting.find(image_stem(path)) if self._waiting else None
        if found is None:
            return {"state": "none"}
        state = "waiting" if found.key == self.made_from(path, info) else "stale"
        return {"state": state, "model_version": str(found.reply.get("model_version", ""))}

    def _best(
        self,
        room: WaitingRoom,
        request: Mapping[str, Any],
        path: Path,
        info: Mapping[str, Any],
        labels: Sequence[LabelledImage],
    ) -> tuple[Volume, dict[str, Any]]:
        """What was carried over from a reader's label, where there is one and it promises more; else the network's."""
        if self._carried is None or not labels or request.get(PROPAGATE, True) is False:
            return self._prepared(room, request, path, info)
        key = self._key(request, path, info)
        return self._carried.better(path, key, labels, lambda: self._prepared(room, request, path, info))

    def _prepared(
        self, room: WaitingRoom, request: Mapping[str, Any], path: Path, info: Mapping[str, Any]
    ) -> tuple[Volume, dict[str, Any]]:
        """Take the proposal that waits for an image of the datastore; else make it, and let it wait."""
        key = self._key(request, path, info)
        found = room.find(image_stem(path), key)
        if found:
            return read_label(found.label), {**found.reply, "prepared": True}
        label, reply = self._make(room, key, request, path, info)
        return label, {**reply, "prepared": False}

    def _key(self, request: Mapping[str, Any], path: Path, info: Mapping[str, Any]) -> str:
        models = self._proposer.models
        files = [path, path.with_name(f"{image_stem(path)}.json")]
        code = self._requested(request) or str(info.get("sequence") or "")
        asked = (code, FINDER) if code in SEQUENCES else (*SEQUENCES, FINDER, RECOGNISER)
        return key_of([*files, *map(models.find, asked)], code)

    def _make(
        self, room: WaitingRoom, key: str, request: Mapping[str, Any], path: Path, info: Mapping[str, Any]
    ) -> tuple[Volume, dict[str, Any]]:
        proposal = self._propose(request, path, info)
        reply = proposal.to_json()
        try:
            room.keep(image_stem(path), key, proposal.label, reply)
        except OSError as error:  # the reader gets the proposal all the same
            logger.warning("a proposal could not be kept: %s", type(error).__name__)
        return proposal.label, reply

    def _propose(self, request: Mapping[str, Any], path: Path, info: Mapping[str, Any]) -> Proposal:
        return self._proposer.propose(
            read_volume(path),
            requested=self._requested(request),
            metadata=str(info.get("sequence") or ""),
            image_id=image_stem(path) if info else "",
            sidecar=info.get("sidecar"),
        )

    def _requested(self, request: Mapping[str, Any]) -> str:
        return self._code or str(request.get("sequence") or "")


def checked_suffix(request: Mapping[str, Any]) -> str:
    """The file type that a request wants.

    Raises:
        BadRequestError: When no label is written so.
    """
    suffix = str(request.get("result_extension") or NIFTI_SUFFIXES[0])
    if suffix not in (*NIFTI_SUFFIXES, NRRD_SUFFIX):
        msg = f"result_extension is {suffix!r}; expected one of {', '.join((*NIFTI_SUFFIXES, NRRD_SUFFIX))}"
        raise BadRequestError(msg)
    return suffix


def write_label(label: Volume, suffix: str) -> str:
    """Write where no client writes: one on the same machine saves the reply under the same name in the folder above."""
    folder = Path(tempfile.gettempdir()) / "renal-loop"
    folder.mkdir(mode=0o700, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, suffix=suffix, delete=False) as file:
        path = Path(file.name)
    (write_nrrd if suffix == NRRD_SUFFIX else write_volume)(label, path)
    return str(path)
