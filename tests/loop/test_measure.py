from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from lib.domain.errors import BadImageError
from lib.domain.structures import MASS
from lib.imaging.volume import Volume
from lib.loop.measure import Measured, MeasureWaiting, Sources
from lib.store.scores import ImageScores


class Server:
    """Two examinations; notes what was proposed and kept."""

    def __init__(self) -> None:
        self.model, self.examinations = "v1", [["A_CP", "A_NP"], ["B_CP"]]
        self.proposed: list[str] = []
        self.kept: dict[str, ImageScores] = {}
        self.measure = MeasureWaiting(
            Sources(
                state=lambda: self.model,
                examinations=lambda: self.examinations,
                known=self.known,
                made_from=lambda images: f"{self.model} {' '.join(images)}",
                propose=lambda image_id: self.propose(image_id),
                keep=self.keep,
                pause=lambda _: None,
            )
        )

    def known(self) -> Mapping[str, str]:
        return {image: one.made_from for image, one in self.kept.items()}

    def propose(self, image_id: str) -> Measured:
        self.proposed.append(image_id)
        if image_id.startswith("broken"):
            msg = "not an image"
            raise BadImageError(msg)
        data = np.zeros((9, 9, 9), np.uint8)
        data[2:5] = MASS if image_id.endswith("CP") else 0
        label = Volume(data=data, affine=np.eye(4))
        return Measured(label=label, uncertainty={"mass": 0.4}, model_version=self.model)

    def keep(self, scores: Sequence[ImageScores]) -> None:
        self.kept |= {one.image_id: one for one in scores}


def test_every_image_is_measured_once_with_the_version_that_was_measured() -> None:
    server = Server()
    for _ in range(3):
        server.measure()
    assert server.proposed == ["A_CP", "A_NP", "B_CP"]
    assert {one.model_version for one in server.kept.values()} == {"v1"}
    assert server.kept["A_NP"].disagreement == {"mass": 1.0, "kidney": 1.0}
    assert server.kept["B_CP"].disagreement == {}
    assert server.kept["B_CP"].uncertainty == {"mass": 0.4}


def test_another_model_makes_every_score_stale() -> None:
    server = Server()
    server.measure()
    server.model = "v2"
    server.measure()
    assert server.proposed == ["A_CP", "A_NP", "B_CP"] * 2
    assert {one.model_version for one in server.kept.values()} == {"v2"}


def test_what_has_no_score_comes_before_what_has_a_stale_one() -> None:
    server = Server()
    server.measure()
    server.model, server.examinations = "v2", [*server.examinations, ["C_CP"]]
    server.measure()
    assert server.proposed[3] == "C_CP"


def test_a_model_that_goes_live_in_between_ends_the_round_so_that_nothing_is_measured_with_two() -> None:
    server = Server()
    propose = server.propose

    def promoted(image_id: str) -> Measured:
        found = propose(image_id)
        server.model = "v2"
        return found

    server.propose = promoted  # type: ignore[method-assign]
    server.measure()
    assert server.proposed == ["A_CP", "A_NP"]
    server.measure()
    assert server.kept["A_CP"].made_from == "v2 A_CP A_NP"


def test_an_image_that_cannot_be_read_costs_its_partners_nothing_and_is_not_tried_again() -> None:
    server = Server()
    server.examinations = [["A_CP", "broken_NP"]]
    server.measure()
    server.examinations = [["A_CP", "broken_NP"]]
    server.measure()
    assert server.proposed == ["A_CP", "broken_NP"]
    assert set(server.kept) == {"A_CP"}
