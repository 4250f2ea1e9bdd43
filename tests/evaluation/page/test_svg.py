"""Figures can stand in a page under a strict content policy, and are the same each time."""

from xml.etree import ElementTree as ET

from matplotlib.figure import Figure

from lib.evaluation.page.svg import INK, figure_svg, printable

SVG = "{http://www.w3.org/2000/svg}"


def draw(figure: Figure) -> None:
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], "o-", color=INK)
    axes.set_title("a$b_{ <x> & \x0b 肾癌")


def test_a_figure_has_no_style_no_time_and_no_foreign_ink() -> None:
    root = ET.fromstring(figure_svg("one", 3, 2, draw))  # noqa: S314 - our own drawing
    assert not [one for one in root.iter() if "style" in one.attrib]
    assert not [one for one in root.iter() if one.tag in (f"{SVG}style", f"{SVG}metadata", f"{SVG}title")]
    assert any(one.get("stroke") == "currentColor" for one in root.iter())
    assert INK not in figure_svg("one", 3, 2, draw)


def test_text_of_users_is_shown_as_it_is() -> None:
    root = ET.fromstring(figure_svg("one", 3, 2, draw))  # noqa: S314 - our own drawing
    assert "a$b_{ <x> & \N{REPLACEMENT CHARACTER} 肾癌" in [one.text for one in root.iter(f"{SVG}text")]


def test_two_figures_share_no_id_and_each_is_the_same_again() -> None:
    first, second = (figure_svg(name, 3, 2, draw) for name in ("one", "two"))
    ids = [
        {one.get("id") for one in ET.fromstring(svg).iter()} - {None}  # noqa: S314 - our own drawing
        for svg in (first, second)
    ]
    assert ids[0]
    assert not ids[0] & ids[1]
    assert figure_svg("one", 3, 2, draw) == first


def test_only_characters_that_a_page_cannot_hold_are_replaced() -> None:
    assert printable("é\t\n– 𝛼\x00\x1f\x85") == "é\t\n– 𝛼\N{REPLACEMENT CHARACTER}" + 2 * "\N{REPLACEMENT CHARACTER}"
