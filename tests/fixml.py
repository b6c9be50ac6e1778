"""FIXML for the tests: reports as OCC writes them, and days whose notices are FIXML."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import quoteattr

import pyarrow as pa

from lottery.intake.fixml.notices import read_notices
from lottery.intake.fixml.positions import read_occ_positions
from tests.builders import DATE, SmallDay, write_files
from tests.reference import Row

SP2 = "http://www.fixprotocol.org/FIXML-5-0-SP2"


def parse_notices(content: bytes, date: dt.date = DATE, *, source: str = "notices") -> pa.Table:
    """Return `tables.NOTICES` of a file's bytes, or raise what is wrong with them."""
    read = read_notices(lambda: iter((content,)), date, source)
    read.problems.refuse_if_any()
    return read.table


def parse_occ_positions(content: bytes, date: dt.date = DATE) -> pa.Table:
    """Return `tables.OCC_POSITIONS` of a file's bytes, or raise what is wrong with them."""
    read = read_occ_positions(lambda: iter((content,)), date, "occ_positions")
    read.problems.refuse_if_any()
    return read.table


def attributes_text(attributes: Mapping[str, object]) -> str:
    """Attributes; None leaves one out."""
    given = {name: str(value) for name, value in attributes.items() if value is not None}
    return "".join(f" {name}={quoteattr(value)}" for name, value in given.items())


def instrument(series: str, **changed: object) -> str:
    """The `Instrmt` of a padded symbol."""
    date = f"20{series[6:8]}-{series[8:10]}-{series[10:12]}"
    attributes: dict[str, object] = {
        "Sym": series[:6].rstrip(),
        "CFI": f"O{series[12]}ASPS",
        "MMY": date.replace("-", ""),
        "MatDt": date,
        "StrkPx": f"{int(series[13:18])}.{series[18:]}".rstrip("0").rstrip("."),
    }
    return f"<Instrmt{attributes_text({**attributes, **changed})}/>"


def parties(occ_account: str) -> str:
    account, _, sub = occ_account.partition("/")
    told = f"<Sub{attributes_text({'ID': sub, 'Typ': 2})}/>" if sub else ""
    return (
        '<Pty ID="OCC" R="21"/><Pty ID="00099" R="4"/>'
        f"<Pty{attributes_text({'ID': account, 'R': 38})}>{told}</Pty>"
    )


def assignment(
    report_id: str | None,
    series: str,
    quantity: object,
    occ_account: str = "C",
    *,
    inside: str | None = None,
    date: dt.date | str | None = DATE,
    **changed: object,
) -> str:
    """An `AsgnRpt`.

    Args:
        report_id: Its id.
        series: Its padded symbol.
        quantity: What is assigned.
        occ_account: Its OCC account.
        inside: What stands in it instead of all of that.
        date: Its business date.
        changed: More attributes, or others.
    """
    attributes: dict[str, object] = {
        "RptID": report_id,
        "BizDt": date,
        "AsgnMeth": "R",
        "Unit": "25",
        "OpenInt": "12345",
        "ExrMethod": "M",
        "SetSesID": "EOD",
    }
    if inside is None:
        inside = parties(occ_account) + instrument(series) + f'<Qty Typ="AS" Short="{quantity}"/>'
    return f"<AsgnRpt{attributes_text({**attributes, **changed})}>{inside}</AsgnRpt>"


def position_report(
    report_id: str,
    series: str,
    short: object,
    occ_account: str = "C",
    *,
    inside: str | None = None,
    date: dt.date | None = DATE,
) -> str:
    """A `PosRpt`; as `assignment`."""
    if inside is None:
        inside = parties(occ_account) + instrument(series)
        inside += f'<Qty Typ="SOD" Long="3"/><Qty Typ="FIN" Long="2" Short="{short}"/>'
    attributes = attributes_text({"RptID": report_id, "BizDt": date, "Rslt": 0})
    return f"<PosRpt{attributes}>{inside}</PosRpt>"


def document(
    *messages: str, namespace: str = SP2, batch: Mapping[str, object] | None = None
) -> str:
    """A file of messages, a line each; in a batch where its attributes are given."""
    body = "\n".join(messages)
    if batch is not None:
        body = f'<Batch{attributes_text(batch)}><Hdr SID="OCC" TID="00099"/>\n{body}\n</Batch>'
    head = '<?xml version="1.0" encoding="UTF-8"?>'
    return f'{head}\n<FIXML xmlns="{namespace}">\n{body}\n</FIXML>\n'


def notices_text(rows: Sequence[Row], date: dt.date = DATE) -> str:
    """A table of notices as FIXML; every row has an OCC account."""
    reports = [
        assignment(
            str(row["notice_id"]),
            str(row["series"]),
            row["quantity"],
            str(row["occ_account"]),
            date=date,
        )
        for row in rows
    ]
    return document(*reports, batch={"ID": "1", "TotMsg": len(reports)})


def write_fixml_files(day: SmallDay, directory: Path) -> dict[str, Path]:
    """As `write_files`, with the notices as FIXML."""
    paths = write_files(day, directory)
    paths["notices"] = directory / "notices.xml"
    paths["notices"].write_text(notices_text(day.notices, day.date), "utf-8")
    return paths
