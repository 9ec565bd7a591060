"""Declared forms of JSON: what fits passes, what does not is one line that names the place."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distnorm import DistnormError
from distnorm.system import schema
from distnorm.system.schema import (
    closed,
    either,
    flag,
    list_of,
    number,
    one_of,
    optional,
    parse,
    record,
    scalar,
    table,
    text,
    whole,
)  # fmt: skip

FORM = record(
    {"name": text, "sizes": table(whole(0))},
    {
        "share": number(0, 1), "on": flag, "kind": one_of("a", 3), "pair": list_of(number(), 2),
        "any": scalar, "inner": optional(closed({"x": whole(1)}, {"y": text})),
        "edge": either(whole(1), record({"height": whole(1)})), "some": list_of(text, low=1),
    },
)  # fmt: skip
GOOD = {"name": "n", "sizes": {"image": 3}, "share": 0.5, "inner": {"x": 1}, "mine": [{}]}


def read(value):
    content = value if isinstance(value, (str, bytes)) else json.dumps(value)
    return parse(content, FORM, file="f.json", remedy="write it again")


def test_what_fits_is_given_back_with_what_nobody_declared():
    assert read(GOOD) == GOOD
    assert read(json.dumps(GOOD).encode("utf-16")) == GOOD


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": 3}, "with 3 at 'name'"), ({"name": None}, "a text"),
        ({"sizes": {"image": -1}}, "-1 at 'sizes.image', which is damaged; expected a whole"),
        ({"sizes": {"image": 1.0}}, "a whole number from 0"), ({"sizes": []}, "an object"),
        ({"sizes": {"image": True}}, "True at"), ({"sizes": {"image": 10**400}}, "from 0"),
        ({"share": 1.5}, "a number from 0 to 1"), ({"share": "0.5"}, "a number"),
        ({"share": 10**400}, "a number"), ({"on": 1}, "true or false"), ({"kind": "b"}, "one of"),
        ({"kind": 3.0}, "one of"), ({"pair": [1]}, "a list of 2"), ({"pair": [1, "x"]}, "pair.1"),
        ({"any": {}}, "a number"), ({"inner": {"x": 1, "z": 2}}, "only known fields"),
        ({"inner": {}}, "no value at 'inner.x'"), ({"edge": {"height": 0}}, "edge.height"),
        ({"edge": "x"}, "a whole number from 1 on or an object"), ({"some": []}, "1 or more"),
        ({"name": "x" * 999, "on": "y" * 999}, "..."),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said_with_its_place(change, words):
    with pytest.raises(DistnormError) as caught:
        read({**GOOD, **change})
    message = str(caught.value)
    assert words in message
    assert message.startswith("got f.json with ")
    assert message.endswith("; write it again")
    assert len(message) < 200


@pytest.mark.parametrize(
    "content",
    ["", "{", "nan", '{"name": NaN}', '{"share": -Infinity}', b"\xff\xfe\x00", "[" * 200_000,
     '{"a":' * 50_000, "9" * 5000, '"x"', "[]", "3"],
)  # fmt: skip
def test_no_text_is_a_traceback(content):
    with pytest.raises(DistnormError, match=r"f\.json"):
        read(content)


@given(st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda part: st.lists(part, max_size=3) | st.dictionaries(
        st.sampled_from([*GOOD, "pair", "edge", "kind", "x"]), part, max_size=4
    ),
))  # fmt: skip
def test_any_value_fits_or_is_one_line(value):
    try:
        found = schema.check(value, FORM, file="f.json", remedy="r")
    except DistnormError:
        return
    assert isinstance(found["name"], str)
