"""The SQL engine: one statement of its own gives what the library recorded, value by value."""

from __future__ import annotations

import ast
import csv
import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given, settings

from lottery.audit import sql_replay
from lottery.audit.sql_replay import Computed, statement
from lottery.day.tables import ALLOCATIONS, INT64_MAX
from lottery.errors import EngineMissing, LedgerDamaged
from lottery.ledger import evidence
from lottery.method.methodology import JPMS_2024_09_06, AccountOrder, Pooling, ZeroHit
from tests.builders import (
    AAPL,
    ASKS,
    FULL,
    GE,
    GOOGL,
    META,
    PUBLISHED,
    SmallDay,
    asks_making,
    copied,
    notice,
    position,
    record_in,
    request_of,
)
from tests.property.test_days_agree_with_the_reference import RandomDay, random_days
from tests.recorded.make import DECIDED_DAY, RECORDED

RECORDED_DAYS = sorted((RECORDED / "evidence").glob("*/*"))
DECISIONS = [(order, hit) for order in AccountOrder for hit in ZeroHit]


def recorded_at(
    folder: Path,
    day: SmallDay,
    account_order: AccountOrder = AccountOrder.NUMERIC,
    zero_hit: ZeroHit = ZeroHit.WRAP,
    pooling: Pooling = Pooling.OCC_ACCOUNT,
) -> Path:
    """The evidence folder of a day, recorded in a ledger of its own."""
    methodology = replace(
        JPMS_2024_09_06, account_order=account_order, zero_hit=zero_hit, pool=pooling
    )
    request = request_of(day, folder / "in", methodology=methodology)
    record_in(folder / "ledger", request)
    return unpacked(folder / "ledger" / "evidence", folder / "unpacked")


def unpacked(evidence_folder: Path, to: Path) -> Path:
    """Copy the one run below a folder, with its record named as in a bundle."""
    (record,) = evidence_folder.glob("**/????-??-??-???.json")
    copied(record.parent, to)
    return (to / record.name).rename(to / evidence.RUN_FILE).parent


def compute(directory: Path) -> Computed:
    """Compute the run in a folder by its own record."""
    return sql_replay.compute(directory, (directory / evidence.RUN_FILE).read_bytes())


def kept_in(directory: Path) -> Computed:
    """The tables as they are recorded."""
    return Computed(
        allocations=evidence.read_table(directory, evidence.ALLOCATIONS_FILE),
        pools=evidence.read_table(directory, evidence.POOLS_FILE),
    )


def assert_agreed(directory: Path) -> Computed:
    """Asserts that the statement gives the very tables recorded, and returns them."""
    computed = compute(directory)
    for name, recorded in asdict(kept_in(directory)).items():
        table = getattr(computed, name)
        assert table.schema == recorded.schema, name
        assert table.to_pylist() == recorded.to_pylist(), name
        assert table.equals(recorded), name
    return computed


def columns(table: pa.Table, *names: str) -> list[tuple[Any, ...]]:
    """The named columns of each row."""
    return list(zip(*(table.column(name).to_pylist() for name in names), strict=True))


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The full day's evidence; tests that change it take `copy`."""
    return recorded_at(tmp_path_factory.mktemp("full"), FULL)


@pytest.fixture
def copy(full: Path, tmp_path: Path) -> Path:
    """A copy of the full day's evidence that may be changed."""
    return copied(full, tmp_path / "copy")


@pytest.mark.parametrize("directory", RECORDED_DAYS, ids=lambda directory: directory.name)
def test_every_recorded_day_comes_out_again(directory: Path, tmp_path: Path) -> None:
    assert len(RECORDED_DAYS) >= 3
    assert_agreed(unpacked(directory, tmp_path / "unpacked"))


def test_the_published_example_comes_out_whole(tmp_path: Path) -> None:
    computed = assert_agreed(recorded_at(tmp_path, PUBLISHED))

    assert columns(computed.allocations, *ALLOCATIONS.names[2:]) == [
        ("1046", 30, 1, 30, 3),
        ("1047", 30, 31, 60, 7),
        ("1048", 5, 61, 65, 0),
    ]
    assert computed.pools.to_pylist() == [
        {
            "occ_account": "",
            "series": AAPL,
            "notice_count": 1,
            "assigned_quantity": 10,
            "total_short": 65,
            "assigned_before": 0,
            "first_hit": 28,
            "account_count": 3,
            "hit_account_count": 2,
            "break_reason": None,
        }
    ]


