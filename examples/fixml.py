"""The example day's notices and OCC's own figures as FIXML 5.0 SP2, written as OCC writes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from xml.sax.saxutils import quoteattr

_START = """<?xml version="1.0" encoding="UTF-8"?>
<FIXML xmlns="http://www.fixprotocol.org/FIXML-5-0-SP2">
 <Batch TotMsg="{count}">
  <Hdr SID="OCC" TID="00099" Snt="2024-09-17T02:15:00-05:00"/>
"""
_END = " </Batch>\n</FIXML>\n"

Row = Mapping[str, "str | int | None"]


def notices_text(notices: Iterable[Row], date: str) -> str:
    """Write notices as assignment reports, in their order."""
    reports = [
        _report(
            "AsgnRpt",
            {
                "RptID": row["notice_id"],
                "BizDt": date,
                "AsgnMeth": "R",
                "Unit": 25,
                "ExrMethod": "M",
                "SetSesID": "EOD",
            },
            str(row["occ_account"]),
            str(row["series"]),
            {"Typ": "AS", "Short": row["quantity"]},
        )
        for row in notices
    ]
    return _START.format(count=len(reports)) + "".join(reports) + _END


def positions_text(
    positions: Iterable[Row], date: str, missing: Mapping[tuple[str, str], int]
) -> str:
    """Write what OCC has each pool short.

    Args:
        positions: The firm's positions.
        date: The business date.
        missing: What the firm's positions lack, by OCC account and series.
    """
    shorts: dict[tuple[str, str], int] = dict(missing)
    for row in positions:
        pool = (str(row["occ_account"]), str(row["series"]))
        shorts[pool] = shorts.get(pool, 0) + int(str(row["short_quantity"]))
    reports = [
        _report(
            "PosRpt",
            {"RptID": f"P{number:09d}", "Rslt": 0, "BizDt": date},
            occ_account,
            series,
            {"Typ": "FIN", "Long": 0, "Short": short},
        )
        for number, ((occ_account, series), short) in enumerate(sorted(shorts.items()), start=1)
    ]
    return _START.format(count=len(reports)) + "".join(reports) + _END


def _report(name: str, attributes: Row, occ_account: str, series: str, quantity: Row) -> str:
    account, _, sub = occ_account.partition("/")
    party = _element("Pty", {"ID": account, "R": 38}, is_open=bool(sub))
    if sub:
        party += f"{_element('Sub', {'ID': sub, 'Typ': 2})}</Pty>"
    date = f"20{series[-15:-13]}-{series[-13:-11]}-{series[-11:-9]}"
    strike = f"{int(series[-8:-3])}.{series[-3:]}".rstrip("0").rstrip(".")
    instrument = {
        "Sym": series[:-15].rstrip(),
        "CFI": f"O{series[-9]}ASPS",
        "MMY": date.replace("-", ""),
        "MatDt": date,
        "StrkPx": strike,
    }
    lines = [
        _element("Pty", {"ID": "OCC", "R": 21}),
        _element("Pty", {"ID": "00099", "R": 4}),
        party,
        _element("Instrmt", instrument),
        _element("Qty", quantity),
    ]
    inside = "".join(f"   {line}\n" for line in lines)
    return f"  {_element(name, attributes, is_open=True)}\n{inside}  </{name}>\n"


def _element(name: str, attributes: Row, *, is_open: bool = False) -> str:
    shown = "".join(f" {key}={quoteattr(str(value))}" for key, value in attributes.items())
    return f"<{name}{shown}{'' if is_open else '/'}>"
