"""The example day's files as those of any date, for what schedulers are given."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path

DAY = Path(__file__).parents[1] / "examples" / "2024-09-16"


def deliver(folder: Path, date: dt.date, *, without: str = "") -> None:
    """Write the CSV files of a date that nothing holds (H1).

    Args:
        folder: The folder of the date, which is made.
        date: The date. The example's own has the example's files; on any other one series expire
            long after it, and notices and volumes are its own.
        without: A series whose notices are left out.
    """
    folder.mkdir(parents=True)
    texts = {path.stem: path.read_text("utf-8") for path in DAY.glob("*.csv")}
    lines = texts["notices"].splitlines(keepends=True)
    texts["notices"] = "".join(line for line in lines if not without or without not in line)
    if date.isoformat() != DAY.name:
        # The composite's last two digits differ, which are not among the four that are cut (S4).
        texts["volumes"] = texts["volumes"].replace("862.45713", f"862.457{13 + date.day:02d}")
        texts["notices"] = re.sub("(?m)^A0", f"D{date:%d}", texts["notices"])
    for name, text in texts.items():
        later = re.sub(r"24([0-9]{4}[CP][0-9]{8})", r"99\1", text)
        kept = text if date.isoformat() == DAY.name else later
        (folder / f"{name}.csv").write_text(kept, "utf-8")
