"""The admin's page: rendered here, whole, without scripts; nothing is asked of elsewhere, every name is escaped."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fastapi.responses import HTMLResponse
from markupsafe import Markup

from lib.accounts.users import User
from lib.configs.jobs import JOB_KINDS, Jobs
from lib.configs.settings import Settings
from lib.evaluation.page.render import content_policy, page_style, page_templates
from lib.evaluation.page.svg import figure_svg, printable
from lib.loop.monitoring import Course, courses
from lib.registry.runs import RUNNING, Run
from lib.store.cohort import CohortStore
from lib.store.quality import QualityLog
from lib.web import admin_tables as tables

_TEMPLATES = Path(__file__).parent / "templates"
_CURVES, _COURSES = 2, 6
_EXTRA = """
form { border: 1px solid var(--line); padding: 0 1rem 1rem; margin: 1rem 0; max-width: 40rem; }
label { display: block; margin-top: .8rem; }
input, select { font: inherit; width: 100%; padding: .4rem; background: var(--page); color: var(--ink); border: 1px solid var(--quiet); }
button { font: inherit; margin-top: 1rem; padding: .4rem 1.2rem; background: var(--link); color: var(--page); border: 0; }
.notice { padding: .6rem .8rem; border-left: 4px solid var(--link); background: var(--panel); }
.problem { border-left-color: var(--focus); font-weight: 600; }
pre { overflow-x: auto; padding: .6rem; background: var(--panel); font-size: .8rem; }
"""  # noqa: E501 - a style sheet


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """A plot with its words."""

    title: str
    alt: str
    svg: str


def render(
    *, store: CohortStore, settings: Settings, jobs: Jobs, user: User, follow: bool, notice: str = "", problem: str = ""
) -> HTMLResponse:
    """Put the page together.

    Args:
        store: Images and labels.
        settings: Of the installation.
        jobs: That were started from the page.
        user: Who looks at it.
        follow: Whether the browser is to ask again every few seconds.
        notice: What was just done.
        problem: Why what was asked for was not done; the answer's status is then 400.
    """
    style = page_style() + _EXTRA
    recent = settings.runs().all()[: -tables.LATEST_RUNS - 1 : -1]
    followed = courses(QualityLog(store).all())
    started = jobs.all()
    page = (
        page_templates(_TEMPLATES)
        .get_template("admin.html.j2")
        .render(
            user=user,
            style=Markup(style),  # noqa: S704 - our own
            follow=follow,
            notice=notice,
            problem=problem,
            labelled=tables.labelled(store),
            queue=tables.queue(store),
            runs=tables.runs(recent),
            curves=[_curve(run) for run in recent if len(run.epochs) > 1][:_CURVES],
            going=[run for run in recent if run.status == RUNNING],
            versions=tables.versions(settings),
            promotable=tables.promotable(settings),
            returnable=tables.returnable(settings),
            quality=tables.quality(followed),
            courses=[_course(one) for one in sorted(followed, key=lambda one: not one.changed)[:_COURSES]],
            kinds=JOB_KINDS.values(),
            inbox=jobs.inbox(),
            jobs=tables.jobs(started),
            latest=started[0] if started else None,
            trail=tables.trail(deque(settings.audit().entries(), tables.LATEST_ENTRIES)),
        )
    )
    return HTMLResponse(printable(page), 400 if problem else 200, headers=_headers(style))


@cache
def _headers(style: str) -> dict[str, str]:
    policy = content_policy(style).replace("form-action 'none'", "form-action 'self'")
    return {"Content-Security-Policy": f"{policy}; frame-ancestors 'none'", "Cache-Control": "no-store"}


def _curve(run: Run) -> Drawing:
    from matplotlib.figure import Figure  # slow to import, and most servers never draw

    from lib.evaluation.page.plots import COLOURS

    epochs = [report.epoch for report in run.epochs]
    losses = [report.loss for report in run.epochs]
    validated = [report for report in run.epochs if "mass" in report.dice]

    def draw(figure: Figure) -> None:
        left, right = figure.subplots(1, 2)
        left.plot(epochs, losses, color=COLOURS[0])
        left.set(xlabel="epoch", ylabel="training loss")
        dice = [report.dice["mass"] for report in validated]
        right.plot([report.epoch for report in validated], dice, "o-", color=COLOURS[1], markersize=3)
        right.set(xlabel="epoch", ylabel="validation Dice, mass", ylim=(0, 1))

    best = f"; best validation Dice of the mass {max(one.dice['mass'] for one in validated):.2f}" if validated else ""
    return Drawing(
        title=f"Run {run.version}",
        alt=f"Loss {losses[0]:.3f} at first, {losses[-1]:.3f} in epoch {epochs[-1]}{best}.",
        svg=figure_svg(f"curve-{run.version}", 6.4, 2.2, draw),
    )


def _course(course: Course) -> Drawing:
    from matplotlib.figure import Figure

    from lib.evaluation.page.plots import COLOURS

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.plot(range(1, len(course.values) + 1), course.values, "o", color=COLOURS[0], markersize=3)
        for alarm in course.chart.alarms:
            axes.axvline(alarm + 1, color=COLOURS[1], linewidth=1.4)
        axes.set_xlabel("image")

    where = f"{course.sequence} on {course.scanner or 'an unknown scanner'}"
    return Drawing(
        title=f"{where}: {course.figure.title}",
        alt=f"{len(course.values)} images; a vertical line where a change was flagged. {course.said.capitalize()}.",
        svg=figure_svg(f"course-{_plain(where)}-{course.figure.name}", 5.2, 2.2, draw),
    )


def _plain(text: str) -> str:
    return "".join(sign if sign.isalnum() else "-" for sign in text)
