"""``report.html`` from the document and the files it is about."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from lib.evaluation.cases import CaseFiles
from lib.evaluation.page import analysis_tables, drawings, record_tables, result_tables
from lib.evaluation.page.claim import claim
from lib.evaluation.page.gallery import MOST, WORST_WITH_MASS, WORST_WITHOUT, gallery
from lib.evaluation.page.methods import lead, methods
from lib.evaluation.page.svg import printable
from lib.evaluation.regression import EVERY
from lib.evaluation.report import Report
from lib.imaging.volume import write_bytes

PAGE_FILE = "report.html"
_TEMPLATES = Path(__file__).parent / "templates"


def write_page(report: Report, files: Sequence[CaseFiles], folder: Path) -> Path:
    """Write ``report.html`` by an atomic replace; the same document and files always give the same bytes.

    Args:
        report: The document.
        files: Of the scored images; the gallery's pictures are made from them.
        folder: Where ``report.json`` lies.
    """
    path = folder / PAGE_FILE
    write_bytes(render_page(report, files).encode(), path)
    return path


def render_page(report: Report, files: Sequence[CaseFiles]) -> str:
    """One HTML document that asks for nothing outside itself; it is well-formed XML too."""
    style = page_style()
    failures = gallery(report, files)
    page = (
        page_templates()
        .get_template("report.html.j2")
        .render(
            report=report,
            lead=lead(report),
            style=Markup(style),  # noqa: S704 - our own file
            policy=content_policy(style),
            results=result_tables,
            analysis=analysis_tables,
            records=record_tables,
            everything=EVERY,
            drawings=drawings,
            failures=failures,
            limits={"with_mass": WORST_WITH_MASS, "without": WORST_WITHOUT, "most": MOST},
            methods=methods(report),
            claim=claim(report),
        )
    )
    return printable(page)


def page_style() -> str:
    """The style sheet of a report, for screen, phone and paper."""
    return (_TEMPLATES / "report.css").read_text("utf-8")


def page_templates(*folders: Path) -> Environment:
    """Templates of some folders, and those of this page, whose macros and style others use as well."""
    return Environment(
        loader=FileSystemLoader([*folders, _TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def content_policy(style: str) -> str:
    """Content policy that allows what is in the page and nothing else: no script, no request, one style sheet."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
