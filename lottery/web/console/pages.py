"""What leaves the console: the audit page of a run, and its bundle. The log has who took them."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

from starlette.background import BackgroundTask
from starlette.responses import FileResponse, HTMLResponse, Response

from lottery.operations.pages import PageRequest
from lottery.web.console.asking import Ask

AUDIT_PAGE_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'; sandbox allow-scripts"
)
"""The page allows its own styles and scripts alone, by their digests; in the sandbox they reach
nothing of the console's."""


def audit_page(ask: Ask) -> Response:
    """Show the audit page of a run."""
    page = ask.giving("report").report(ask.path("run"), PageRequest())
    return HTMLResponse(page.html, headers={"Content-Security-Policy": AUDIT_PAGE_POLICY})


def bundle(ask: Ask) -> Response:
    """Send the bundle of a run."""
    folder = tempfile.TemporaryDirectory(prefix="lottery-bundle-")  # Made with mode 0700.
    try:
        path = Path(folder.name) / "run.zip"
        exported = ask.giving("export").export(ask.path("run"), path)
    except BaseException:
        folder.cleanup()
        raise
    return FileResponse(
        path,
        filename=f"{exported}.zip",
        media_type="application/zip",
        background=BackgroundTask(folder.cleanup),
    )
