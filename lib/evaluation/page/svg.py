"""Matplotlib figures as inline SVG that a strict content policy, a dark page and a screen reader can take.

Inline, so that its ink is the page's text colour; without ``style`` attributes, which such a policy forbids; without
time stamps or random ids, so that the same figures give the same bytes.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from xml.etree import ElementTree as ET

from matplotlib import rc_context
from matplotlib.figure import Figure

INK = "#010203"  # stands for the page's text colour; nothing else is drawn in it
_NAMESPACE = "http://www.w3.org/2000/svg"
_LINK = "{http://www.w3.org/1999/xlink}href"
_FONT_SIZE = re.compile(r"([\d.]+)px")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffe\uffff]")
_SETTINGS = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # names of users may hold dollar signs
    "font.size": 9,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8,
}


def figure_svg(name: str, width_in: float, height_in: float, draw: Callable[[Figure], None]) -> str:
    """Draw a figure and return it as an ``<svg>`` element.

    Args:
        name: Unique on the page; prefix of every id.
        width_in: Width at which its text has the size that was meant.
        height_in: Height.
        draw: Puts axes on the figure.
    """
    with rc_context({**_SETTINGS, "svg.hashsalt": name}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph", UserWarning)  # text stays text: the page's fonts draw it
        figure = Figure(figsize=(width_in, height_in), layout="constrained")
        draw(figure)
        written = io.BytesIO()
        figure.savefig(written, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    ET.register_namespace("", _NAMESPACE)
    ET.register_namespace("xlink", _LINK[1:].partition("}")[0])
    root = ET.fromstring(printable(written.getvalue().decode()))  # noqa: S314 - our own drawing
    _make_inline(root, name)
    return ET.tostring(root, encoding="unicode")


def printable(text: str) -> str:
    """Text with a visible mark for each character that neither XML nor HTML can hold."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def _make_inline(root: ET.Element, name: str) -> None:
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.rpartition("}")[2] in ("metadata", "style", "title"):
                parent.remove(child)
    used = {target for element in root.iter() for target in _targets(element)}
    for element in root.iter():
        _move_style(element)
        _rename(element, used, name)
    for size in ("width", "height", "version"):
        root.attrib.pop(size, None)
    root.set("class", "plot")
    root.set("aria-hidden", "true")
    root.set("focusable", "false")


def _targets(element: ET.Element) -> list[str]:
    linked = [element.attrib[_LINK][1:]] if element.get(_LINK, "").startswith("#") else []
    return linked + [target for value in element.attrib.values() for target in _REFERENCE.findall(value)]


def _move_style(element: ET.Element) -> None:
    """Turn the ``style`` attribute into attributes of their own; a font keeps its size and takes the page's family."""
    for rule in filter(None, map(str.strip, element.attrib.pop("style", "").split(";"))):
        key, _, value = (part.strip() for part in rule.partition(":"))
        size = _FONT_SIZE.search(value) if key == "font" else None
        if key == "font":
            element.set("font-size", size[1] if size else "9")
        else:
            element.set(key, value)
    for key in ("fill", "stroke"):
        if element.get(key) == INK:
            element.set(key, "currentColor")


def _rename(element: ET.Element, used: set[str], name: str) -> None:
    if "id" in element.attrib:
        if element.attrib["id"] in used:
            element.set("id", f"{name}-{element.attrib['id']}")
        else:
            del element.attrib["id"]
    for key, value in element.attrib.items():
        if key == _LINK and value.startswith("#"):
            element.set(key, f"#{name}-{value[1:]}")
        else:
            element.set(key, _REFERENCE.sub(rf"url(#{name}-\1)", value))
