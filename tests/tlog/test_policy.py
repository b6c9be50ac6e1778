"""A policy says who is known and who is enough; what it does not say exactly is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lottery.errors import CheckpointInvalid, Refused
from lottery.tlog.checkpoint import sign_checkpoint
from lottery.tlog.cosignature import add_cosignature
from lottery.tlog.keys import SignatureType, SigningKey
from lottery.tlog.note import SignedNote
from lottery.tlog.policy import Group, Policy, PolicyLog, PolicyWitness
from tests.tlog.signed import CHECKPOINT, LOG, NOTE, STRANGER, TIME

NAMES = ("X1", "X2", "X3", "Y1", "Y2", "Y3")
KEYS = {
    name: SigningKey(
        name=f"witness.example/{name}",
        seed=name.encode() * 16,
        signature_type=SignatureType.COSIGNATURE,
    )
    for name in NAMES
}
WITNESS_LINES = "".join(f"witness {name} {KEYS[name].verifier}\n" for name in NAMES)
LOG_LINE = f"log {LOG.verifier}\n"
# The example of c2sp.org/tlog-policy, with keys in its gaps.
PUBLISHED = f"""\
{LOG_LINE}
witness X1 {KEYS["X1"].verifier}
witness X2 {KEYS["X2"].verifier}
witness X3 {KEYS["X3"].verifier}
group X-witnesses 2 X1 X2 X3

witness Y1 {KEYS["Y1"].verifier}
witness Y2 {KEYS["Y2"].verifier}
witness Y3 {KEYS["Y3"].verifier}
group Y-witnesses any Y1 Y2 Y3

group X-and-Y all X-witnesses Y-witnesses
quorum X-and-Y
"""


def parsed(text: str) -> Policy:
    return Policy.parse(text.encode())


def witnessed(*names: str, by: SigningKey = LOG) -> bytes:
    """A checkpoint's note with the cosignatures of these witnesses."""
    note = sign_checkpoint(CHECKPOINT, by)
    for name in names:
        note = add_cosignature(note, KEYS[name], TIME)
    return note


def test_the_published_policy_is_read() -> None:
    policy = parsed(PUBLISHED)

    assert policy == Policy(
        logs=(PolicyLog(key=LOG.verifier),),
        witnesses=tuple(PolicyWitness(name=name, key=KEYS[name].verifier) for name in NAMES),
        groups=(
            Group(name="X-witnesses", threshold=2, members=("X1", "X2", "X3")),
            Group(name="Y-witnesses", threshold=1, members=("Y1", "Y2", "Y3")),
            Group(name="X-and-Y", threshold=2, members=("X-witnesses", "Y-witnesses")),
        ),
        quorum="X-and-Y",
    )


@given(st.lists(st.sampled_from(NAMES), unique=True))
def test_the_published_quorum_is_two_of_the_one_group_and_one_of_the_other(
    names: Sequence[str],
) -> None:
    """Law: the quorum is met if and only if the specification's sentence holds."""
    judged = parsed(PUBLISHED).judge(witnessed(*names))

    count = {group: sum(name.startswith(group) for name in names) for group in "XY"}
    assert judged.quorum_met == (count["X"] >= 2 and count["Y"] >= 1)
    assert [one.name for one in judged.witnesses] == sorted(names)
    assert judged.checkpoint == CHECKPOINT
    assert judged.logs == (LOG.verifier,)


@pytest.mark.parametrize(
    ("quorum", "names", "met"),
    [
        ("quorum none", "", True),
        ("quorum X1", "", False),
        ("quorum X1", "X1", True),
        ("quorum X1", "X2 Y1", False),
        ("group G all X1 X2\nquorum G", "X1", False),
        ("group G all X1 X2\nquorum G", "X1 X2", True),
        ("group G any X1 X2\nquorum G", "X2", True),
        ("group G 2 X1 X2 X3\nquorum G", "X3", False),
        ("group G 2 X1 X2 X3\nquorum G", "X3 X1", True),
        ("group G 1 X1\nquorum X1", "X1", True),
        ("group any any X1\nquorum any", "X1", True),
        ("group quorum 1 X1\nquorum quorum", "X1", True),
    ],
)
def test_a_quorum_is_none_a_witness_or_a_group(*, quorum: str, names: str, met: bool) -> None:
    policy = parsed(f"{LOG_LINE}{WITNESS_LINES}{quorum}\n")

    assert policy.judge(witnessed(*names.split())).quorum_met == met


