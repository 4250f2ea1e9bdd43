"""The example document, and pages as trees."""

from xml.etree import ElementTree as ET

import pytest

from lib.evaluation.report import Report
from tests.evaluation.example import example_report


@pytest.fixture(scope="session")
def example() -> Report:
    return example_report(patients=30)


def tree_of(page: str) -> ET.Element:
    """A page as a tree; fails unless every element is closed and every attribute quoted."""
    return ET.fromstring(page)  # noqa: S314 - our own page


def text_of(element: ET.Element) -> str:
    return " ".join("".join(element.itertext()).split())
