from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from service.fair_line import FairLine

LARGEST = 16


def test_one_caller_is_served_in_order() -> None:
    line: FairLine[str] = FairLine()
    for name, units in (("a", 3), ("b", 1), ("c", 16), ("d", 2)):
        line.push("anonymous", units, name)
    assert [line.pop()[1] for _ in range(4)] == ["a", "b", "c", "d"]
    assert not line


def test_many_entries_of_one_do_not_delay_the_one_of_another() -> None:
    line: FairLine[str] = FairLine()
    for index in range(100):
        line.push("hog", 1, f"hog-{index}")
    line.push("guest", 1, "guest")
    assert "guest" in [line.pop()[1] for _ in range(3)]


def test_who_left_is_never_served() -> None:
    line: FairLine[object] = FairLine()
    stays, leaves = object(), object()
    line.push("a", 1, leaves)
    line.push("a", 1, stays)
    line.discard("a", leaves)
    line.discard("a", leaves)
    assert line.pop() == (1, stays)
    assert len(line) == 0


@given(
    st.lists(st.integers(1, LARGEST), min_size=40, max_size=40),
    st.lists(st.integers(1, LARGEST), min_size=40, max_size=40),
    st.lists(st.integers(1, LARGEST), min_size=40, max_size=40),
)
def test_those_who_wait_are_served_alike(first: list[int], second: list[int], third: list[int]) -> None:
    """Lemma 2 of the paper, over every interval in which all three wait."""
    line: FairLine[str] = FairLine()
    waiting = Counter({"first": 40, "second": 40, "third": 40})
    for name, entries in (("first", first), ("second", second), ("third", third)):
        for units in entries:
            line.push(name, units, name)
    served = [Counter({"first": 0, "second": 0, "third": 0})]
    while all(waiting.values()):
        expected = line.peek()
        units, name = line.pop()
        assert expected == (units, name)
        waiting[name] -= 1
        served.append(served[-1] + Counter({name: units}))
    for start in range(0, len(served), 7):
        for end in range(start, len(served)):
            gained = [served[end][name] - served[start][name] for name in waiting]
            assert max(gained) - min(gained) <= 2 * LARGEST + 1


@given(st.lists(st.tuples(st.sampled_from("pld"), st.sampled_from("abc"), st.integers(1, LARGEST))))
def test_everything_pushed_comes_out_once(steps: list[tuple[str, str, int]]) -> None:
    line: FairLine[object] = FairLine()
    inside: dict[object, tuple[str, int]] = {}
    for step, caller, units in steps:
        if step == "p":
            item = object()
            line.push(caller, units, item)
            inside[item] = (caller, units)
        elif step == "l" and inside:
            item = next(iter(inside))
            line.discard(inside.pop(item)[0], item)
        elif step == "d" and inside:
            popped, item = line.pop()
            assert inside.pop(item)[1] == popped
        assert len(line) == len(inside)
        assert bool(line) == bool(inside)
    while inside:
        inside.pop(line.pop()[1])
    assert not line