def test_comments_blank_lines_spaces_and_urls_are_read() -> None:
    text = (
        "# a comment — of any text\n \t # another\n\n\t\n"
        f"\t log  {LOG.verifier}\thttps://log.example/ \n"
        f"witness W\tK {KEYS['X1'].verifier} \n".replace("W\tK", "W#1")
        + f"witness two {KEYS['X2'].verifier} https://two.example/w\n"
        "  quorum \t W#1  \n# the end\n"
    )

    policy = parsed(text)

    assert policy.logs == (PolicyLog(key=LOG.verifier, url="https://log.example/"),)
    assert [(one.name, one.url) for one in policy.witnesses] == [
        ("W#1", None),
        ("two", "https://two.example/w"),
    ]
    assert policy.quorum == "W#1"


def test_names_are_octets() -> None:
    kelvin, latin = "\N{KELVIN SIGN}".encode(), b"\xff\xa0"
    lines = [
        b"witness %b %b" % (name, str(KEYS[key].verifier).encode())
        for name, key in ((b"K", "X1"), (kelvin, "X2"), (latin, "X3"))
    ]

    policy = Policy.parse(b"\n".join([*lines, b"group G 1 %b" % latin, b"quorum K", b""]))

    assert [one.name.encode("utf-8", "surrogateescape") for one in policy.witnesses] == [
        b"K",
        kelvin,
        latin,
    ]
    assert policy.groups[0].members == (policy.witnesses[2].name,)


def test_no_log_and_no_witness_need_be_known() -> None:
    policy = parsed("quorum none\n")

    assert policy == Policy(quorum="none")
    assert policy.judge(NOTE, [LOG.verifier]).quorum_met
    with pytest.raises(CheckpointInvalid, match="expected a signature of no key"):
        policy.judge(NOTE)


WITNESS_X1 = f"witness X1 {KEYS['X1'].verifier}\n"
TWIN = replace(LOG, name="other.example").verifier
TWIN_WITNESS = replace(KEYS["X1"], name="other.example").verifier


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", "expected a line quorum <name>, got none", id="nothing"),
        pytest.param(LOG_LINE, "expected a line quorum <name>, got none", id="no quorum"),
        pytest.param("quorum none", "line 1: expected a newline at its end", id="cut short"),
        pytest.param("quorum none\n#", "line 2: expected a newline at its end", id="comment cut"),
        pytest.param("quorum none\r\n", "line 1: expected no control .* got 0x0d", id="CR"),
        pytest.param("\n#\x7f\nquorum none\n", "line 2: expected no .* got 0x7f", id="DEL"),
        pytest.param("quorum\u00a0none\n", r"line 1: expected log <vkey> .*got 'quo", id="NBSP"),
        pytest.param("quorum none\nquorum none\n", "line 2: expected one quorum", id="two quorums"),
        pytest.param("quorum\n", "line 1: expected quorum <name>, got 'quorum'", id="bare quorum"),
        pytest.param("quorum none x\n", "line 1: expected quorum <name>", id="long quorum"),
        pytest.param("Quorum none\n", "line 1: expected log <vkey>", id="capital"),
        pytest.param("quorum X1\n", "line 1: expected none, or a witness or group", id="unknown"),
        pytest.param(f"quorum X1\n{WITNESS_X1}", "line 1: expected none, or a", id="defined later"),
        pytest.param("log\n", r"line 1: expected log <vkey> \[<url>\], got 'log'", id="bare log"),
        pytest.param(f"log {LOG.verifier} u v\n", "line 1: expected log <vkey>", id="long log"),
        pytest.param("log x\n", "line 1: expected <name>\\+<8 hex", id="no key"),
        pytest.param(f"log {KEYS['X1'].verifier}\n", "line 1: .*a key for Ed25519", id="log's key"),
        pytest.param(f"{LOG_LINE}{LOG_LINE}", "line 2: expected another log's", id="log twice"),
        pytest.param(f"{LOG_LINE}log {TWIN}\n", "line 2: expected another log's", id="key twice"),
        pytest.param("witness X1\n", "line 1: expected witness <name> <vkey>", id="bare witness"),
        pytest.param(f"{WITNESS_X1[:-1]} u v\n", "line 1: expected witness <na", id="long witness"),
        pytest.param(
            f"witness X1 {LOG.verifier}\n", "line 1: .*a key for cosignatures", id="witness's key"
        ),
        pytest.param(
            f"{WITNESS_X1}witness X2 {TWIN_WITNESS}\n",
            "line 2: expected another witness's",
            id="witness's key twice",
        ),
        pytest.param(
            f"{WITNESS_X1}witness X1 {KEYS['X2'].verifier}\n",
            "line 2: expected a name that is not taken, got 'X1'",
            id="name twice",
        ),
        pytest.param(
            f"witness none {KEYS['X2'].verifier}\n", "line 1: .*not taken, got 'none'", id="none"
        ),
        pytest.param("group G any\n", "line 1: expected group <name> all", id="no members"),
        pytest.param("group G\n", "line 1: expected group <name> all", id="bare group"),
        pytest.param("group G any X1\n", "line 1: expected a witness or group", id="no such"),
        pytest.param(f"{WITNESS_X1}group G any none\n", "line 2: expected a", id="none within"),
        pytest.param(f"{WITNESS_X1}group G any G\n", "line 2: expected a witness", id="itself"),
        pytest.param(f"{WITNESS_X1}group X1 any X1\n", "line 2: .*not taken", id="member's name"),
        pytest.param(f"{WITNESS_X1}group none any X1\n", "line 2: .*not taken", id="group none"),
        pytest.param(
            f"{WITNESS_X1}group G any X1 X1\n", "line 2: expected a member of no", id="member twice"
        ),
        pytest.param(
            f"{WITNESS_X1}group G any X1\ngroup H any X1\n",
            "line 3: expected a member of no other group, got 'X1' again",
            id="member of two",
        ),
        *(
            pytest.param(
                f"{WITNESS_X1}group G {threshold} X1\n",
                "line 2: expected all, any or a number from 1 to 1",
                id=f"threshold {threshold}",
            )
            for threshold in ("0", "2", "-1", "+1", "01", "1.0", "ALL", "1" * 5000)
        ),
    ],
)
def test_what_is_no_policy_is_refused_by_its_line(text: str, message: str) -> None:
    with pytest.raises(Refused, match=message):
        parsed(text)