@pytest.mark.parametrize(("account_order", "zero_hit"), DECISIONS)
@pytest.mark.parametrize("day", [FULL, PUBLISHED], ids=["full", "published"])
def test_small_days_agree_under_every_decision(
    day: SmallDay, account_order: AccountOrder, zero_hit: ZeroHit, tmp_path: Path
) -> None:
    assert_agreed(recorded_at(tmp_path, day, account_order, zero_hit))


@pytest.mark.parametrize("zero_hit", list(ZeroHit))
def test_letters_are_compared_by_code_point(zero_hit: ZeroHit, tmp_path: Path) -> None:
    computed = assert_agreed(recorded_at(tmp_path, DECIDED_DAY, AccountOrder.CODE_POINT, zero_hit))

    assert columns(computed.allocations, "account") == [
        (account,) for account in ("10", "9", "A10", "A9", "X", "x")
    ]


@given(day=random_days())
@settings(max_examples=25, deadline=None)
def test_random_days_agree(day: RandomDay, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Law R1 to D5: both implementations give every value of every table alike."""
    assume(day.notices and day.positions)
    folder = tmp_path_factory.mktemp("random")
    small = SmallDay(
        notices=day.notices,
        positions=day.positions,
        asks=day.asks,
    )

    assert_agreed(recorded_at(folder, small, day.account_order, day.zero_hit, day.pooling))

    shutil.rmtree(folder)


@pytest.mark.parametrize("account_order", list(AccountOrder))
def test_accounts_of_thirty_digits_keep_their_order_and_their_zeros(
    account_order: AccountOrder, tmp_path: Path
) -> None:
    accounts = [
        "9" * 30,
        "9" * 29 + "8",
        "1" + "0" * 29,
        str(2**63),
        str(2**64),
        str(2**64 + 1),
        "0" * 29 + "7",
        "99",
        "1000",
        "0042",
    ]
    day = SmallDay(
        notices=[notice("A1", AAPL, 7)], positions=[position(AAPL, one, 3) for one in accounts]
    )

    computed = assert_agreed(recorded_at(tmp_path, day, account_order))

    by_number = account_order is AccountOrder.NUMERIC
    assert columns(computed.allocations, "account") == [
        (account,) for account in sorted(accounts, key=int if by_number else str)
    ]


@pytest.mark.parametrize("digits", ["0000", "4313", "9999"])
@pytest.mark.parametrize("zero_hit", list(ZeroHit))
def test_totals_up_to_sixty_four_bits_and_every_end_of_the_digits_agree(
    digits: str, zero_hit: ZeroHit, tmp_path: Path
) -> None:
    day = SmallDay(
        notices=[
            notice("A1", AAPL, INT64_MAX),
            notice("A2", META, 5),
            notice("A3", GE, INT64_MAX - 3),
            notice("A4", GOOGL, 1),
        ],
        positions=[
            *(position(AAPL, account, 2**62) for account in "8"),
            position(AAPL, "9", INT64_MAX - 2**62),
            *(position(META, account, INT64_MAX // 3) for account in "123"),
            *(position(GE, account, 2**61) for account in "123"),
            position(GE, "4", INT64_MAX - 3 * 2**61),
            *(position(GOOGL, account, 1) for account in ("5", "05000", "50")),
        ],
        asks=asks_making(int(f"282{digits}10")),
    )

    computed = assert_agreed(recorded_at(tmp_path, day, zero_hit=zero_hit))

    first_hit_of = dict(columns(computed.pools, "series", "first_hit"))
    assert first_hit_of[AAPL] == (int(digits) + 1) * INT64_MAX // 10_000
    if digits == "0000":
        assert first_hit_of[GOOGL] == (3 if zero_hit is ZeroHit.WRAP else 1)
    if digits == "9999":
        assert first_hit_of[GOOGL] == 3


def test_more_than_a_hundred_pools_agree(tmp_path: Path) -> None:
    pools = [
        (f"AAPL  240920C{strike:08d}", occ_account)
        for strike in range(500, 27_500, 500)
        for occ_account in ("", "C", "F")
    ]
    day = SmallDay(
        notices=[
            notice(f"A{index}-{part}", series, 1 + index % 5, occ_account)
            for index, (series, occ_account) in enumerate(pools)
            for part in range(1 + index % 3)
        ],
        positions=[
            position(series, str(account * 7), (index + account) % 6, occ_account)
            for index, (series, occ_account) in enumerate(pools)
            for account in range(index % 9)
        ],
    )

    computed = assert_agreed(recorded_at(tmp_path, day))

    assert computed.pools.num_rows == len(pools) > 100
    assert {None, "EXCEEDS_SHORT", "NO_POSITION"} == set(
        computed.pools.column("break_reason").to_pylist()
    )


def test_a_pool_without_any_position_is_a_break_without_rows(tmp_path: Path) -> None:
    day = SmallDay(notices=[notice("A1", GE, 3)], positions=[position(AAPL, "1", 2)])

    computed = assert_agreed(recorded_at(tmp_path, day))

    assert columns(computed.pools, "total_short", "first_hit", "account_count", "break_reason") == [
        (0, None, 0, "NO_POSITION")
    ]
    assert computed.allocations.num_rows == 0


def test_what_the_run_gave_is_not_read(copy: Path) -> None:
    right = kept_in(copy)
    (copy / evidence.ALLOCATIONS_FILE).unlink()
    (copy / evidence.POOLS_FILE).unlink()
    change_record(copy, lambda record: record["seed"].update(digits="0001", composite="1"))

    assert compute(copy) == right


def test_the_order_of_the_rows_changes_nothing(copy: Path) -> None:
    right = kept_in(copy)
    for name in (
        evidence.POSITIONS_FILE,
        evidence.NOTICES_FILE,
    ):
        table = pq.read_table(copy / name)
        pq.write_table(table.take(pa.array(range(table.num_rows))[::-1]), copy / name)

    assert compute(copy) == right


def test_a_position_of_zero_takes_no_number(copy: Path) -> None:
    rewrite(copy / evidence.POSITIONS_FILE, "short_quantity", lambda values: [0, *values[1:]])

    computed = compute(copy)

    rows = columns(computed.allocations, "series", "account", "first_number", "last_number")
    assert [row[1:] for row in rows if row[0] == AAPL] == [("1047", 1, 30), ("1048", 31, 35)]


def change_record(directory: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = directory / evidence.RUN_FILE
    record = json.loads(path.read_bytes())
    change(record)
    path.write_text(json.dumps(record), "utf-8")


def rewrite(path: Path, name: str, change: Callable[[list[Any]], list[Any]]) -> None:
    """Writes a table with one of its columns changed."""
    table = pq.read_table(path)
    index = table.schema.get_field_index(name)
    field = table.schema.field(index)
    values = pa.array(change(table.column(name).to_pylist()), field.type)
    pq.write_table(table.set_column(index, field, values), path)


def decide(**decisions: str | None) -> Callable[[dict[str, Any]], object]:
    return lambda record: record["method"]["decisions"].update(decisions)


def ask(price: object) -> Callable[[dict[str, Any]], object]:
    return lambda record: record["seed"]["volumes"][0].update(ask_price=price)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (ask("862.457131"), r"an ask price in run.json does not make a whole volume \(S2\)"),
        (ask("-1"), "not make a whole volume"),
        (ask("1e3"), "not make a whole volume"),
        (ask("NaN"), "not make a whole volume"),
        (ask(" 1"), "not make a whole volume"),
        (ask("12345678901234.5"), "not make a whole volume"),
        (ask(None), "not make a whole volume"),
        (
            lambda record: record["seed"]["volumes"].pop(),
            r"not have each of the four securities .*\(S2\)",
        ),
        (
            lambda record: record["seed"]["volumes"].append(record["seed"]["volumes"][0]),
            "not have each of the four securities",
        ),
        (
            lambda record: [one.update(ask_price="0") for one in record["seed"]["volumes"]],
            r"fewer than six digits \(S5\)",
        ),
        (decide(account_order="alphabetical"), "a method or account_order that is"),
        (decide(account_order=None), "a method or account_order that is"),
        (decide(zero_hit="last"), "a zero_hit that is"),
        (lambda record: record["method"].update(id="jpms-2031-01-01"), "a method or account_order"),
        (lambda record: record.pop("method"), "a method or account_order"),
        (lambda record: record.pop("seed"), "not have each of the four securities"),
    ],
)
def test_a_record_that_the_method_refuses_is_reported(
    change: Callable[[dict[str, Any]], object], message: str, copy: Path
) -> None:
    change_record(copy, change)

    with pytest.raises(LedgerDamaged, match=f"copy cannot be computed by replay.sql.*{message}"):
        compute(copy)


@pytest.mark.parametrize("price", ["862.457130000000000", "0862.45713", f"862.45713{'0' * 80}"])
def test_idle_zeros_of_an_ask_change_nothing(price: str, copy: Path) -> None:
    assert ASKS["Z901803"] == "862.45713"
    change_record(copy, ask(price))

    assert compute(copy) == kept_in(copy)


def test_the_largest_asks_add_up_exactly(copy: Path) -> None:
    largest = "9999999999999.99999"
    change_record(
        copy,
        lambda record: [one.update(ask_price=largest) for one in record["seed"]["volumes"]],
    )

    # 4 x 999999999999999999 = 3999999999999999996, and 0.9999 + 0.0001 is the whole total.
    first_hits = columns(compute(copy).pools, "total_short", "first_hit")
    assert [first == total for total, first in first_hits if first] == [True] * 3


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("account", lambda values: [values[1], *values[1:]], r"two positions .*\(P4, R2\)"),
        ("account", lambda values: [f"0{values[1]}", *values[1:]], r"two positions .*\(P4, R2\)"),
        ("account", lambda values: ["A1", *values[1:]], r"not a number of 1 to 30 digits \(R2\)"),
        ("account", lambda values: ["1e3", *values[1:]], "not a number"),
        ("account", lambda values: ["-5", *values[1:]], "not a number"),
        ("account", lambda values: ["1" * 31, *values[1:]], "not a number"),
        ("short_quantity", lambda values: [-1, *values[1:]], r"a position is negative \(P2\)"),
        ("short_quantity", lambda values: [INT64_MAX, *values[1:]], "INT64"),
    ],
)
def test_positions_that_the_method_refuses_are_reported(
    name: str, change: Callable[[list[Any]], list[Any]], message: str, copy: Path
) -> None:
    rewrite(copy / evidence.POSITIONS_FILE, name, change)

    with pytest.raises(LedgerDamaged, match=message):
        compute(copy)


def test_a_text_that_appears_twice_is_reported_under_code_point_too(copy: Path) -> None:
    change_record(copy, decide(account_order="code-point"))
    rewrite(
        copy / evidence.POSITIONS_FILE, "account", lambda values: [f"0{values[1]}", *values[1:]]
    )
    assert compute(copy).pools == kept_in(copy).pools  # They are two accounts there.

    rewrite(copy / evidence.POSITIONS_FILE, "account", lambda values: [values[1], *values[1:]])
    with pytest.raises(LedgerDamaged, match="two positions"):
        compute(copy)


@pytest.mark.parametrize(
    "name",
    [
        evidence.NOTICES_FILE,
        evidence.POSITIONS_FILE,
        evidence.CONTINUED_FILE,
        evidence.POPULATION_FILE,
    ],
)
@pytest.mark.parametrize("damage", ["missing", "empty", "other bytes", "cut"])
def test_a_file_that_cannot_be_read_is_reported(name: str, damage: str, copy: Path) -> None:
    content = (copy / name).read_bytes()
    (copy / name).unlink()
    if damage != "missing":
        left = {"empty": b"", "other bytes": b"\xff\x00 none", "cut": content[:-5]}[damage]
        (copy / name).write_bytes(left)

    with pytest.raises(LedgerDamaged, match="copy cannot be computed") as message:
        compute(copy)

    assert "\n" not in str(message.value)


@pytest.mark.parametrize("keep", [0, -5])
def test_a_record_that_cannot_be_read_is_reported(keep: int, copy: Path) -> None:
    with pytest.raises(LedgerDamaged, match="copy cannot be computed"):
        sql_replay.compute(copy, (copy / evidence.RUN_FILE).read_bytes()[:keep])


def test_other_columns_are_reported(copy: Path) -> None:
    pq.write_table(pa.table({"series": [AAPL]}), copy / evidence.NOTICES_FILE)

    with pytest.raises(LedgerDamaged, match="occ_account"):
        compute(copy)


def test_a_folder_that_is_not_there_is_reported(tmp_path: Path) -> None:
    with pytest.raises(LedgerDamaged, match="nowhere cannot be computed"):
        sql_replay.compute(tmp_path / "nowhere", b"{}")


def test_without_duckdb_what_to_install_is_named(
    full: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)

    with pytest.raises(EngineMissing, match=r"pip install 'duckdb>=1\.4'"):
        compute(full)


def test_too_little_memory_is_no_damage(full: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings_ = {**sql_replay._SETTINGS, "memory_limit": "1MB"}
    monkeypatch.setattr(sql_replay, "_SETTINGS", settings_)

    with pytest.raises(MemoryError):
        compute(full)


def test_files_in_the_working_folder_are_not_taken_for_the_runs(
    full: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(recorded_at(tmp_path, PUBLISHED))
    assert compute(full) == kept_in(full)

    copied(full, tmp_path / "here")
    monkeypatch.chdir(tmp_path)
    assert compute(Path("here")) == kept_in(full)


@pytest.mark.parametrize(
    "name",
    ["a,b", "[a]b", "a*b?c", "{a,b}", 'it\'s "it"', "account=5", "~", "a b", "notices\\", "über"],
)
def test_a_folder_may_have_any_name(name: str, full: Path, tmp_path: Path) -> None:
    assert compute(copied(full, tmp_path / name)) == kept_in(full)


def test_the_statement_can_read_the_runs_folder_alone(
    full: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = copied(full, tmp_path / "foreign") / "run.json"
    tried = (
        f"FROM read_text('{foreign}')",
        f"COPY (SELECT 1) TO '{tmp_path / 'written.csv'}'",
        "SET enable_external_access = true",
        "INSTALL httpfs",
    )
    for foreign_statement in tried:
        monkeypatch.setattr(sql_replay, "statement", lambda text=foreign_statement: text)
        with pytest.raises(LedgerDamaged, match=r"disabled|locked|Cannot change"):
            compute(full)

    assert not (tmp_path / "written.csv").exists()


def test_the_statement_runs_by_hand_as_its_header_says(full: Path, tmp_path: Path) -> None:
    folder = copied(full, tmp_path / "unpacked")
    (folder / "replay.sql").write_text(statement(), "utf-8")
    (line,) = [line for line in statement().splitlines() if line.startswith("--     python")]
    program, *arguments = shlex.split(line.removeprefix("--"))
    assert program == "python"

    subprocess.run([sys.executable, *arguments], cwd=folder, check=True, timeout=60)

    with (folder / "replayed.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    allocated = [row for row in rows if not row["break_reason"]]
    kept = kept_in(folder)
    assert [[row[name] for name in ALLOCATIONS.names] for row in allocated] == [
        [str(value) for value in row.values()] for row in kept.allocations.to_pylist()
    ]
    assert [(row["account"], row["assigned_quantity"]) for row in rows if row["break_reason"]] == [
        (account, "") for account in ("0815", "904", "9038415")
    ]


def test_the_statement_is_one_after_its_variables_and_names_the_rules() -> None:
    text = statement()

    code = "\n".join(line.partition("--")[0] for line in text.splitlines())
    assert code.count(";") == 1 + code.count("SET VARIABLE")
    assert code.strip().endswith(";")
    for rule in ("S1", "S2", "S3", "S4", "S5", "S6", "P1", "P2", "P3", "P4", "P5", "F2"):
        assert rule in text
    for rule in ("R1", "R2", "R3", "D1", "D2", "D3", "D4", "D5"):
        assert rule in text
    assert max(len(line) for line in text.splitlines()) <= 100


def test_the_engine_imports_nothing_of_the_method_or_the_loops() -> None:
    tree = ast.parse(Path(sql_replay.__file__).read_text("utf-8"))
    imported = {
        name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names]
        )
    }
    assert {name for name in imported if name.startswith("lottery")} == {
        "lottery.day.tables",
        "lottery.errors",
        "lottery.extras",
    }


def test_loading_the_engine_does_not_load_duckdb() -> None:
    program = "import sys, lottery.audit.sql_replay; print('duckdb' in sys.modules)"
    message = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60
    )

    assert message.stdout == "False\n"
