"""A reader's label on another sequence is offered where it promises more than the network does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lib.domain.records import LabelledImage
from lib.domain.structures import KIDNEY, STRUCTURE_NAMES
from lib.imaging.volume import Volume, read_label, read_volume, write_volume
from lib.infers.carried import CarriedOver, promises_more
from lib.infers.waiting import WaitingRoom


class Reader:
    """One patient with two sequences, one of which was labelled; counts what the network was asked."""

    def __init__(self, folder: Path, room: Path) -> None:
        self.target, self.asked = folder / "P1_NP.nii.gz", 0
        self.carried = CarriedOver(WaitingRoom(room))
        self.truth = read_label(folder / "labels" / "final" / "P1_CP.nii.gz")
        self.label = LabelledImage(
            image_id="P1_CP",
            patient_id="P1",
            image=folder / "P1_CP.nii.gz",
            label=folder / "labels" / "final" / "P1_CP.nii.gz",
            drawn=frozenset(STRUCTURE_NAMES),
            label_sha256="one",
        )
        self.reply: dict[str, Any] = {"model_version": "NP-3", "masses": []}

    def network(self) -> tuple[Volume, dict[str, Any]]:
        """Finds the kidneys and misses the mass."""
        self.asked += 1
        data = np.where(self.truth.data == KIDNEY, KIDNEY, 0).astype(np.uint8)
        return Volume(data=data, affine=self.truth.affine), self.reply

    def opens(self, key: str = "v1", **label: str) -> tuple[Volume, dict[str, Any]]:
        return self.carried.better(self.target, key, [replace(self.label, **label)], self.network)


@pytest.fixture
def reader(make_cohort: Callable[..., Path], tmp_path: Path) -> Reader:
    return Reader(make_cohort(["P1"], ["CP", "NP"], labelled=["P1_CP"]), tmp_path / "room")


def test_the_mass_that_the_network_missed_comes_from_the_label_and_the_reply_says_so(reader: Reader) -> None:
    label, reply = reader.opens()
    assert reply["propagated_from"] == "P1_CP"
    assert 0.5 < reply["expected_dice"] <= 1
    assert "expected Dice of the masses" in reply["propagated_because"]
    assert len(reply["masses"]) == 1
    assert reply["model_version"] == "NP-3"
    overlap = np.count_nonzero((label.data == 2) & (reader.truth.data == 2))
    assert overlap > 0.8 * np.count_nonzero(reader.truth.data == 2)


def test_what_was_decided_waits_until_the_label_or_the_network_is_another_one(reader: Reader) -> None:
    first, _ = reader.opens()
    again, reply = reader.opens()
    assert reader.asked == 1
    assert reply["prepared"] is True
    assert np.array_equal(first.data, again.data)
    reader.opens(label_sha256="two")
    reader.opens("v2")
    assert reader.asked == 3


def test_the_networks_own_is_given_where_it_promises_more_with_the_reason(reader: Reader) -> None:
    reader.reply["expected_dice"] = 0.999
    label, reply = reader.opens()
    assert "propagated_from" not in reply
    assert reply["expected_dice"] == 0.999
    assert reply["not_propagated"].startswith("the network's own proposal is expected to be better: 1.00 over 0.")
    assert not (label.data == 2).any()


def test_an_empty_label_is_not_carried_over_and_the_reply_says_why(reader: Reader) -> None:
    empty = Volume(data=np.zeros_like(reader.truth.data), affine=reader.truth.affine)
    write_volume(empty, reader.label.label)
    label, reply = reader.opens()
    assert "the label is empty" in reply["not_propagated"]
    assert (label.data == KIDNEY).any()


def test_a_label_that_cannot_be_read_costs_no_reader_the_networks_proposal(reader: Reader) -> None:
    reader.label.label.write_bytes(b"damaged")
    assert "not_propagated" in reader.opens()[1]


def test_of_two_labels_the_one_that_promises_more_is_carried_over(reader: Reader, tmp_path: Path) -> None:
    image = read_volume(reader.label.image)
    noise = np.random.default_rng(0).normal(size=image.shape).astype(np.float32)
    write_volume(Volume(data=noise, affine=image.affine), tmp_path / "noise.nii.gz")
    poor = replace(reader.label, image_id="P1_DP", image=tmp_path / "noise.nii.gz", label_sha256="other")
    _, reply = reader.carried.better(reader.target, "v1", [poor, reader.label], reader.network)
    assert reply["propagated_from"] == "P1_CP"


def test_a_network_that_promises_nothing_is_beaten_by_what_was_not_held_back() -> None:
    assert promises_more(0.55, None)
    assert promises_more(0.7, 0.6)
    assert not promises_more(0.6, 0.6)
