"""Sound files to start from, and the words that the formats are made of."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

Columns: TypeAlias = Mapping[str, Sequence[str] | Sequence[int]]

AAPL: Final = "AAPL  240920C00220000"
META: Final = "META  240920P00560000"
POSITIONS: Final[Columns] = {
    "series": [AAPL, AAPL, AAPL, META, "KO240920C00067500"],
    "account": ["1046", "1047", "0048", "123456789012345678901234567890", "7"],
    "short_quantity": [30, 30, 5, 12, 0],
    "occ_account": ["C", "C", "C", "M/ABC", ""],
}
NOTICES: Final[Columns] = {
    "notice_id": ["A1", "A2", "A 3"],
    "series": [AAPL, "AAPL240920C00220000", META],
    "quantity": [6, 4, 13],
    "occ_account": ["C", "C", "M/ABC"],
}
_FIXML: Final = """<?xml version="1.0" encoding="UTF-8"?>
<FIXML xmlns="http://www.fixprotocol.org/FIXML-5-0-SP2" v="5.0 SP2" s="20090815">
 <Batch ID="B1" TotMsg="2">
  <AsgnRpt RptID="A1" TotNumAsgnRpts="2" LastRptReqed="N" AcctTyp="1" AsgnMeth="R" Unit="1"
    OpenInt="65" ExrMethod="M" SetSesID="EOD" BizDt="2024-09-16">
   <Hdr SID="OCC" TID="00161" Snt="2024-09-16T06:00:00-05:00"/>
   <Pty ID="OCC" R="21"/><Pty ID="00161" R="4"/><Pty ID="C" R="38"><Sub ID="ZZZ" Typ="31"/></Pty>
   <Instrmt Sym="AAPL" CFI="OCASPS" MMY="202409" MatDt="2024-09-20" StrkPx="220.0" OptAt="0"/>
   <Qty Typ="AS" Long="0" Short="10"/><Amt Typ="CASH" Amt="0.00"/>
  </AsgnRpt>
  <AsgnRpt RptID="A2" BizDt="2024-09-16">
   <Pty ID="M" R="38"/>
   <Instrmt Sym="META" PutCall="0" MatDt="2024-09-20" StrkPx="560"/>
   <Qty Typ="AS" Short="13"/>
  </AsgnRpt>
 </Batch>
</FIXML>
"""
_FIXML_ALONE: Final = """<FIXML xmlns="http://www.fixprotocol.org/FIXML-4-4">
<AsgnRpt RptID="A1" BizDt="2024-09-16"><Hdr/><Pty ID="C" R="38"/>
<Instrmt Sym="AAPL" CFI="OC" MatDt="2024-09-20" StrkPx="220"/><Qty Typ="AS" Long="10"/></AsgnRpt>
</FIXML>
"""

_FIXML_FIGURES: Final = """<FIXML xmlns="http://www.fixprotocol.org/FIXML-5-0-SP2"><Batch><Hdr/>
<AsgnRpt RptID="A1" BizDt="2024-09-16"><Pty ID="C" R="38"/>
<Instrmt Sym="AAPL" CFI="OCASPS" MatDt="2024-09-20" StrkPx="220"/><Qty Typ="AS" Short="3"/>
</AsgnRpt><PosRpt RptID="541386431" Rslt="0" BizDt="2024-09-16" AcctTyp="1" SetPx="0.00" ReqTyp="0">
<Pty ID="OCC" R="21"/><Pty ID="C" R="38"/>
<Instrmt Sym="AAPL" CFI="OCASPS" MatDt="2024-09-20" StrkPx="220" StrkCcy="USD" Mult="100"/>
<Qty Typ="FIN" Long="20" Short="65"/><Qty Typ="AS" Short="3"/><Amt Typ="FMTM" Amt="0.00"/>
</PosRpt></Batch></FIXML>
"""

UNKNOWN: Final = "files of this format are not read"
"""What a parser's process prints where there is nothing to fuzz."""
SUFFIXES: Final = {"csv": ".csv", "parquet": ".parquet", "fixml": ".xml"}


@functools.cache
def samples_of(parser: str) -> list[bytes]:
    """Sound files of a format, small, and different in what their readers do."""
    if parser == "fixml":
        other = _FIXML.replace("UTF-8", "US-ASCII")
        return [text.encode() for text in (_FIXML, other, _FIXML_ALONE, _FIXML_FIGURES)]
    tables = (POSITIONS, NOTICES)
    if parser == "csv":
        plain = [_csv(table) for table in tables]
        return [*plain, *(_quoted(text) for text in plain), b"\xef\xbb\xbf" + plain[0]]
    return [
        content
        for columns in tables
        for content in (
            _parquet(pa.table(dict(columns))),
            _parquet(pa.table(dict(columns)), compression="zstd", row_group_size=2),
            _parquet(pa.table(dict(columns)), compression="snappy", write_page_checksum=True),
            _parquet(pa.table(dict(columns)), use_dictionary=False, data_page_version="2.0"),
            _parquet(
                pa.table({**columns, "series": pa.array(columns["series"]).dictionary_encode()})
            ),
        )
    ]


def words_of(parser: str) -> list[bytes]:
    """Return what changes of a file are made of, in addition to random bytes."""
    words = [AAPL, "240920C00220000", *POSITIONS, *NOTICES, "00", "9223372036854775807", "=1"]
    if parser == "csv":
        words += ['"', '""', ",", "\n", "\r\n", "\r", "\ufeff", "\0", '","', "-1", "1e5"]
    if parser == "fixml":
        words += ["<!DOCTYPE", "<!ENTITY a 'b'>", "&a;", "&#0;", "<![CDATA[", "]]>", "xmlns", "<?"]
        words += ["AsgnRpt", "PosRpt", "Batch", "TotMsg", "RptID", "BizDt", "Instrmt", "Qty", "Typ"]
        words += [
            "Long",
            "Short",
            "FIN",
            "StrkPx",
            "MatDt",
            "PutCall",
            "CFI",
            "OCASPS",
            "FXXXXX",
            "MMY",
        ]
        words += ["Pty", "Sub", "http://www.fixprotocol.org/FIXML-5-0-SP1", "0.0005", "-", "UTF-16"]
    return [word.encode() for word in dict.fromkeys(words)]


def _csv(columns: Columns) -> bytes:
    rows = zip(*columns.values(), strict=True)
    lines = [",".join(columns), *(",".join(str(value) for value in row) for row in rows)]
    return "".join(f"{line}\n" for line in lines).encode()


def _quoted(text: bytes) -> bytes:
    lines = text.decode().splitlines()
    quoted = [",".join(f'"{value}"' for value in line.split(",")) for line in lines]
    return "".join(f"{line}\r\n" for line in quoted).encode()


def _parquet(table: pa.Table, **options: object) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **options)
    content: bytes = sink.getvalue().to_pybytes()
    return content
