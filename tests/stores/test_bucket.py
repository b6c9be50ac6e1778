"""A bucket keeps the contract, also when its store fails, and what a store keeps is found out."""

from __future__ import annotations

import re
import uuid
from pathlib import Path

import pytest

from lottery.errors import LedgerUnwritable
from lottery.ledger.ports import Objects
from lottery.stores.bucket import Bucket, open_bucket
from lottery.stores.bucket_probe import probe
from lottery.stores.bucket_settings import Limits
from tests.services.s3 import Act, FaultyS3, S3Server
from tests.stores.objects_contract import LARGE, ObjectsContract

IMPATIENT = Limits(
    connect_seconds=1, stalled_seconds=0.5, request_seconds=1, retries=2, retry_seconds=3
)


def ids() -> str:
    return uuid.uuid4().hex


class TestInMemory(ObjectsContract):
    @pytest.fixture
    def objects(self) -> Objects:
        return open_bucket("memory:///")


class TestOnS3(ObjectsContract):
    @pytest.fixture
    def objects(self, s3_url: str) -> Objects:
        return open_bucket(s3_url)


class TestOnS3ThatRefusesASecondWrite(ObjectsContract):
    @pytest.fixture
    def objects(self, serial_s3_url: str) -> Objects:
        bucket = open_bucket(serial_s3_url)
        assert probe(bucket, ids) == []
        assert bucket.conditional
        return bucket


class TestOnS3WithoutConditions(ObjectsContract):
    @pytest.fixture
    def objects(self, s3_url: str, faulty_s3: FaultyS3) -> Objects:
        faulty_s3.add(Act.UNCONDITIONAL, header="If-None-Match", times=None)
        return open_bucket(s3_url)


@pytest.fixture(params=[False, True], ids=["reads-first", "conditional"])
def bucket(request: pytest.FixtureRequest, s3_url: str, faulty_s3: FaultyS3) -> Bucket:
    """Return a bucket that comes to its store by the proxy."""
    opened = open_bucket(s3_url, limits=IMPATIENT)
    opened.conditional = request.param
    faulty_s3.seen.clear()
    return opened


LOST = [
    {"act": Act.CUT},
    {"act": Act.CUT_AFTER},
    {"act": Act.ANSWER, "status": 500},
    {"act": Act.ANSWER, "status": 503},
    {"act": Act.ANSWER_AFTER, "status": 500},
    {"act": Act.ANSWER_AFTER, "status": 503},
    {"act": Act.SLOW, "seconds": 3},
]


def fault_id(fault: dict[str, object]) -> str:
    return "-".join(str(part) for part in fault.values()).removeprefix("Act.")


@pytest.mark.parametrize("fault", LOST, ids=fault_id)
def test_a_write_whose_answer_was_lost_is_made(
    bucket: Bucket, faulty_s3: FaultyS3, fault: dict[str, object]
) -> None:
    faulty_s3.add(method="PUT", **fault)  # type: ignore[arg-type]
    bucket.create("log/heads/1", b"signed")
    faulty_s3.add(method="PUT", **fault)  # type: ignore[arg-type]
    bucket.put("log/checkpoint", b"latest")

    assert not faulty_s3.faults
    assert bucket.get("log/heads/1") == b"signed"
    assert bucket.get("log/checkpoint") == b"latest"
    with pytest.raises(FileExistsError):
        bucket.create("log/heads/1", b"Signed")


@pytest.mark.parametrize("fault", LOST, ids=fault_id)
def test_files_are_taken_though_answers_are_lost(
    bucket: Bucket, faulty_s3: FaultyS3, fault: dict[str, object]
) -> None:
    with bucket.staging() as staged:
        (staged / "small").write_bytes(b"small")
        (staged / "large").write_bytes(LARGE)
        for name, method in (("small", "PUT"), ("partNumber", "PUT"), ("uploadId", "POST")):
            faulty_s3.add(method=method, name=name, **fault)  # type: ignore[arg-type]
        bucket.take(staged, "evidence/x")

    assert not faulty_s3.faults
    assert bucket.get("evidence/x/small") == b"small"
    assert bucket.get("evidence/x/large") == LARGE


@pytest.mark.parametrize("status", [412, 409])
def test_a_refusal_of_what_was_just_written_is_no_conflict(
    bucket: Bucket, faulty_s3: FaultyS3, status: int
) -> None:
    faulty_s3.add(Act.ANSWER_AFTER, method="PUT", status=status)

    bucket.create("log/heads/1", b"signed")

    assert bucket.get("log/heads/1") == b"signed"
    assert faulty_s3.count("PUT") == 1


