"""``report.html`` of a new scanner: one page that needs nothing beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from lib.domain.sequences import SEQUENCES
from lib.evaluation.page.plots import COLOURS
from lib.evaluation.page.render import content_policy, page_style, page_templates
from lib.evaluation.page.svg import INK, figure_svg, printable
from lib.evaluation.page.table import Row, RowGroup, Table
from lib.evaluation.page.wording import sentence
from lib.imaging.volume import write_bytes
from lib.onboarding.distribution import Difference
from lib.onboarding.readiness import Adapted, Onboarding, SequenceReadiness
from lib.onboarding.verdict import BOTH, FAR, Recommendation

PAGE_FILE = "report.html"
_TEMPLATES = Path(__file__).parent / "templates"
_ORDER = ("do not use", "go with review", "go")
_NONE = "–"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """A plot with its words."""

    title: str
    alt: str
    svg: str


def write_page(found: Onboarding, folder: Path) -> Path:
    """Write ``report.html`` by an atomic replace; the same findings always give the same bytes."""
    path = folder / PAGE_FILE
    write_bytes(render_page(found).encode(), path)
    return path


def render_page(found: Onboarding) -> str:
    """One HTML document that asks for nothing outside itself."""
    style = page_style()
    page = (
        page_templates(_TEMPLATES)
        .get_template("onboarding.html.j2")
        .render(
            found=found,
            style=Markup(style),  # noqa: S704 - our own file
            policy=content_policy(style),
            advice=overall(found),
            reason=sentence(overall(found).reason),
            summary=_summary(found),
            questions=_questions(found),
            refused=_refused(found),
            protocols=[_protocol(one) for one in found.sequences],
            drift=_drift(found),
            drawings=[_drift_drawing(found.sequences)] if any(one.drifts for one in found.sequences) else [],
            quality=_quality(found),
            choices=_choices(found),
            scanners=[_scanners(one) for one in found.adapted],
            waiting=_waiting(found),
            far=FAR,
        )
    )
    return printable(page)


def overall(found: Onboarding) -> Recommendation:
    """The most careful of the sequences' recommendations; each sequence's own is in the table."""
    final = list(recommendations(found).values())
    if not final:
        return Recommendation(advice="do not use", reason="no image of a known sequence was found")
    return min(final, key=lambda one: _ORDER.index(one.advice))


def recommendations(found: Onboarding) -> dict[str, Recommendation]:
    """One a sequence: after fine-tuning where there was one, else from the images alone."""
    after = {one.code: one.recommendation for one in found.adapted}
    return {one.code: after.get(one.code, one.recommendation) for one in found.sequences}


def _summary(found: Onboarding) -> Table:
    final = recommendations(found)
    rows = [
        (
            _title(one.code),
            final[one.code].advice,
            final[one.code].reason,
            str(one.patients),
            str(len(one.images)),
        )
        for one in found.sequences
    ]
    return Table(
        name="summary",
        caption="Recommendation for each sequence",
        columns=("Sequence", "Recommendation", "Reason", "Patients", "Images"),
        groups=[RowGroup(title="", rows=rows)],
        absent="No image of a known sequence was found.",
    )


def _questions(found: Onboarding) -> Table:
    return Table(
        name="questions",
        caption="Series that a person has to name",
        columns=("Series", "Described as", "Why it is not sure", "Answer with"),
        groups=[
            RowGroup(title="", rows=[(q.series, q.description or _NONE, q.why, q.answer) for q in found.questions])
        ],
        absent="None: every series was recognised, or is not one of the five sequences.",
        wordy=True,
    )


def _refused(found: Onboarding) -> Table:
    return Table(
        name="refused",
        caption="Images that could not be used",
        columns=("Image", "Why"),
        groups=[RowGroup(title="", rows=sorted(found.refused.items()))],
        absent="None.",
        wordy=True,
    )


def _protocol(one: SequenceReadiness) -> Table:
    return Table(
        name=f"protocol-{one.code}",
        caption=f"{_title(one.code)}: protocol beside the {one.trained_on} training images",
        columns=(
            "Measure",
            "This scanner: median (range)",
            "Training: median (1–99 %)",
            "Images outside",
            "Verdict",
            "May mean",
        ),
        groups=[RowGroup(title="", rows=[_difference(row) for row in one.differences])],
        absent="Nothing is known of the images that this sequence's network was trained on.",
    )


def _difference(row: Difference) -> Row:
    def shown(value: float) -> str:
        return f"{value:.{row.measure.digits}g}" if abs(value) < 1000 else f"{value:.0f}"

    low, middle, high = map(shown, row.new)
    first, usual, last = map(shown, row.trained)
    unit = f", {row.measure.unit}" if row.measure.unit else ""
    return (
        f"{row.measure.title}{unit}",
        f"{middle} ({low}–{high})",
        f"{usual} ({first}–{last})",
        f"{row.outside} of {row.images}",
        row.verdict,
        row.measure.matters if row.verdict != "as trained" else "",
    )


def _drift(found: Onboarding) -> Table:
    rows = [
        (
            _title(one.code),
            f"{median(one.drifts):.2f}" if one.drifts else _NONE,
            f"{min(one.drifts):.2f}–{max(one.drifts):.2f}" if one.drifts else _NONE,
            f"{sum(score > 1 for score in one.drifts)} of {len(one.drifts)}",
            "expected to fail"
            if one.fails
            else "no failure expected from the look of the images"
            if one.drifts
            else "not measured",
        )
        for one in found.sequences
    ]
    return Table(
        name="drift",
        caption="Drift score",
        columns=("Sequence", "Median", "Range", "Above 1", "Verdict"),
        groups=[RowGroup(title="", rows=rows)],
        absent="Not measured.",
    )


def _quality(found: Onboarding) -> Table:
    rows = []
    for one in found.sequences:
        expected = [image.expected_dice for image in one.images if image.expected_dice is not None]
        rows.append(
            (
                _title(one.code),
                f"{median(expected):.2f} ({min(expected):.2f}–{max(expected):.2f})" if expected else _NONE,
                f"{sum(image.distrust for image in one.images)} of {len(one.images)}",
                f"{sum(image.kidneys < BOTH for image in one.images)} of {len(one.images)}",
            )
        )
    return Table(
        name="quality",
        caption="Proposals without any label of this scanner",
        columns=("Sequence", "Expected mass DSC: median (range)", "Not to be trusted", "Fewer than two kidneys found"),
        groups=[RowGroup(title="", rows=rows)],
        absent="No proposal was made.",
        note="" if any(image.expected_dice is not None for one in found.sequences for image in one.images)
        else "The network that serves does not say how good it expects its proposals to be.",
    )  # fmt: skip


def _choices(found: Onboarding) -> Table:
    rows = [
        (
            f"{place}. {choice.patient_id}",
            choice.reason,
            "judges the new model" if choice.judges else "teaches it",
            ", ".join(choice.images),
        )
        for place, choice in enumerate(found.choices, start=1)
    ]
    return Table(
        name="choices",
        caption="Patients to label first, in this order",
        columns=("Patient", "Why", "What the label does", "Images"),
        groups=[RowGroup(title="", rows=rows)],
        absent="There is nobody to choose from.",
    )


def _scanners(one: Adapted) -> Table:
    rows = [
        (
            f"{row.scanner} (new)" if row.new else row.scanner,
            str(row.patients),
            f"{row.before:.3f}",
            f"{row.after:.3f}",
            f"{row.difference:+.3f}",
            f"{_bound(row.lower)} to {_bound(row.upper)}",
        )
        for row in one.rows
    ]
    gap = "" if one.recovered is None else f" It closed {one.recovered:.0%} of the new scanner's gap to the old ones."
    return Table(
        name=f"scanners-{one.code}",
        caption=f"{_title(one.code)}: mean DSC of the masses before and after, on holdout patients",
        columns=("Scanner", "Patients", "Before", "After", "Difference", "97 % bounds"),
        groups=[RowGroup(title="", rows=rows)],
        absent="No holdout patient with a mass is labelled.",
        note=f"Version {one.version} learned from {one.taught} images of the new scanner and {one.rehearsed} of "
        f"the old ones. The gate says {one.decision.verdict}: {one.decision.reason}.{gap}",
    )


def _waiting(found: Onboarding) -> Table:
    return Table(
        name="waiting",
        caption="Sequences that were not fine-tuned",
        columns=("Sequence", "Why"),
        groups=[RowGroup(title="", rows=[(_title(code), why) for code, why in sorted(found.waiting.items())])],
        absent="None.",
    )


def _bound(value: float) -> str:
    return f"{value:+.3f}" if math.isfinite(value) else "unknown"


def _title(code: str) -> str:
    title = SEQUENCES[code].title if code in SEQUENCES else code
    return title if title == code else f"{code} ({title})"


def _drift_drawing(sequences: Sequence[SequenceReadiness]) -> Drawing:
    shown = {one.code: one.drifts for one in sequences if one.drifts}

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.axvline(1, color=INK, linewidth=1)
        axes.axvline(FAR, color=COLOURS[1], linewidth=1.4, linestyle=(0, (4, 1.5)))
        shake = np.random.default_rng(0)
        places = range(len(shown), 0, -1)
        for place, scores in zip(places, shown.values(), strict=True):
            axes.plot(
                scores, place + shake.uniform(-0.18, 0.18, len(scores)), "o", color=COLOURS[0], alpha=0.8, markersize=4
            )
        axes.set_yticks(list(places), list(shown))
        axes.set_xlabel("drift score")
        axes.set_xlim(left=0)
        axes.set_ylim(0.4, len(shown) + 0.6)

    limits = "; ".join(f"{code} {min(scores):.2f} to {max(scores):.2f}" for code, scores in shown.items())
    return Drawing(
        title="Drift score of each image",
        alt=f"One dot an image. Solid line: 1, the limit of the training images. Dashed line: {FAR:g}, from where "
        f"proposals are expected to fail. {limits}.",
        svg=figure_svg("drift", 6.4, 0.8 + 0.42 * len(shown), draw),
    )
