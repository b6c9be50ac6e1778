"""Whether the quotes of a CSV file stand where RFC 4180 has them.

Arrow's reader is lenient: it takes `""1047` for 1047 and an open quote at the end for a value.
"""

from __future__ import annotations

from lottery.day.jit import loop


@loop("const uint8[]")
def quotes_are_sound(data):
    """Whether quotes stand where RFC 4180 has them: around a value, or doubled within one.

    A value does not go on behind its closing quote, and none holds a line break.

    Args:
        data: uint8[n], the file.
    """
    at_start, unquoted, quoted, closing = 0, 1, 2, 3
    state = at_start
    for byte in data:
        is_quote = byte == 0x22
        is_break = byte in (0x0A, 0x0D)
        is_end = is_break or byte == 0x2C
        if state == quoted:
            if is_break:
                return False
            state = closing if is_quote else quoted
        elif is_quote:
            if state == unquoted:
                return False
            state = quoted
        elif is_end:
            state = at_start
        elif state == closing:
            return False
        else:
            state = unquoted
    return state != quoted
