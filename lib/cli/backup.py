"""``backup`` and ``restore``: an installation in one file, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lib.cli.report import JsonFlag, report
from lib.configs.server import ServerSettings
from lib.configs.settings import Settings
from lib.domain.errors import BadBackupError, BadCohortError

COHORT, LIVE, USERS = "cohort", "live", "users"
_SQLITE = ".renal/store.sqlite"
_MADE_AGAIN = (".renal/waiting/", ".renal/lock")


def backup(
    cohort: Annotated[Path, typer.Argument(help="Cohort folder.")],
    to: Annotated[Path, typer.Option(help="Archive to write; a new name.")],
    without_images: Annotated[bool, typer.Option("--without-images", help="Leave the image files out.")] = False,
    json_: JsonFlag = False,
) -> None:
    """Write labels, index, models, audit log and users to one file; the server may run meanwhile."""
    from lib.imaging.volume import NIFTI_SUFFIXES
    from lib.store.backup import Part, write_backup

    if not cohort.is_dir():
        msg = "the cohort is not a folder; expected a cohort folder"
        raise BadCohortError(msg)
    settings, users = Settings.from_conf({}), ServerSettings.from_conf({}).users_file
    _only_sqlite(settings)

    def of_cohort(path: str) -> bool:
        image = "/" not in path and path.endswith(NIFTI_SUFFIXES)
        return not path.startswith(_MADE_AGAIN) and not (without_images and image)

    parts = [
        Part(name=COHORT, folder=cohort, wanted=of_cohort, database=_SQLITE),
        Part(name=LIVE, folder=Path(settings.live), wanted=lambda path: not path.startswith("mlflow/")),
        Part(name=USERS, folder=users.parent, wanted=lambda path: path == users.name),
    ]
    report({"to": str(to), **write_backup(parts, to), "bytes": to.stat().st_size}, as_json=json_)


def restore(
    file: Annotated[Path, typer.Argument(help="What backup wrote.")],
    into: Annotated[Path, typer.Option(help="Cohort folder to make; new or empty.")],
    json_: JsonFlag = False,
) -> None:
    """Put a backup back: cohort, models and audit log where nothing is yet; users where there are none."""
    from lib.store.backup import restore_backup

    if not file.is_file():
        msg = "there is no such backup file; expected what the command backup wrote"
        raise BadBackupError(msg)
    settings, users = Settings.from_conf({}), ServerSettings.from_conf({}).users_file
    _only_sqlite(settings)
    folders = {COHORT: into, LIVE: Path(settings.live)}
    if not users.exists():
        folders[USERS] = users.parent
    report({"into": str(into), **restore_backup(file, folders), "users_kept": USERS not in folders}, as_json=json_)


def _only_sqlite(settings: Settings) -> None:
    """Refuse where the index lies in a database server, which has tools of its own.

    Raises:
        BadBackupError: When the setting ``store`` names a database.
    """
    if settings.store:
        msg = "the setting store names a database; expected the one in the cohort folder: use the database's own backup"
        raise BadBackupError(msg)
