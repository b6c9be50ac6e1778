"""Messages carry the labels of their own rows: the same rows, and no label more."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lottery.intake.arrow import with_own_labels

WORDS = pa.array(["", "C", "F", "M", "C/ZZZ"])


@given(
    indices=st.lists(st.integers(0, len(WORDS) - 1), max_size=20),
    start=st.integers(0, 20),
    length=st.integers(0, 20),
)
def test_a_part_has_the_same_rows_and_the_labels_in_use(
    indices: list[int], start: int, length: int
) -> None:
    """Law: the rows are the same, and the dictionary has each text in use once."""
    labels = pa.DictionaryArray.from_arrays(pa.array(indices, pa.int32()), WORDS)
    part = pa.table({"occ_account": labels, "row": range(len(indices))}).slice(start, length)

    own = with_own_labels(part)

    assert own.schema == part.schema
    assert own.to_pylist() == part.to_pylist()
    for chunk in own.column("occ_account").chunks:
        assert sorted(chunk.dictionary.to_pylist()) == sorted(set(chunk.to_pylist()))


@pytest.mark.parametrize("index_type", [pa.int8(), pa.uint16(), pa.int64()])
def test_the_indices_keep_their_type(index_type: pa.DataType) -> None:
    labels = pa.DictionaryArray.from_arrays(pa.array([4, 1, 4], index_type), WORDS)
    table = pa.table({"occ_account": labels})

    own = with_own_labels(table)

    assert own.schema == table.schema
    assert own.column("occ_account").to_pylist() == ["C/ZZZ", "C", "C/ZZZ"]
    assert own.column("occ_account").chunk(0).dictionary.to_pylist() == ["C", "C/ZZZ"]


def test_values_that_are_missing_stay_missing() -> None:
    labels = pa.DictionaryArray.from_arrays(pa.array([1, None, 2], pa.int32()), WORDS)

    own = with_own_labels(pa.table({"series": labels}))

    assert own.column("series").to_pylist() == ["C", None, "F"]


def test_every_chunk_has_its_own() -> None:
    first = pa.DictionaryArray.from_arrays(pa.array([3], pa.int32()), WORDS)
    second = pa.DictionaryArray.from_arrays(pa.array([0], pa.int32()), pa.array(["X", "Y"]))

    own = with_own_labels(pa.table({"series": pa.chunked_array([first, second])}))

    assert own.column("series").to_pylist() == ["M", "X"]
    assert [chunk.dictionary.to_pylist() for chunk in own.column("series").chunks] == [["M"], ["X"]]


@pytest.mark.parametrize(
    ("index_type", "count"), [(pa.int8(), 128), (pa.uint8(), 256), (pa.uint16(), 65_536)]
)
def test_as_many_labels_as_the_indices_can_name_but_one_are_renumbered(
    index_type: pa.DataType, count: int
) -> None:
    texts = pa.array([f"T{number}" for number in range(count)])
    used = [number for number in range(count) if number != 1]
    labels = pa.DictionaryArray.from_arrays(pa.array(used, index_type), texts)

    own = with_own_labels(pa.table({"series": labels}))

    assert own.column("series").to_pylist() == [f"T{number}" for number in used]
    assert len(own.column("series").chunk(0).dictionary) == count - 1
