from typing import Any

from serving.hosted.translate.breakpoints import limit_breakpoints


def block(name: str, ttl: str | None) -> dict[str, Any]:
    control = {"type": "ephemeral"} if ttl == "" else {"type": "ephemeral", "ttl": ttl}
    return {"type": "text", "text": name} | ({"cache_control": control} if ttl is not None else {})


def marked(kwargs: dict[str, Any]) -> list[tuple[str, str]]:
    blocks = [*kwargs.get("system", ()), *(b for m in kwargs["messages"] for b in m["content"])]
    return [
        (b["text"], b["cache_control"].get("ttl", "5m")) for b in blocks if "cache_control" in b
    ]


def request(*blocks: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(blocks)}], **more}


def test_trap_14317_more_than_four_breakpoints_keep_the_first_and_the_last() -> None:
    kwargs = request(*[block(str(i), "5m") for i in range(6)], system=[block("s", "5m")])
    (note,) = limit_breakpoints(kwargs)
    assert "3 of 7" in note
    assert [name for name, _ in marked(kwargs)] == ["s", "3", "4", "5"]


def test_automatic_caching_takes_one_of_the_four() -> None:
    blocks = [*[block(str(i), "5m") for i in range(4)], block("last", None)]
    kwargs = request(*blocks, cache_control={"type": "ephemeral"})
    limit_breakpoints(kwargs)
    assert [name for name, _ in marked(kwargs)] == ["0", "2", "3"]


def test_four_are_left_alone() -> None:
    kwargs = request(*[block(str(i), "1h") for i in range(4)])
    assert limit_breakpoints(kwargs) == ()
    assert len(marked(kwargs)) == 4


def test_an_hour_behind_five_minutes_is_lowered() -> None:
    kwargs = request(block("a", "1h"), block("b", ""), block("c", "1h"), block("d", None))
    (note,) = limit_breakpoints(kwargs)
    assert "lowered" in note
    assert marked(kwargs) == [("a", "1h"), ("b", "5m"), ("c", "5m")]


def test_a_last_block_with_a_lifetime_of_its_own_is_not_marked_twice() -> None:
    """The two would contradict each other; where they agree, one slot is enough."""
    for own, notes in (("1h", 1), ("", 0)):
        kwargs = request(block("a", "1h"), block("b", own), cache_control={"type": "ephemeral"})
        assert len(limit_breakpoints(kwargs)) == notes
        assert "cache_control" not in kwargs
        assert marked(kwargs) == [("a", "1h"), ("b", own or "5m")]
    kwargs = request(block("a", "1h"), block("b", None), cache_control={"type": "ephemeral"})
    assert limit_breakpoints(kwargs) == ()
    assert kwargs["cache_control"] == {"type": "ephemeral"}