def test_a_refusal_for_an_object_that_is_not_there_is_tried_again(
    bucket: Bucket, faulty_s3: FaultyS3
) -> None:
    faulty_s3.add(Act.ANSWER, method="PUT", status=409)

    bucket.create("log/heads/1", b"signed")

    assert bucket.get("log/heads/1") == b"signed"


def test_a_store_that_refuses_and_has_nothing_is_reported(
    bucket: Bucket, faulty_s3: FaultyS3
) -> None:
    faulty_s3.add(Act.ANSWER, method="PUT", status=412, times=None)

    with pytest.raises(OSError, match="says that it exists, and when it is read that it does not"):
        bucket.create("log/heads/1", b"signed")


def test_a_store_that_knows_no_conditions_is_written_all_the_same(
    bucket: Bucket, faulty_s3: FaultyS3
) -> None:
    faulty_s3.add(Act.ANSWER, header="If-None-Match", status=501, times=None)

    bucket.create("log/heads/1", b"signed")

    assert bucket.get("log/heads/1") == b"signed"


def test_an_object_of_other_bytes_is_kept_where_conditions_are_ignored(
    bucket: Bucket, faulty_s3: FaultyS3
) -> None:
    faulty_s3.add(Act.UNCONDITIONAL, header="If-None-Match", times=None)
    bucket.conditional = False
    bucket.create("log/heads/1", b"signed")

    with pytest.raises(FileExistsError):
        bucket.create("log/heads/1", b"Signed")
    assert bucket.get("log/heads/1") == b"signed"


@pytest.mark.parametrize("act", [Act.CUT, Act.CUT_AFTER, Act.ANSWER])
def test_a_store_that_stays_away_is_an_error_that_can_be_repeated(
    bucket: Bucket, faulty_s3: FaultyS3, act: Act
) -> None:
    faulty_s3.add(act, times=None)

    for call in (
        lambda: bucket.create("a", b"1"),
        lambda: bucket.put("a", b"1"),
        lambda: bucket.get("a"),
        lambda: bucket.delete("a"),
        lambda: list(bucket.list()),
    ):
        with pytest.raises(OSError, match="cannot ") as caught:
            call()
        assert not isinstance(caught.value, FileNotFoundError | FileExistsError)
        assert bucket.place in str(caught.value)
    faulty_s3.faults.clear()
    bucket.create("a", b"1")


@pytest.mark.parametrize(
    "fault",
    [
        {"act": Act.CUT},
        {"act": Act.HALF},
        {"act": Act.ANSWER, "status": 500},
        {"act": Act.SLOW, "seconds": 3},
    ],
    ids=fault_id,
)
def test_an_answer_that_is_not_whole_is_asked_for_again(
    bucket: Bucket, faulty_s3: FaultyS3, fault: dict[str, object]
) -> None:
    bucket.put("evidence/a", b"0123456789")
    faulty_s3.add(method="GET", name="evidence/a", **fault)  # type: ignore[arg-type]

    assert bucket.get("evidence/a") == b"0123456789"

    faulty_s3.add(method="GET", name="evidence/a", **fault)  # type: ignore[arg-type]
    with bucket.local("evidence") as folder:
        assert (folder / "a").read_bytes() == b"0123456789"


def test_an_object_is_never_returned_in_part(bucket: Bucket, faulty_s3: FaultyS3) -> None:
    bucket.put("a", b"0123456789")
    faulty_s3.add(Act.HALF, method="GET", times=None)

    with pytest.raises(OSError, match="cannot read 'a'"):
        bucket.get("a")
    assert faulty_s3.count("GET") > 2


def test_a_missing_bucket_is_no_missing_object(s3_url: str) -> None:
    elsewhere = open_bucket(re.sub(r"//[^/]*", "//no-such-bucket", s3_url), limits=IMPATIENT)

    for call in (
        lambda: elsewhere.get("a"),
        lambda: elsewhere.put("a", b""),
        lambda: elsewhere.create("a", b""),
        lambda: list(elsewhere.list()),
    ):
        with pytest.raises(OSError, match="NoSuchBucket") as caught:
            call()
        assert not isinstance(caught.value, FileNotFoundError)


