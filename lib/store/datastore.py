"""MONAI Label's datastore interface over the store: carries, decides nothing."""

from __future__ import annotations

import io
import logging
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from monailabel.interfaces.datastore import Datastore

from lib.domain.errors import BadRequestError, StorageError
from lib.domain.records import LabelledImage
from lib.imaging.sidecar import read_sidecar
from lib.store.cohort import FINAL, CohortStore

logger = logging.getLogger(__name__)

_NAME, _DESCRIPTION = "cohort", "Cohort folder"


class CohortDatastore(Datastore):
    """Adapter for CohortStore; a label's id is its image's."""

    def __init__(self, store: CohortStore) -> None:
        self.store = store

    def name(self) -> str:
        """Return the cohort's name."""
        return _NAME

    def set_name(self, name: str) -> None:  # noqa: ARG002
        """Refuse: the folder has no name of its own."""
        msg = "the name of a cohort folder is fixed"
        raise BadRequestError(msg)

    def description(self) -> str:
        """Return what this datastore is."""
        return _DESCRIPTION

    def set_description(self, description: str) -> None:  # noqa: ARG002
        """Refuse: the folder has no description of its own."""
        msg = "the description of a cohort folder is fixed"
        raise BadRequestError(msg)

    def status(self) -> dict[str, Any]:
        """Counts that clients show."""
        counts = self.store.counts()
        return {**counts, "completed": counts["label_tags"].get(FINAL, 0)}

    def json(self) -> dict[str, Any]:
        """Everything, in the shape that 3D Slicer's plugin reads; sidecars come with ``get_image_info``."""
        objects = {
            image["image_id"]: {
                "image": {"ext": image["name"].removeprefix(image["image_id"]), "info": image},
                "labels": {tag: {"ext": ".nii.gz", "info": info} for tag, info in labels.items()},
            }
            for image, labels in self.store.listing()
        }
        return {"name": _NAME, "description": _DESCRIPTION, "objects": objects}

    def datalist(self) -> list[dict[str, Any]]:
        """Pairs of image and final label paths."""
        return [
            {"image": str(self.store.image_path(image_id)), "label": str(self.store.label(image_id).path)}
            for image_id in self.store.labelled_ids()
        ]

    def refresh(self) -> None:
        """Look at the folder."""
        self.store.follow()

    def list_images(self) -> list[str]:
        """Ids of all images, sorted."""
        return self.store.image_ids()

    def get_labeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:  # noqa: ARG002
        """Ids of the images that have a label, a final one unless another tag is named."""
        return self.store.labelled_ids(label_tag or FINAL)

    def get_unlabeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:  # noqa: ARG002
        """Ids of the images that have none."""
        return self.store.unlabelled_ids(label_tag or FINAL)

    def get_image(self, image_id: str, params: object = None) -> Any:  # noqa: ARG002
        """Return the image file's bytes."""
        return io.BytesIO(self.store.image_path(image_id).read_bytes())

    def get_image_uri(self, image_id: str) -> str:
        """Return the image file's path."""
        return str(self.store.image_path(image_id))

    def get_image_info(self, image_id: str) -> dict[str, Any]:
        """Return what is known of the image, how its sequence was recognised, its sidecar and what clients stored."""
        return {**self.store.shown(image_id), "sidecar": read_sidecar(self.store.image_path(image_id))}

    def update_image_info(self, image_id: str, info: dict[str, Any]) -> None:
        """Merge a client's entries."""
        self.store.merge_info(image_id, info)

    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> str:
        """Copy an image into the folder."""
        self.store.add_image(image_id, Path(image_filename), image_info or {})
        return image_id

    def remove_image(self, image_id: str) -> None:
        """Take an image and its labels out."""
        self.store.remove_image(image_id)

    def get_labels_by_image_id(self, image_id: str) -> dict[str, str]:
        """Label ids of an image by tag."""
        return {version.tag: image_id for version in self.store.versions(image_id) if version.final}

    def get_label_by_image_id(self, image_id: str, tag: str) -> str:
        """Label id of an image under one tag; empty when it has none."""
        return self.get_labels_by_image_id(image_id).get(tag, "")

    def get_label(self, label_id: str, label_tag: str, params: object = None) -> Any:  # noqa: ARG002
        """Return the label file's bytes."""
        return io.BytesIO(self.store.label(label_id, label_tag or FINAL).path.read_bytes())

    def get_label_uri(self, label_id: str, label_tag: str) -> str:
        """Return the path of the version that counts."""
        return str(self.store.label(label_id, label_tag or FINAL).path)

    def newest_label(self, image_id: str) -> Path | None:
        """Return the file of the reader's label that counts; None when there is none."""
        return next((version.path for version in self.store.versions(image_id, FINAL) if version.final), None)

    def get_label_info(self, label_id: str, label_tag: str) -> dict[str, Any]:
        """Return a label's record."""
        return self.store.label_info(label_id, label_tag or FINAL)

    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any]) -> str:
        """Accept a label only if it fits, as a new version."""
        self.store.save_label(image_id, Path(label_filename), label_tag or FINAL, label_info)
        return image_id

    def remove_label(self, label_id: str, label_tag: str) -> None:
        """Let no version count."""
        self.store.remove_label(label_id, label_tag or FINAL)

    def update_label_info(self, label_id: str, label_tag: str, info: dict[str, Any]) -> None:
        """Merge entries into a label's record."""
        self.store.merge_label_info(label_id, label_tag or FINAL, info)

    def get_dataset_archive(self, limit_cases: int | None) -> str:
        """Zip the labelled images with their labels; the caller removes the file."""
        with tempfile.NamedTemporaryFile(suffix=".zip", delete=False) as file:
            with zipfile.ZipFile(file, mode="w") as archive:
                for image_id in self.store.labelled_ids()[: limit_cases or None]:
                    image, label = self.store.image_path(image_id), self.store.label(image_id).path
                    archive.write(image, arcname=f"image/{image.name}")
                    archive.write(label, arcname=f"label/{image_id}{label.name[label.name.index('.') :]}")
            return file.name

    def note_proposal(
        self,
        image_id: str,
        task: str,
        model_version: str,
        *,
        expected_dice: float | None = None,
        distrust: bool = False,
    ) -> None:
        """Remember a proposal; one that could be made is given all the same when there is no room to remember it."""
        try:
            self.store.record_proposal(image_id, task, model_version, expected_dice=expected_dice, distrust=distrust)
        except StorageError as error:
            logger.warning("a proposal was given and is not recorded: %s", error)

    def labelled(self, code: str) -> list[LabelledImage]:
        """Final labels of one sequence, as a training run takes them."""
        return self.store.labelled(code)
