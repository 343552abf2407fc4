"""The quick frozen dataclass means what the standard library's means."""

import copy
import dataclasses
import inspect
import pickle
from typing import ClassVar

import pytest

from flopwise.estimators import frozen


def family(dataclass):
    """Return the same classes made by one decorator or the other."""

    @dataclass(frozen=True, slots=True)
    class Point:
        """A point."""

        x: float
        y: float = 2.0
        tags: list[str] = dataclasses.field(default_factory=list)
        SCALE: ClassVar[float] = 3.0

        def __post_init__(self):
            if self.x < 0:
                raise ValueError("x is negative")

        @property
        def scaled(self) -> float:
            """The method names its class, as `super()` would."""
            return self.x * __class__.SCALE

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Named:
        name: str
        size: int = 1

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Child(Named):
        size: int = 5
        extra: str = "e"

        def label(self) -> str:
            return f"{super().__repr__()}!"

    @dataclass(frozen=True, slots=True)
    class Empty:
        pass

    @dataclass(frozen=True, slots=True)
    class Single:
        only: int

    @dataclass(slots=True)
    class Open:
        total: float = 0.0
        parts: list[str] = dataclasses.field(default_factory=list)

    return Point, Named, Child, Empty, Single, Open


OURS, THEIRS = family(frozen.dataclass), family(dataclasses.dataclass)

BUILDS = [
    (0, (1.0,), {}),
    (0, (1.0, 3.0, ["t"]), {}),
    (0, (), {"x": 1.0, "tags": ["a"]}),
    (1, (), {"name": "n"}),
    (2, (), {"name": "n", "extra": "f", "size": 7}),
    (2, (), {"name": "n"}),
    (3, (), {}),
    (4, (4,), {}),
    (5, (), {}),
    (5, (1.5,), {"parts": ["p"]}),
]
WRONG = [
    (0, (), {}),
    (0, (1.0, 2.0, [], 4), {}),
    (1, ("n",), {}),
    (1, (), {"nam": "n"}),
    (0, (-1.0,), {}),
    (3, (1,), {}),
]


@pytest.mark.parametrize(("which", "positional", "named"), BUILDS)
def test_instances_look_alike(which, positional, named):
    mine, theirs = (made[which](*positional, **named) for made in (OURS, THEIRS))
    assert repr(mine) == repr(theirs)
    assert [getattr(mine, field.name) for field in dataclasses.fields(mine)] == list(dataclasses.astuple(theirs))
    assert dataclasses.asdict(mine) == dataclasses.asdict(theirs)
    assert not hasattr(mine, "__dict__")
    assert mine == OURS[which](*positional, **named)
    assert mine != theirs


@pytest.mark.parametrize(("which", "positional", "named"), WRONG)
def test_wrong_arguments_fail_alike(which, positional, named):
    failures = []
    for made in (OURS, THEIRS):
        with pytest.raises((TypeError, ValueError)) as caught:
            made[which](*positional, **named)
        failures.append((type(caught.value), str(caught.value)))
    assert failures[0] == failures[1]


@pytest.mark.parametrize("which", range(6))
def test_classes_look_alike(which):
    mine, theirs = OURS[which], THEIRS[which]
    described = [
        [(f.name, f.type, f.default, f.default_factory, f.kw_only) for f in dataclasses.fields(made)]
        for made in (mine, theirs)
    ]
    assert described[0] == described[1]
    assert (mine.__name__, mine.__qualname__, mine.__doc__ or "") == (
        theirs.__name__,
        theirs.__qualname__,
        (theirs.__doc__ or "") if "(" not in (theirs.__doc__ or "") else "",
    )
    assert mine.__match_args__ == theirs.__match_args__
    assert mine.__slots__ == theirs.__slots__
    assert dataclasses.is_dataclass(mine)


def test_signatures_are_alike_once_an_instance_was_made():
    for (which, positional, named), _ in zip(BUILDS, BUILDS, strict=True):
        OURS[which](*positional, **named)
    names = [
        [str(p.name) + str(p.kind) for p in inspect.signature(made[2].__init__).parameters.values()]
        for made in (OURS, THEIRS)
    ]
    assert names[0] == names[1]


def test_a_record_cannot_be_changed():
    point = OURS[0](1.0)
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'x'"):
        point.x = 2.0
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot delete field 'x'"):
        del point.x
    with pytest.raises(dataclasses.FrozenInstanceError):
        point.new = 1


def test_equal_records_hash_alike_and_a_list_inside_cannot_be_hashed():
    one, two = (OURS[1](name="n", size=2) for _ in range(2))
    assert hash(one) == hash(two) == hash(dataclasses.astuple(one))
    assert len({one, two, OURS[1](name="m")}) == 2
    with pytest.raises(TypeError, match="unhashable"):
        hash(OURS[0](1.0, 2.0, []))
    assert {OURS[4](4): "a"}[OURS[4](4)] == "a"
    assert hash(OURS[3]()) == hash(OURS[3]())


def test_two_records_of_different_classes_differ():
    assert OURS[1](name="n", size=5) != OURS[2](name="n")


def test_a_default_list_is_never_shared():
    assert OURS[0](1.0).tags is not OURS[0](1.0).tags


@pytest.mark.parametrize("replace", [frozen.replace, dataclasses.replace])
def test_a_copy_with_changes(replace):
    assert replace(OURS[2](name="n"), size=9) == OURS[2](name="n", size=9)
    assert replace(OURS[0](1.0), x=4.0).x == 4.0
    with pytest.raises(ValueError, match="negative"):
        replace(OURS[0](1.0), x=-4.0)
    with pytest.raises(TypeError, match="unexpected keyword argument 'z'"):
        replace(OURS[0](1.0), z=1)


def test_replace_takes_the_standard_librarys_classes_too():
    assert frozen.replace(THEIRS[0](1.0), x=4.0) == THEIRS[0](4.0)


def test_super_and_the_class_cell_point_at_the_made_class():
    assert OURS[2](name="n").label().endswith("!")
    assert OURS[0](2.0).scaled == 6.0


def test_records_can_be_copied():
    point = OURS[0](1.0, 2.0, ["t"])
    assert copy.copy(point) == point
    assert copy.deepcopy(point).tags is not point.tags


@frozen.dataclass(frozen=True, slots=True)
class Kept:
    """A class that pickle can find."""

    a: int
    b: str = "b"


def test_records_can_be_pickled():
    assert pickle.loads(pickle.dumps(Kept(3))) == Kept(3)


def test_a_class_without_slots_is_left_to_the_standard_library():
    @frozen.dataclass
    class Loose:
        a: int

    loose = Loose(1)
    loose.a = 2
    assert loose == Loose(2)
    assert loose.__dict__ == {"a": 2}


@pytest.mark.parametrize("made", [OURS[5], THEIRS[5]])
def test_a_class_that_is_not_frozen_changes_and_cannot_be_hashed(made):
    record = made(1.0)
    record.total = 2.0
    assert record == made(2.0)
    assert frozen.replace(record, total=3.0) == made(3.0)
    assert copy.deepcopy(record) == record
    with pytest.raises(TypeError, match="unhashable"):
        hash(record)
    with pytest.raises(AttributeError):
        record.new = 1