def test_a_refusal_has_the_line_for_programs() -> None:
    with pytest.raises(Refused) as refused:
        parsed("\nquorum X\n")

    (problem,) = refused.value.problems
    assert (problem.source, problem.line) == ("policy", 2)


def test_a_checkpoint_must_be_signed_by_a_known_log_of_its_origin() -> None:
    strangers = replace(STRANGER, name=LOG.name)
    policy = parsed(f"{LOG_LINE}log {STRANGER.verifier}\n{WITNESS_LINES}quorum X1\n")

    with pytest.raises(CheckpointInvalid, match="expected a signature of"):
        policy.judge(witnessed("X1", by=strangers))
    # A known log, but another one's checkpoint.
    with pytest.raises(CheckpointInvalid, match="expected a signature of"):
        policy.judge(witnessed("X1", by=STRANGER))
    assert policy.judge(witnessed("X1")).logs == (LOG.verifier,)


def test_a_known_witness_that_did_not_sign_this_spoils_the_checkpoint() -> None:
    policy = parsed(PUBLISHED)
    signed = SignedNote.parse(witnessed("X1", "X2", "Y1"))
    other = SignedNote.parse(
        add_cosignature(sign_checkpoint(replace(CHECKPOINT, size=1), LOG), KEYS["Y1"], TIME)
    )
    moved = replace(signed, signatures=(*signed.signatures[:3], other.signatures[1]))

    with pytest.raises(CheckpointInvalid, match="that is not of this text"):
        policy.judge(moved.encoded())


def test_a_policy_of_many_is_read() -> None:
    """The specification asks for 32 logs, witnesses and groups."""
    lines = []
    for number in range(64):
        log = SigningKey(name=f"log{number}", seed=number.to_bytes(32, "big")).verifier
        witness = SigningKey(
            name=f"w{number}",
            seed=number.to_bytes(32, "big"),
            signature_type=SignatureType.COSIGNATURE,
        ).verifier
        members = f"w{number} g{number - 1}" if number else "w0"
        lines += [f"log {log}", f"witness w{number} {witness}", f"group g{number} all {members}"]

    policy = parsed("\n".join([*lines, "quorum g63", ""]))

    assert policy.is_met_by(f"w{number}" for number in range(64))
    assert not policy.is_met_by(f"w{number}" for number in range(1, 64))
