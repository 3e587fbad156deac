import itertools

from hypothesis import given
from hypothesis import strategies as st

from serving.hosted.emulator.stops import StopScanner

LETTERS = st.text(alphabet="abc", max_size=40)


@given(text=LETTERS, stops=st.lists(st.text(alphabet="abc", min_size=1, max_size=4), max_size=3),
       cuts=st.lists(st.integers(0, 40)))  # fmt: skip
def test_a_cut_text_ends_where_a_whole_one_would(
    text: str, stops: list[str], cuts: list[int]
) -> None:
    ends = sorted({min(c, len(text)) for c in cuts} | {0, len(text)})
    scanner = StopScanner(stops)
    sent = "".join(scanner.feed(text[a:b]) for a, b in itertools.pairwise(ends))
    sent += scanner.flush() if scanner.hit is None else ""
    found = [at for s in stops if (at := text.find(s)) >= 0]
    if not found:
        assert (sent, scanner.hit) == (text, None)
    else:
        assert scanner.hit in stops
        assert text.startswith(sent + (scanner.hit or ""))
        assert not any(s in sent for s in stops)


def test_nothing_comes_after_a_hit() -> None:
    scanner = StopScanner(["STOP"])
    assert scanner.feed("one ST") == "one"
    assert scanner.feed("OP two") == " "
    assert scanner.hit == "STOP"
    assert scanner.feed("three") == ""
    assert scanner.flush() == ""
