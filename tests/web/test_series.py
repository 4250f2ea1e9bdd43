"""A series' UID in the place of an image's id, in every query and nowhere else."""

from urllib.parse import parse_qs

import pytest

from lib.domain.errors import UnknownImageError
from lib.web.series import with_image_ids

KNOWN = {"1.2.3": "P1_CP"}


def image_id(name: str) -> str:
    if name.startswith("1.") and name not in KNOWN:
        raise UnknownImageError
    return KNOWN.get(name, name)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (b"image=1.2.3&output=json", {"image": ["P1_CP"], "output": ["json"]}),
        (b"label=1.2.3&tag=final", {"label": ["P1_CP"], "tag": ["final"]}),
        (b"id=1.2.3", {"id": ["P1_CP"]}),
        (b"image=P1_CP&session_id=", {"image": ["P1_CP"], "session_id": [""]}),
        (b"study=1.2.3", {"study": ["1.2.3"]}),
        (b"", {}),
    ],
)
def test_only_names_of_images_are_replaced(query: bytes, expected: dict) -> None:
    scope = {"type": "http", "query_string": query}
    named = with_image_ids(scope, image_id)["query_string"].decode()
    assert parse_qs(named, keep_blank_values=True) == expected
    assert scope["query_string"] == query


def test_a_series_that_is_no_image_is_an_answer() -> None:
    with pytest.raises(UnknownImageError):
        with_image_ids({"query_string": b"image=1.9"}, image_id)
