"""A request's message, from the path, the query and the body of an HTTP request (ProtoJSON).

Names are those of the protos or their lowerCamelCase. In a query, the field of a field is named by
its path (`first_date.year=2024`), and a repeated field is named several times.

Invariants:
- Nothing is skipped or guessed: what is unknown, there twice or of another type is a problem, and
  all problems are named, with the location that the services would give them.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from lottery.errors import Problem, ProblemCollector, Refused, escape, quote, some
from lottery.web.bindings import Binding

BODY: Final = "body"
"""What problems of a body as a whole are of."""
_INTEGER: Final = re.compile(r"-?[0-9]{1,20}", re.ASCII)
_BITS: Final = {FieldDescriptor.CPPTYPE_INT32: 32, FieldDescriptor.CPPTYPE_INT64: 64}
_TRUTHS: Final = {"true": True, "false": False}


def of_query(
    binding: Binding, variables: Mapping[str, str], query: Iterable[tuple[str, str]]
) -> Message:
    """Return the request of a query.

    Raises:
        Refused: A parameter is none of the request, or does not fit.
    """
    found = ProblemCollector()
    given: dict[str, Any] = {}
    for name, text in query:
        if name in binding.variables:
            found.add(_in_the_path(name))
        else:
            found.add(*_put(given, binding.method.input_type, name, text))
    return _message(binding, variables, given, found)


def of_body(binding: Binding, variables: Mapping[str, str], body: bytes) -> Message:
    """Return the request of a body.

    Raises:
        Refused: The body is no JSON, or something of it is none of the request or does not fit.
    """
    found = ProblemCollector()
    given: Any = {}
    try:
        given = json.loads(body.decode(), object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as error:
        what = f"expected a JSON object in UTF-8: {escape(str(error), 200)}"
        raise Refused([Problem(source=BODY, message=what)]) from None
    if not isinstance(given, dict):
        message = f"expected a JSON object, got {_kind(given)}"
        raise Refused([Problem(source=BODY, message=message)])
    found.add(*(_in_the_path(name) for name in binding.variables if name in given))
    return _message(binding, variables, given, found)


def _message(
    binding: Binding, variables: Mapping[str, str], given: dict[str, Any], found: ProblemCollector
) -> Message:
    for location, message in _wrong(given, binding.method.input_type, ()):
        found.add(_problem(location, message))
    problems = found.problems()
    if problems:
        raise Refused(problems.listed, total=len(problems.listed) + problems.unlisted)
    try:
        return json_format.ParseDict({**given, **variables}, binding.request())
    except json_format.ParseError as error:
        message = f"expected a message of {binding.method.name}: {escape(str(error), 200)}"
        raise Refused([Problem(source=BODY, message=message)]) from None


def _wrong(
    value: Any, descriptor: Any, location: tuple[str | int, ...]
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield what is wrong with a message, each with its location."""
    if not isinstance(value, dict):
        yield location, f"expected an object, got {_kind(value)}"
        return
    seen: set[str] = set()
    for name, each in value.items():
        field = _field(descriptor, name)
        if field is None:
            names = [known.name for known in descriptor.fields]
            expected = f"one of {some(names, 20)}" if names else "no field"
            yield (*location, escape(name, 80)), f"expected {expected}, got a field that is none"
            continue
        alike = {field.name} | ({field.containing_oneof.name} if field.containing_oneof else set())
        if each is not None:
            if alike & seen:
                yield (*location, field.name), "expected it, or another one of its kind, once"
            seen |= alike
            yield from _wrong_field(each, field, (*location, field.name))


