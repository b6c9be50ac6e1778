"""`lottery seed`: every step from four asks to the fraction; nothing is recorded."""

from __future__ import annotations

from pathlib import Path

from tests.builders import ASKS, asks_making, volumes_text
from tests.cli.calls import EXAMPLE, Door, fails, lottery, succeeds

VOLUMES = EXAMPLE / "volumes.csv"


def test_every_step_of_the_seed_is_shown_and_no_ledger_is_made(tmp_path: Path) -> None:
    text, document = succeeds(lottery, "seed", "--volumes", VOLUMES)
    for line in (
        "NYSE Volume Z901803 862.45713 x 100,000 = 86,245,713",
        "MIDWEST Volume Z901439 118.20946 x 100,000 = 11,820,946",
        "CINCINNATI Volume Z901466 407.93388 x 100,000 = 40,793,388",
        "NASD Volume Z901448 1435.71263 x 100,000 = 143,571,263",
        "Composite volume 282,431,310",
        "Length 9 digits; 9 - 5 = 4, the cut starts at position 4: 282[4313]10",
        "Digits 4313; 4,313 / 10,000 + 0.0001 = 0.4314",
    ):
        assert line in text.lines
    assert document["volumes"] == [
        {"security_number": "Z901803", "ask_price": "862.45713", "volume": 86245713},
        {"security_number": "Z901439", "ask_price": "118.20946", "volume": 11820946},
        {"security_number": "Z901466", "ask_price": "407.93388", "volume": 40793388},
        {"security_number": "Z901448", "ask_price": "1435.71263", "volume": 143571263},
    ]
    steps = [document[name] for name in ("composite", "length", "cut_position", "digits")]
    assert steps == ["282431310", 9, 4, "4313"]
    assert document["fraction"] == "0.4314"
    assert list(tmp_path.iterdir()) == []


def test_the_volumes_come_in_the_order_of_the_document_whatever_the_files_is(
    reader: Door, tmp_path: Path
) -> None:
    volumes = tmp_path / "volumes.csv"
    volumes.write_text(volumes_text(dict(reversed(ASKS.items()))), "utf-8")
    assert reader("seed", "--volumes", volumes).out == reader("seed", "--volumes", VOLUMES).out


def test_a_coarse_composite_comes_with_a_warning(reader: Door, tmp_path: Path) -> None:
    volumes = tmp_path / "volumes.csv"
    volumes.write_text(volumes_text(asks_making(282_431_000)), "utf-8")
    text, document = succeeds(reader, "seed", "--volumes", volumes)
    assert (document["digits"], document["fraction"]) == ("4310", "0.4311")
    (warning,) = document["warnings"]
    assert (warning["code"], warning["rule"]) == ("LOW_PRECISION_COMPOSITE", "S7")
    assert f"warning: {warning['message']} [{warning['rule']}]" in text.lines


def test_a_date_before_the_method_has_no_seed(reader: Door, example_server: Door) -> None:
    def seed_of(date: str) -> tuple[object, ...]:
        return ("seed", "--volumes", VOLUMES, "--date", date)

    refused = [
        fails(door, *seed_of("2024-09-05"), exit_code=3, reason="METHOD_NOT_IN_FORCE")
        for door in (reader, example_server)
    ]

    (problem,) = refused[0][1]["problems"]
    assert (problem["file"], problem["rule"]) == ("business_date", "F1")
    assert problem["message"].endswith("came into force, got 2024-09-05")
    assert refused[0] == refused[1]
    assert reader(*seed_of("2024-09-06")).out == reader("seed", "--volumes", VOLUMES).out
    assert reader(*seed_of("5 September")).exit_code == 2


def test_volumes_of_another_date_have_no_seed(
    reader: Door, example_server: Door, tmp_path: Path
) -> None:
    volumes = tmp_path / "volumes.csv"
    header, *rows = volumes_text(ASKS).splitlines()
    dated = [f"{header},as_of", *(f"{row},2024-09-13" for row in rows), ""]
    volumes.write_text("\n".join(dated), "utf-8")
    command = ("seed", "--volumes", volumes)

    for door in (reader, example_server):
        assert door(*command, "--date", "2024-09-13").exit_code == 0
        _, document = fails(
            door, *command, "--date", "2024-09-16", exit_code=3, reason="INVALID_INPUT"
        )
        (problem,) = document["problems"]
        found = [problem[name] for name in ("file", "column", "rule")]
        assert found == ["volumes.csv", "as_of", "S8"]


def test_wrong_volumes_are_refused_by_file_row_and_line(
    reader: Door, example_server: Door, tmp_path: Path
) -> None:
    volumes = tmp_path / "asks of today.csv"
    volumes.write_text(volumes_text({**ASKS, "Z901439": "118.209461", "Z901466": "-1"}), "utf-8")
    command = ("seed", "--volumes", volumes)
    refused = fails(reader, *command, exit_code=3, reason="INVALID_SEED")
    assert [
        (problem["file"], problem["row"], problem["line"], problem["column"])
        for problem in refused[1]["problems"]
    ] == [
        ("asks of today.csv", 2, 3, "ask_price"),
        ("asks of today.csv", 3, 4, "ask_price"),
    ]
    assert fails(example_server, *command, exit_code=3, reason="INVALID_SEED") == refused