def test_messages_hold_no_credential(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://user:very-secret@127.0.0.1:1")
    bucket = open_bucket(s3_url, limits=IMPATIENT)

    with pytest.raises(OSError, match="cannot read 'a' in s3://") as caught:
        bucket.get("a")
    assert "very-secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_endpoint_without_tls_has_to_be_allowed(
    s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ALLOW_HTTP")

    with pytest.raises(OSError, match="set AWS_ALLOW_HTTP=true"):
        open_bucket(s3_url, limits=IMPATIENT).get("a")


def test_what_others_put_there_is_not_listed(s3: S3Server, s3_url: str) -> None:
    bucket = open_bucket(s3_url)
    bucket.put("evidence/a", b"1")
    name = s3_url.removeprefix("s3:/")
    s3.request("PUT", f"{name}/")
    s3.request("PUT", f"{name}/evidence/.hidden", b"1")
    s3.request("PUT", f"{name}/a%20b", b"1")

    assert [one.name for one in bucket.list()] == ["evidence/a"]
    with pytest.raises(OSError, match="hidden"), bucket.local("evidence"):
        pass


def test_a_copy_on_disk_stays_in_its_folder(s3: S3Server, s3_url: str) -> None:
    bucket = open_bucket(s3_url)
    s3.request("PUT", f"{s3_url.removeprefix('s3:/')}/evidence/../../escaped", b"1")

    with pytest.raises(OSError, match="cannot list"), bucket.local("evidence"):
        pass


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ftp://host/path", "expected s3://BUCKET/PREFIX.*got 'ftp://host/path'"),
        ("/srv/ledger", "expected s3://BUCKET/PREFIX.*got '/srv/ledger'; for a directory"),
        ("s3:///prefix", "expected s3://BUCKET/PREFIX"),
        ("s3://bucket/a b", "expected an object name"),
        ("s3://bucket/../b", "expected an object name"),
        ("s3://bucket/b?x=1", "with a user, a query or a fragment"),
        ("s3://key:very-secret@bucket/b", "with a user, a query or a fragment"),
    ],
)
def test_another_url_is_refused(url: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        open_bucket(url)
    assert "very-secret" not in str(caught.value)


def test_a_url_that_lacks_something_says_what(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_ACCOUNT_NAME"):
        monkeypatch.delenv(name, raising=False)

    with pytest.raises(ValueError, match=r"Account must be specified.*begin with AZURE_"):
        open_bucket("az://container/prefix")


def test_a_good_store_is_found_good_and_left_clean(serial_s3_url: str) -> None:
    bucket = open_bucket(serial_s3_url)

    assert probe(bucket, ids) == []
    assert bucket.conditional
    assert list(bucket.list()) == []


def test_a_store_that_ignores_conditions_is_reported(s3_url: str, faulty_s3: FaultyS3) -> None:
    faulty_s3.add(Act.UNCONDITIONAL, header="If-None-Match", times=None)
    bucket = open_bucket(s3_url)
    bucket.conditional = True

    (finding,) = probe(bucket, ids)

    assert "ignores conditional writes" in finding
    assert not bucket.conditional


def test_a_store_that_races_is_reported(s3_url: str, faulty_s3: FaultyS3) -> None:
    faulty_s3.add(Act.UNCONDITIONAL, header="If-None-Match", name="-race", times=None)
    bucket = open_bucket(s3_url)

    (finding,) = probe(bucket, ids)

    assert "races on conditional writes" in finding
    assert "got 4 accepted" in finding
    assert list(bucket.list()) == []


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"act": Act.ANSWER, "method": "GET", "name": "probe/", "status": 404}, "got no object"),
        ({"act": Act.NOT_LISTED, "method": "GET", "name": "list-type"}, "does not list its own"),
        ({"act": Act.ANSWER, "method": "PUT", "status": 403}, "check its address"),
    ],
)
def test_a_store_that_does_not_read_its_own_writes_is_refused(
    s3_url: str, faulty_s3: FaultyS3, fault: dict[str, object], said: str
) -> None:
    faulty_s3.add(times=None, **fault)  # type: ignore[arg-type]

    with pytest.raises(LedgerUnwritable, match=said):
        probe(open_bucket(s3_url, limits=IMPATIENT), ids)


def test_staging_is_in_the_system_s_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    with open_bucket("memory:///").staging() as staged:
        assert staged.parent == tmp_path
