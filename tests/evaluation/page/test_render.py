"""The page says what the document says, holds all it needs, and can be used by everyone."""

import base64
import hashlib
import re
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from lib.evaluation.page.plots import COLOURS
from lib.evaluation.page.record_tables import SHOWN_PROBLEMS
from lib.evaluation.page.render import PAGE_FILE, render_page, write_page
from lib.evaluation.page.wording import median, sequence_title
from lib.evaluation.report import Counts, Group, Problem, Report
from lib.evaluation.results import MASS_REGION
from tests.evaluation.page.conftest import text_of, tree_of

CSS = (Path(__file__).parents[3] / "lib" / "evaluation" / "page" / "templates" / "report.css").read_text()
NOTHING = Counts(images=0, patients=0, labelled=0, predicted=0, scored=0, excluded=0, scored_patients=0, masses=0)
HOSTILE = "<script>alert(1)</script>\"'&amp;$x_{$ \x0b]]>"
SHOWN = HOSTILE.replace("\x0b", "\N{REPLACEMENT CHARACTER}")


@pytest.fixture(scope="module")
def page(example: Report) -> str:
    return render_page(example, ())


@pytest.fixture(scope="module")
def tree(page: str) -> ET.Element:
    return tree_of(page)


@pytest.fixture(scope="module")
def empty(example: Report) -> Report:
    """A document of a cohort in which nothing could be scored."""
    return replace(
        example,
        counts=NOTHING,
        problems=(),
        groups=(),
        results=(),
        any_sequence=(),
        subgroups=(),
        regressions=(),
        comparison=None,
        published=(),
        cases=(),
    )


def rows_of(tree: ET.Element, caption: str) -> dict[tuple[str, str], list[str]]:
    """Cells of a table by (heading of the rows, header of the row)."""
    table = next(one for one in tree.iter("table") if text_of(one.find("caption")).startswith(caption))
    rows, heading = {}, ""
    for row in table.findall("tbody/tr"):
        if row.get("class") == "group":
            heading = text_of(row)
        else:
            header, *cells = (text_of(cell) for cell in row)
            rows[heading, header] = cells
    return rows


@pytest.mark.parametrize(
    "caption",
    [
        "Masses found",
        "Patients with a mass",
        "False positives",
        "Sensitivity",
        "Segmentation of mass,",
        "DSC of single",
    ],
)
def test_every_sequence_and_group_has_its_row(tree: ET.Element, example: Report, caption: str) -> None:
    expected = {(sequence_title(row.sequence), row.group) for row in example.results}
    assert set(rows_of(tree, caption)) == expected


def test_a_median_on_the_page_is_that_of_the_document(tree: ET.Element, example: Report) -> None:
    rows = rows_of(tree, "Segmentation of mass,")
    for row in example.results:
        dice = next(region for region in row.regions if region.region == MASS_REGION).measures["dice"]
        cells = rows[sequence_title(row.sequence), row.group]
        assert cells[:2] == [str(dice.n), median(dice)]


def test_every_level_of_every_subgroup_is_there_with_its_corrected_p_value(tree: ET.Element, example: Report) -> None:
    for subgroup in example.subgroups:
        heading = f"{subgroup.factor}, per {subgroup.unit} ({subgroup.source})"
        rows = rows_of(tree, f"{sequence_title(subgroup.sequence)}: subgroups")
        assert {level.level for level in subgroup.levels} <= {level for name, level in rows if name == heading}
    tests = [test for subgroup in example.subgroups for test in subgroup.tests]
    table = next(one for one in tree.iter("table") if text_of(one.find("caption")) == "Tests between subgroups")
    assert len(table.findall("tbody/tr/td[8]")) == len(tests)


def test_nothing_is_asked_for_outside_the_page(tree: ET.Element) -> None:
    for element in tree.iter():
        assert element.tag not in ("script", "link", "iframe", "object", "base", "form")
        for name, value in element.attrib.items():
            assert not name.startswith("on")
            assert name != "style"
            if name.rpartition("}")[2] in ("src", "href"):
                assert value.startswith(("#", "data:image/"))
        assert "http" not in (element.text or "")
    assert "url(" not in CSS
    assert "@import" not in CSS


def test_the_policy_allows_this_style_sheet_and_nothing_else(tree: ET.Element) -> None:
    policy = next(one.get("content") for one in tree.iter("meta") if one.get("http-equiv"))
    style = next(tree.iter("style")).text
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy.startswith("default-src 'none'; img-src data:; ")
    assert f"style-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy


def test_headings_begin_with_one_h1_and_never_skip_a_level(tree: ET.Element) -> None:
    levels = [int(one.tag[1]) for one in tree.iter() if re.fullmatch(r"h[1-6]", str(one.tag))]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(below - above <= 1 for above, below in pairwise(levels))


def test_every_figure_has_a_text_that_says_what_it_shows(tree: ET.Element) -> None:
    by_id = {one.get("id"): one for one in tree.iter() if one.get("id")}
    figures = [one for one in tree.iter() if one.get("role") == "img"]
    assert len(figures) == sum(one.tag.endswith("}svg") for one in tree.iter())
    for figure in figures:
        assert re.search(r"\d", text_of(by_id[figure.get("aria-labelledby")]))


