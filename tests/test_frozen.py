"""Frozen classes with shared methods behave as those whose methods attrs writes."""

from __future__ import annotations

import copy
import pickle
from typing import Any, cast

import attrs
import pytest

from traceprobe._frozen import frozen


def define(decorate: Any, **options: Any) -> Any:
    """The same class by either decorator."""

    class Value:
        """Something."""

        first: int
        second: str = "b"
        unhashed: Any = attrs.field(default=None, hash=False)
        hidden: int = attrs.field(default=0, repr=False)
        uncompared: int = attrs.field(default=0, eq=False)

    return decorate(**options)(Value) if options else decorate(Value)


@frozen
class Point:
    """Two fields, at module level, so that it can be pickled."""

    x: int
    y: Any = None


@frozen
class Named:
    """Says itself what it is."""

    name: str

    def __repr__(self) -> str:
        """The name."""
        return f"<{self.name}>"


class Special(Point):
    """A subclass that is no attrs class itself."""


@pytest.fixture(params=[{}, {"kw_only": True}, {"weakref_slot": False}], ids=str)
def both(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    """Ours and that of attrs."""
    return define(frozen, **request.param), define(attrs.frozen, **request.param)


@pytest.mark.parametrize(
    ("one", "another"),
    [
        ({"first": 1}, {"first": 1}),
        ({"first": 1}, {"first": 2}),
        ({"first": 1}, {"first": 1, "second": "c"}),
        ({"first": 1}, {"first": 1, "hidden": 1}),
        ({"first": 1}, {"first": 1, "uncompared": 1}),
        ({"first": 1}, {"first": 1, "unhashed": {}}),
        ({"first": 1}, {"first": True}),
    ],
)
def test_equal_is_what_is_equal_to_attrs(one: Any, another: Any, both: tuple[Any, Any]) -> None:
    ours, theirs = both
    assert (ours(**one) == ours(**another)) is (theirs(**one) == theirs(**another))
    assert (ours(**one) != ours(**another)) is (theirs(**one) != theirs(**another))
    if ours(**one) == ours(**another):
        assert hash(ours(**one)) == hash(ours(**another))
        assert len({ours(**one), ours(**another)}) == 1


def test_it_is_shown_alike(both: tuple[Any, Any]) -> None:
    ours, theirs = both
    assert repr(ours(first=1, second="'")) == repr(theirs(first=1, second="'"))
    assert repr(ours(first=1, unhashed=[2])) == repr(theirs(first=1, unhashed=[2]))


def test_what_is_left_out_of_the_hash_need_not_be_hashable(both: tuple[Any, Any]) -> None:
    ours, _ = both
    assert hash(ours(first=1, unhashed={})) == hash(ours(first=1, unhashed=[]))
    with pytest.raises(TypeError, match="unhashable"):
        hash(Point(1, []))


def test_values_of_other_classes_are_never_equal() -> None:
    assert Point(1) != Special(1)
    assert Point(1) != cast("Any", (1, None))
    assert Special(1) == Special(1)
    assert hash(Special(1)) == hash(Special(1))
    assert Point.__eq__(Point(1), 1) is NotImplemented
    assert repr(Special(1)) == "Special(x=1, y=None)"


def test_what_a_class_defines_itself_stays() -> None:
    assert repr(Named("a")) == "<a>"
    assert Named("a") == Named("a")


def test_it_is_frozen_copied_and_pickled() -> None:
    point = Point(1, (2,))
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        point.x = 2  # type: ignore[misc]
    assert not hasattr(point, "__dict__")
    assert pickle.loads(pickle.dumps(point)) == copy.copy(point) == point
    assert attrs.evolve(point, x=3) == Point(3, (2,))
    assert attrs.asdict(point) == {"x": 1, "y": (2,)}
    assert [field.name for field in attrs.fields(Point)] == ["x", "y"]
