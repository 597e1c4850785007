"""Strategies that change something sound: JSON in a place or two, bytes here and there."""

import json

from hypothesis import strategies as st

NASTY = ("../../x", "/etc/passwd", "a\0b", "=cmd()", "NaN", "-1", "1e999", "é" * 50, "<script>", "")
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-3, 70)
    | st.integers()
    | st.floats()
    | st.sampled_from(NASTY)
    | st.text(max_size=8)
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=6,
)


def places(content, here=()):
    """Yield the way to every value in nested dicts and lists."""
    yield here
    inside = {dict: lambda: content.items(), list: lambda: enumerate(content)}
    for key, value in inside.get(type(content), tuple)():
        yield from places(value, (*here, key))


@st.composite
def changed_json(draw, content):
    """Draw a copy of a JSON value in which one to three places are others, gone or added to."""
    content = json.loads(json.dumps(content))
    for _ in range(draw(st.integers(1, 3))):
        way = draw(st.sampled_from(list(places(content))))
        if not way:
            if draw(st.booleans()) and isinstance(content, dict):
                content[draw(st.text(max_size=6))] = draw(ANYTHING)
            elif draw(st.integers(0, 9)) == 0:
                return draw(ANYTHING)
            continue
        holder = content
        for key in way[:-1]:
            holder = holder[key]
        if draw(st.integers(0, 3)):
            holder[way[-1]] = draw(ANYTHING)
        else:
            del holder[way[-1]]
    return content


@st.composite
def changed_bytes(draw, content):
    """Draw a copy of bytes with some flipped, left out, put in or cut off; never the same."""
    made = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        where = draw(st.integers(0, max(0, len(made) - 1)))
        kind = draw(st.sampled_from(["flip", "drop", "insert", "cut", "zero"]))
        if kind == "flip" and made:
            made[where] ^= 1 << draw(st.integers(0, 7))
        elif kind == "drop":
            del made[where : where + draw(st.integers(1, 64))]
        elif kind == "insert":
            made[where:where] = draw(st.binary(min_size=1, max_size=64))
        elif kind == "cut":
            del made[where:]
        else:
            length = draw(st.integers(1, 64))
            made[where : where + length] = bytes(len(made[where : where + length]))
    return bytes(made) if bytes(made) != content else content + b"\0"
