"""The file of the private key: the next key's file is found, and takes its name once it signs."""

from __future__ import annotations

from pathlib import Path

import pytest

from lottery.errors import KeyUnusable
from lottery.ledger.signing import find_key, next_key_file, take_key
from lottery.tlog.keys import SigningKey, create_key_file

NAME = "example.com/lottery"


def test_the_next_key_takes_the_name_of_the_key_file_once_it_is_the_logs(tmp_path: Path) -> None:
    key_file = tmp_path / "signing.key"
    old = create_key_file(key_file, NAME)
    new = create_key_file(next_key_file(key_file), NAME)

    assert find_key(key_file, old.verifier) == (old, key_file)
    assert take_key(key_file, old.verifier) == old
    assert find_key(key_file, new.verifier) == (new, next_key_file(key_file))
    assert take_key(key_file, new.verifier) == new

    assert [path.name for path in tmp_path.iterdir()] == ["signing.key"]
    assert take_key(key_file, new.verifier) == new
    with pytest.raises(KeyUnusable, match="check LOTTERY_SIGNING_KEY"):
        take_key(key_file, old.verifier)


def test_a_next_key_that_is_none_is_left_alone(tmp_path: Path) -> None:
    key_file = tmp_path / "signing.key"
    key = create_key_file(key_file, NAME)
    next_key_file(key_file).write_text("no key")

    assert take_key(key_file, key.verifier) == key
    with pytest.raises(KeyUnusable):
        take_key(key_file, SigningKey.generate(NAME).verifier)
    assert next_key_file(key_file).read_text() == "no key"


def test_a_key_that_cannot_take_its_name_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key_file = tmp_path / "signing.key"
    create_key_file(key_file, NAME)
    new = create_key_file(next_key_file(key_file), NAME)

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(KeyUnusable, match="cannot take its name: Permission denied"):
        take_key(key_file, new.verifier)
