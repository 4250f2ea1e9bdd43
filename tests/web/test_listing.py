"""The listing is JSON, whatever a client once stored."""

import json
from typing import Any

import pytest

from lib.web.listing import as_json


@pytest.mark.parametrize("value", ["\udc80", 2**80, None, "Å", {"a": [1.5]}])
def test_odd_entries_do_not_break_the_listing(value: Any) -> None:
    assert json.loads(as_json({"entry": value})) == {"entry": value}


def test_what_is_no_number_is_null() -> None:
    assert json.loads(as_json([float("nan"), float("inf")])) == [None, None]