def test_ids_are_unique_and_every_reference_leads_somewhere(tree: ET.Element) -> None:
    ids = Counter(one.get("id") for one in tree.iter() if one.get("id"))
    assert [name for name, times in ids.items() if times > 1] == []
    for element in tree.iter():
        for name, value in element.attrib.items():
            if name == "aria-labelledby":
                assert value in ids
            if name.rpartition("}")[2] == "href" and value.startswith("#"):
                assert value[1:] in ids
            for target in re.findall(r"url\(#([^)]+)\)", value):
                assert target in ids


def test_tables_have_captions_scopes_and_rows_of_one_length(tree: ET.Element) -> None:
    for table in tree.iter("table"):
        columns = table.findall("thead/tr/th")
        assert text_of(table.find("caption"))
        assert all(header.get("scope") for header in table.iter("th"))
        for row in table.findall("tbody/tr"):
            assert sum(int(cell.get("colspan", "1")) for cell in row) == len(columns)


def test_landmarks_are_there_once_and_named(tree: ET.Element) -> None:
    assert [len(list(tree.iter(name))) for name in ("main", "nav", "header")] == [1, 1, 1]
    assert next(tree.iter("nav")).get("aria-label")
    assert tree.get("lang") == "en"


def test_the_same_document_gives_the_same_bytes(example: Report, page: str, tmp_path: Path) -> None:
    assert write_page(example, (), tmp_path) == tmp_path / PAGE_FILE
    assert (tmp_path / PAGE_FILE).read_text() == page


def test_names_of_users_are_text_and_never_markup(example: Report) -> None:
    subgroup = example.subgroups[0]
    hostile = replace(
        example,
        groups=(Group(name=HOSTILE, rule=HOSTILE, images=1, patients=1), *example.groups),
        problems=(Problem(kind="unknown_value", image_id=HOSTILE, seen=HOSTILE, expected=HOSTILE, effect=HOSTILE),),
        subgroups=(
            replace(subgroup, factor=HOSTILE, levels=tuple(replace(level, level=HOSTILE) for level in subgroup.levels)),
        ),
        cases=tuple(replace(case, image_id=HOSTILE, model_version=HOSTILE) for case in example.cases[:4]),
        regressions=(),
        comparison=None,
    )
    tree = tree_of(render_page(hostile, ()))
    assert not list(tree.iter("script"))
    cells = [text_of(cell) for cell in tree.iter("td")]
    assert cells.count(SHOWN) == 3 + 1  # the problem's, and the rule of the group
    assert any(SHOWN in text_of(heading) for heading in tree.iter("h3"))
    assert any(SHOWN[:20] in (one.text or "") for one in tree.iter("{http://www.w3.org/2000/svg}text"))


def test_a_document_without_any_case_gives_sentences_instead_of_figures(empty: Report) -> None:
    tree = tree_of(render_page(empty, ()))
    assert not [one for one in tree.iter() if one.tag.endswith("}svg")]
    absent = [text_of(one) for one in tree.iter("p") if one.get("class") == "absent"]
    for beginning in (
        "Every sequence at a glance, all scored images. No image was scored",
        "No subgroup was formed",
        "No regression was made",
        "Two models on the same images, second minus first. One set",
        "There is no failure to show",
        "What was not as expected. Everything could be scored",
    ):
        assert any(sentence.startswith(beginning) for sentence in absent), beginning


def test_a_document_without_masses_gives_sentences_instead_of_figures(example: Report) -> None:
    without = replace(example, cases=tuple(case for case in example.cases if not case.masses))
    tree = tree_of(render_page(replace(without, regressions=(), subgroups=(), comparison=None), ()))
    absent = [text_of(one) for one in tree.iter("p") if one.get("class") == "absent"]
    codes = {row.sequence for row in example.results}
    assert sum("No scatter plot" in sentence for sentence in absent) == len(codes)
    assert sum("No Bland-Altman plot" in sentence for sentence in absent) == len(codes)
    assert sum("No box plot" in sentence for sentence in absent) == len(example.groups)


def test_one_case_is_enough_for_a_page(example: Report) -> None:
    case = next(case for case in example.cases if case.masses and case.regions[MASS_REGION].dice < 1)
    alone = replace(example, cases=(case,), regressions=(), subgroups=(), comparison=None)
    tree = tree_of(render_page(alone, ()))
    (failure,) = tree.iter("article")
    assert case.image_id in text_of(failure)
    assert "1 mass of" in text_of(tree)


def test_a_long_list_of_problems_is_cut_and_says_so(empty: Report) -> None:
    problem = Problem(kind="missing_prediction", seen="no file", expected="a file", effect="left out")
    many = tuple(replace(problem, image_id=f"P{number:04}_CP") for number in range(1000))
    rows = rows_of(tree_of(render_page(replace(empty, problems=many), ())), "What was not as expected")
    assert len(rows) == SHOWN_PROBLEMS + 1
    assert ("Images without a prediction: 1000", f"and {1000 - SHOWN_PROBLEMS} more") in rows


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_text_and_plots_can_be_told_from_the_page(theme: int) -> None:
    colours = [dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", part)) for part in CSS.split("prefers-color-scheme")][theme]
    for ink in ("ink", "quiet", "link"):
        for paper in ("page", "panel"):
            assert contrast(colours[ink], colours[paper]) >= 4.5
    assert min(contrast(colour, colours["page"]) for colour in COLOURS) >= 3


def contrast(first: str, second: str) -> float:
    """Contrast ratio of two colours as WCAG 2 defines it."""
    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
