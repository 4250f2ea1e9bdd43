"""MONAI Label's datastore over a cohort folder, where the folder itself is the index.

Nothing is kept in memory and no index file is rewritten, so the server and a training process never overwrite each
other's view. Records lie beside what they describe: ``.renal/<image_id>.json`` (an image's) and
``labels/<tag>/<image_id>.json`` (a label's).
"""

from __future__ import annotations

import io
import json
import re
import tempfile
import time
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from monailabel.interfaces.datastore import Datastore, DefaultLabelTag

from lib.domain.cohort import COHORT_TABLE, parse_cohort, record_of, recorded_sequence
from lib.domain.errors import BadRequestError, UnknownImageError
from lib.domain.records import CaseRecord, LabelledImage, check_image_id
from lib.imaging.volume import NIFTI_SUFFIXES, image_stem, read_volume, write_bytes, write_volume
from lib.store.labels import DRAWN, checked_label, drawn_structures

FINAL = DefaultLabelTag.FINAL.value
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_RECORDS = ".renal"


class CohortDatastore(Datastore):
    """A folder of ``<image_id>.nii.gz`` with ``cohort.csv`` and ``labels/<tag>/``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    # ---- what the folder holds

    def name(self) -> str:
        """Return the cohort's name."""
        return "cohort"

    def set_name(self, name: str) -> None:  # noqa: ARG002
        """Refuse: the folder has no name of its own."""
        msg = "the name of a cohort folder is fixed"
        raise BadRequestError(msg)

    def description(self) -> str:
        """Return what this datastore is."""
        return "Cohort folder"

    def set_description(self, description: str) -> None:  # noqa: ARG002
        """Refuse: the folder has no description of its own."""
        msg = "the description of a cohort folder is fixed"
        raise BadRequestError(msg)

    def records(self) -> dict[str, CaseRecord]:
        """Every image by id, as ``cohort.csv`` describes it; by its file name where the table has no row.

        Raises:
            BadCohortError: When the table cannot be used.
        """
        table = self._folder / COHORT_TABLE
        rows = {row.image_id: row for row in parse_cohort(table.read_text("utf-8"))} if table.is_file() else {}
        return {image_id: rows.get(image_id) or record_of(image_id) for image_id in self.list_images()}

    def list_images(self) -> list[str]:
        """Ids of all images, sorted."""
        return _ids(self._folder)

    def get_labeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:  # noqa: ARG002
        """Ids of the images that have a label, a final one unless another tag is named."""
        return sorted(set(_ids(self._folder / "labels" / _tag(label_tag))) & set(self.list_images()))

    def get_unlabeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:
        """Ids of the images that have none."""
        done = set(self.get_labeled_images(label_tag, labels))
        return [image_id for image_id in self.list_images() if image_id not in done]

    def status(self) -> dict[str, Any]:
        """Counts that clients show."""
        tags = {tag: len(self.get_labeled_images(tag)) for tag in self._tags()}
        return {"total": len(self.list_images()), "completed": tags.get(FINAL, 0), "label_tags": tags}

    def json(self) -> dict[str, Any]:
        """Everything, in the shape that 3D Slicer's plugin reads."""
        objects = {
            image_id: {
                "image": {"ext": _suffix(self._image(image_id)), "info": self._info(record)},
                "labels": {
                    tag: {"ext": ".nii.gz", "info": self.get_label_info(image_id, tag)}
                    for tag in self.get_labels_by_image_id(image_id)
                },
            }
            for image_id, record in self.records().items()
        }
        return {"name": self.name(), "description": self.description(), "objects": objects}

    def datalist(self) -> list[dict[str, Any]]:
        """Pairs of image and final label paths."""
        return [
            {"image": self.get_image_uri(image_id), "label": self.get_label_uri(image_id, FINAL)}
            for image_id in self.get_labeled_images()
        ]

    def refresh(self) -> None:
        """Do nothing: every call reads the folder."""

    # ---- images

    def get_image(self, image_id: str, params: object = None) -> Any:  # noqa: ARG002
        """Return the image file's bytes."""
        return io.BytesIO(self._image(image_id).read_bytes())

    def get_image_uri(self, image_id: str) -> str:
        """Return the image file's path.

        Raises:
            UnknownImageError: When no image has this id.
        """
        return str(self._image(image_id))

    def get_image_info(self, image_id: str) -> dict[str, Any]:
        """Return the cohort table's row, the sidecar and what clients stored.

        Raises:
            UnknownImageError: When no image has this id.
        """
        self._image(image_id)
        return self._info(self.records()[image_id])

    def update_image_info(self, image_id: str, info: dict[str, Any]) -> None:
        """Merge a client's entries into the image's record."""
        self._image(image_id)
        write_bytes(json.dumps({**self._own(image_id), **info}).encode(), self._folder / _RECORDS / f"{image_id}.json")

    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> str:
        """Copy an image into the folder.

        Raises:
            BadCohortError: When the id is unsafe.
            BadRequestError: When the id is taken.
            BadImageError: When the file is not a usable image.
        """
        check_image_id(image_id)
        if image_id in self.list_images():
            msg = "an image with this id exists; expected a new id"
            raise BadRequestError(msg)
        volume = read_volume(Path(image_filename))
        write_volume(volume, self._folder / f"{image_id}.nii.gz")
        if image_info:
            self.update_image_info(image_id, image_info)
        return image_id

    def remove_image(self, image_id: str) -> None:
        """Remove an image, its record and its labels."""
        for tag in self.get_labels_by_image_id(image_id):
            self.remove_label(image_id, tag)
        self._image(image_id).unlink()
        (self._folder / _RECORDS / f"{image_id}.json").unlink(missing_ok=True)

    # ---- labels: a label's id is its image's

    def get_labels_by_image_id(self, image_id: str) -> dict[str, str]:
        """Label ids of an image by tag."""
        self._image(image_id)
        return {tag: image_id for tag in self._tags() if self._label(image_id, tag).is_file()}

    def get_label_by_image_id(self, image_id: str, tag: str) -> str:
        """Label id of an image under one tag; empty when it has none."""
        return self.get_labels_by_image_id(image_id).get(tag, "")

    def get_label(self, label_id: str, label_tag: str, params: object = None) -> Any:  # noqa: ARG002
        """Return the label file's bytes."""
        return io.BytesIO(Path(self.get_label_uri(label_id, label_tag)).read_bytes())

    def get_label_uri(self, label_id: str, label_tag: str) -> str:
        """Return the label file's path.

        Raises:
            UnknownImageError: When there is no such label.
        """
        path = self._label(label_id, label_tag)
        if not path.is_file():
            msg = "there is no such label; expected the id of a labelled image and its tag"
            raise UnknownImageError(msg)
        return str(path)

    def get_label_info(self, label_id: str, label_tag: str) -> dict[str, Any]:
        """Return a label's record."""
        return {"name": f"{label_id}.nii.gz", **_read_json(self._label_record(label_id, label_tag))}

    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any]) -> str:
        """Accept a label only if it fits, and write it whole or not at all.

        Raises:
            UnknownImageError: When no image has this id.
            BadLabelError: When values are outside the table.
            GeometryError: When it does not lie on the image's grid.
        """
        image, info = self._image(image_id), label_info or {}
        label, drawn = checked_label(Path(label_filename), image, info)
        record = {**info, DRAWN: sorted(drawn), "ts": int(time.time())}
        write_bytes(json.dumps(record, default=str).encode(), self._label_record(image_id, label_tag))
        write_volume(label, self._label(image_id, label_tag))
        return image_id

    def remove_label(self, label_id: str, label_tag: str) -> None:
        """Remove a label and its record."""
        Path(self.get_label_uri(label_id, label_tag)).unlink()
        self._label_record(label_id, label_tag).unlink(missing_ok=True)

    def update_label_info(self, label_id: str, label_tag: str, info: dict[str, Any]) -> None:
        """Merge entries into a label's record."""
        self.get_label_uri(label_id, label_tag)
        record = {**_read_json(self._label_record(label_id, label_tag)), **info}
        drawn_structures(record)
        write_bytes(json.dumps(record, default=str).encode(), self._label_record(label_id, label_tag))

    def get_dataset_archive(self, limit_cases: int | None) -> str:
        """Zip the labelled images with their labels; the caller removes the file."""
        pairs = self.datalist()[: limit_cases or None]
        with tempfile.NamedTemporaryFile(suffix=".zip", delete=False) as file:
            with zipfile.ZipFile(file, mode="w") as archive:
                for pair in pairs:
                    for key, path in pair.items():
                        archive.write(path, arcname=f"{key}/{Path(path).name}")
            return file.name

    def labelled(self, code: str) -> list[LabelledImage]:
        """Final labels of one sequence, with what was drawn in each: what a training run may use."""
        done, records = self.get_labeled_images(), self.records()
        return [
            LabelledImage(
                image_id=image_id,
                patient_id=records[image_id].patient_id,
                image=self._image(image_id),
                label=self._label(image_id, FINAL),
                drawn=drawn_structures(self.get_label_info(image_id, FINAL)),
            )
            for image_id in done
            if records[image_id].sequence == code
        ]

    # ---- paths

    def _image(self, image_id: str) -> Path:
        if image_id == image_stem(Path(image_id)):  # no separator can pass: the id is compared with a listing
            for suffix in NIFTI_SUFFIXES:
                path = self._folder / f"{image_id}{suffix}"
                if image_id and path.parent == self._folder and path.is_file():
                    return path
        msg = "no image has this id; expected one of the ids that /datastore lists"
        raise UnknownImageError(msg)

    def _label(self, label_id: str, tag: str | None) -> Path:
        self._image(label_id)
        return self._folder / "labels" / _tag(tag) / f"{label_id}.nii.gz"

    def _label_record(self, label_id: str, tag: str | None) -> Path:
        return self._label(label_id, tag).with_name(f"{label_id}.json")

    def _tags(self) -> list[str]:
        labels = self._folder / "labels"
        return sorted(path.name for path in labels.iterdir() if path.is_dir()) if labels.is_dir() else []

    def _info(self, record: CaseRecord) -> dict[str, Any]:
        path, own = self._image(record.image_id), self._own(record.image_id)
        row = asdict(record)
        clinical = row.pop("clinical")
        row["sequence"] = recorded_sequence(record)
        sidecar = _read_json(self._folder / f"{record.image_id}.json")
        return {**clinical, **own, **row, "sidecar": sidecar, "name": path.name, "path": str(path)}

    def _own(self, image_id: str) -> dict[str, Any]:
        return _read_json(self._folder / _RECORDS / f"{image_id}.json")


def _tag(tag: str | None) -> str:
    name = tag or FINAL
    if not _TAG.fullmatch(name):
        msg = "the label tag has characters outside letters, digits, '-' and '_'"
        raise BadRequestError(msg)
    return name


def _ids(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    names = [path.name for path in folder.iterdir() if not path.name.startswith(".")]
    return sorted({image_stem(Path(name)) for name in names if name.endswith(NIFTI_SUFFIXES)})


def _suffix(path: Path) -> str:
    return path.name.removeprefix(image_stem(path))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    return content if isinstance(content, dict) else {}
