"""Each client's way of sending clicks is understood, and what is no click is refused."""

import pytest

from lib.domain.clicks import Click
from lib.domain.errors import BadRequestError, RenalError, UnknownStructureError
from lib.infers.click_request import MOST_CLICKS, read_clicks

SHAPE = (30, 20, 10)
A, B = [1, 2, 3], [4, 5, 6]


def mass(at: list[int], inside: bool = True, structure: str = "mass") -> Click:
    return Click(structure=structure, inside=inside, at=tuple(at))


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({}, []),
        ({"mass": {"foreground": [A], "background": [B]}}, [mass(A), mass(B, False)]),
        ({"mass": [A], "kidney": [], "cyst": [], "label": "mass"}, [mass(A)]),  # Slicer, every structure's landmarks
        ({"mass": [A], "background": [B]}, [mass(A), mass(B, False)]),  # OHIF
        ({"background": [B]}, [mass(B, False)]),
        ({"kidney": [A], "background": [B]}, [mass(A, structure="kidney"), mass(B, False, "kidney")]),
        ({"label": "kidney", "foreground": [A], "background": [B]},
         [mass(A, structure="kidney"), mass(B, False, "kidney")]),
        ({"mass": [[1.4, 1.6, 3.0]]}, [mass(A)]),
        ({"mass": [A, A]}, [mass(A)]),
        ({"mass": None, "background": None}, []),
        ({"result_extension": ".nrrd", "restore_label_idx": False, "names": ["x"]}, []),
    ],
)  # fmt: skip
def test_clicks_are_read(request_: dict, expected: list[Click]) -> None:
    assert read_clicks(request_, SHAPE) == expected


@pytest.mark.parametrize(
    ("request_", "error", "said"),
    [
        ({"mass": [[30, 0, 0]]}, BadRequestError, r"\[30, 0, 0\] of mass lies outside.*shape \(30, 20, 10\)"),
        ({"mass": [[0, -1, 0]]}, BadRequestError, "outside of the image"),
        ({"liver": [A]}, UnknownStructureError, "'liver'; expected one of: kidney, mass, cyst"),
        ({"liver": {"foreground": [A]}}, UnknownStructureError, "'liver'"),
        ({"label": "liver", "foreground": [A]}, UnknownStructureError, "'liver'"),
        ({"foreground": [A]}, BadRequestError, "without a label"),
        ({"mass": [[1, 2]]}, BadRequestError, "not three finite numbers"),
        ({"mass": [[1, 2, "3"]]}, BadRequestError, "not three finite numbers"),
        ({"mass": [[1, 2, True]]}, BadRequestError, "not three finite numbers"),
        ({"mass": [[1, 2, 1e400]]}, BadRequestError, "not three finite numbers"),
        ({"mass": A}, BadRequestError, "not three finite numbers"),
        ({"mass": "here"}, BadRequestError, "are a str; expected a list"),
        ({"mass": {"inside": [A]}}, BadRequestError, "'inside'; expected foreground and background"),
        ({"mass": [A], "kidney": [A]}, BadRequestError, "clicked as kidney and as mass"),
        ({"mass": {"foreground": [A], "background": [A]}}, BadRequestError, "for and against"),
        ({"mass": [[i % 30, i // 30, 0] for i in range(MOST_CLICKS + 1)]}, BadRequestError, "at most 64"),
    ],
)
def test_what_is_no_click_is_refused(request_: dict, error: type[RenalError], said: str) -> None:
    with pytest.raises(error, match=said):
        read_clicks(request_, SHAPE)
