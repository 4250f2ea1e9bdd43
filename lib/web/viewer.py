"""The viewer's files: our extension and OHIF's build, under a policy that lets nothing be loaded from elsewhere."""

from __future__ import annotations

import logging
import mimetypes
import os
from pathlib import Path

from fastapi import Request
from fastapi.responses import FileResponse
from monailabel.endpoints import model as framework

from lib.domain.errors import UnknownImageError

logger = logging.getLogger(__name__)

FRAMEWORK = Path(framework.__file__).parent / "static"
OURS = Path(__file__).parent / "ohif" / "web"
BUILD = Path(__file__).parent / "ohif" / "build"
MISSING = (
    "the viewer is not installed, so MONAI Label's old one is shown, in which no label can be submitted; "
    "expected `make ohif` to be run"
)
_ONLY_OURS = "default-src 'none'; connect-src 'self' blob: data:; img-src 'self' data: blob:; font-src 'self'; "
_FRAMES = "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
# OHIF sets styles from scripts. Its decoders build functions from text: they may, in their worker, which is ruled by
# the policy that its own file comes with; a page may not.
_PAGE_POLICY = (
    f"{_ONLY_OURS}script-src 'self' 'wasm-unsafe-eval'; style-src 'self' 'unsafe-inline'; worker-src 'self' blob:; "
    f"{_FRAMES}"
)
_WORKER_POLICY = f"{_ONLY_OURS}script-src 'self' 'unsafe-eval' 'wasm-unsafe-eval'; worker-src 'self' blob:"
_FOR_EVER, _ASK_AGAIN = "private, max-age=31536000, immutable", "no-cache"
_TYPES = {".js": "text/javascript", ".wasm": "application/wasm", ".woff2": "font/woff2"}


def is_installed() -> bool:
    """Whether ``make ohif`` was run."""
    return (BUILD / "index.html").is_file()


def file(request: Request, path: str) -> FileResponse:
    """A file of the viewer; every address without a file's ending is a page of its own.

    Raises:
        UnknownImageError: When there is no such file.
    """
    if not is_installed():
        return _frameworks(path)
    found = _inside(OURS, path) or _inside(BUILD, path)
    if found is None and "." not in path.rsplit("/", 1)[-1]:
        found = BUILD / "index.html"
    if found is None:
        msg = "no such file of the viewer; expected one that its pages name"
        raise UnknownImageError(msg)
    return _answer(request, found)


def _answer(request: Request, found: Path) -> FileResponse:
    hashed = ".bundle." in found.name and found.suffix == ".js"
    headers = {
        "Cache-Control": _FOR_EVER if hashed else _ASK_AGAIN,
        "Content-Security-Policy": _PAGE_POLICY if found.suffix == ".html" else _WORKER_POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "Vary": "Accept-Encoding",
    }
    kind = _TYPES.get(found.suffix) or mimetypes.guess_type(found.name)[0]
    packed = found.with_name(f"{found.name}.gz")
    if "gzip" in request.headers.get("accept-encoding", "") and packed.is_file():
        found, headers["Content-Encoding"] = packed, "gzip"
    return FileResponse(found, media_type=kind, headers=headers)


def _frameworks(path: str) -> FileResponse:
    """The OHIF build of the framework's wheel."""
    folder = FRAMEWORK / "ohif"
    return FileResponse(_inside(folder, path) or folder / "index.html")


def _inside(folder: Path, path: str) -> Path | None:
    """A file of a folder; None when there is none, or the path leads out of it."""
    if "\x00" in path:
        return None
    wanted = Path(os.path.normpath(folder / path.lstrip("/")))
    return wanted if wanted.is_relative_to(folder) and wanted.is_file() else None