def _wrong_field(
    value: Any, field: Any, location: tuple[str | int, ...]
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if not field.is_repeated:
        yield from _wrong_value(value, field, location)
    elif field.message_type is not None and field.message_type.GetOptions().map_entry:
        if not isinstance(value, dict):
            yield location, f"expected an object, got {_kind(value)}"
            return
        of_values = field.message_type.fields_by_name["value"]
        for name, each in value.items():
            yield from _wrong_value(each, of_values, (*location, escape(name, 80)))
    elif not isinstance(value, list):
        yield location, f"expected an array, got {_kind(value)}"
    else:
        for index, each in enumerate(value):
            yield from _wrong_value(each, field, (*location, index))


def _wrong_value(
    value: Any, field: Any, location: tuple[str | int, ...]
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if field.message_type is not None:
        yield from _wrong(value, field.message_type, location)
        return
    kind = field.cpp_type
    expected = None
    if kind in _BITS:
        most = 1 << (_BITS[kind] - 1)
        is_text = isinstance(value, str) and _INTEGER.fullmatch(value)
        if not (is_text or _is_integer(value)) or not -most <= int(value) < most:
            expected = f"an integer of {_BITS[kind]} bits, or the text of one"
    elif kind == FieldDescriptor.CPPTYPE_BOOL:
        expected = None if isinstance(value, bool) else "true or false"
    elif kind == FieldDescriptor.CPPTYPE_ENUM:
        names = field.enum_type.values_by_name
        if value not in names if isinstance(value, str) else not _is_integer(value):
            expected = f"one of {', '.join(names)}"
    elif not isinstance(value, str) or not _is_unicode(value):
        expected = "a text"
    elif field.type == FieldDescriptor.TYPE_BYTES and not _is_base64(value):
        expected = "bytes as base64"
    if expected is not None:
        shown = quote(value) if isinstance(value, str | int | float) else _kind(value)
        yield location, f"expected {expected}, got {shown}"


def _put(given: dict[str, Any], descriptor: Any, name: str, text: str) -> Sequence[Problem]:
    """Put a parameter of a query where it belongs; return what is wrong with it."""
    *parents, leaf = name.split(".")
    target = given
    for parent in parents:
        field = _field(descriptor, parent)
        if field is None or field.message_type is None or field.is_repeated:
            return [_problem((escape(name, 80),), "expected a field of the request")]
        target = target.setdefault(field.name, {})
        descriptor = field.message_type
    field = _field(descriptor, leaf)
    if field is None or field.message_type is not None:
        names = ", ".join(_parameters(descriptor, ""))
        expected = f"one of {names}" if names else "no parameter"
        return [_problem((escape(name, 80),), f"expected {expected}")]
    is_truth = field.cpp_type == FieldDescriptor.CPPTYPE_BOOL
    value = _TRUTHS.get(text, text) if is_truth else text
    if field.is_repeated:
        target.setdefault(field.name, []).append(value)
    elif field.name in target:
        return [_problem((escape(name, 80),), "expected it once")]
    else:
        target[field.name] = value
    return ()


def _parameters(descriptor: Any, within: str) -> Iterator[str]:
    """Yield the names of a query's parameters."""
    for field in descriptor.fields:
        if field.message_type is None:
            yield f"{within}{field.name}"
        elif not field.is_repeated:
            yield from _parameters(field.message_type, f"{within}{field.name}.")


def _field(descriptor: Any, name: str) -> Any:
    """Return a field by its name or its lowerCamelCase; None if there is none."""
    return descriptor.fields_by_name.get(name) or descriptor.fields_by_camelcase_name.get(name)


def _in_the_path(name: str) -> Problem:
    return _problem((name,), "expected it in the path alone")


def _problem(location: tuple[str | int, ...], message: str) -> Problem:
    """Return a problem whose location is named as the services name it: `positions[7].account`."""
    source, *rest = map(str, location)
    row = int(rest.pop(0)) + 1 if rest and isinstance(location[1], int) else None
    column = ".".join(rest) or None
    return Problem(source=source, row=row, column=column, message=message)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("an object has a name twice")
    return made


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # A lone half of a surrogate pair.
        return False
    return True


def _is_base64(text: str) -> bool:
    try:
        padded = text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4)
        base64.b64decode(padded.replace("-", "+").replace("_", "/"), validate=True)
    except ValueError:
        return False
    return True


def _kind(value: Any) -> str:
    """Return what a value of JSON is, in words."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "an array"
    return "null" if value is None else quote(value)
