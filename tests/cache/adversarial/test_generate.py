"""The adversarial set: large enough, balanced enough, and its halves share nothing."""

from tests.cache.adversarial.generate import Half, pairs

HALVES: tuple[Half, Half] = ("tune", "score")
KINDS = {
    "negation",
    "numbers",
    "entities",
    "units",
    "roles",
    "ids",
    "enable",
    "dates",
    "opposites",
    "written",
}


def test_each_half_is_large_and_has_both_labels_and_all_kinds() -> None:
    for half in HALVES:
        found = pairs(half)
        assert len(found) >= 600
        assert 0.3 < sum(pair.same for pair in found) / len(found) < 0.6
        assert {pair.kind for pair in found} >= KINDS


def test_it_is_the_same_each_time() -> None:
    assert pairs("score") == pairs("score")


def test_the_halves_share_no_template_and_no_pair() -> None:
    tune, score = (pairs(half) for half in HALVES)
    templates = [{p.source for p in found if p.source != "written"} for found in (tune, score)]
    assert templates[0].isdisjoint(templates[1])
    texts = [{frozenset((p.a, p.b)) for p in found} for found in (tune, score)]
    assert texts[0].isdisjoint(texts[1])


def test_no_pair_stands_under_both_labels() -> None:
    for half in HALVES:
        found = pairs(half)
        same = {frozenset((p.a, p.b)) for p in found if p.same}
        other = {frozenset((p.a, p.b)) for p in found if not p.same}
        assert same.isdisjoint(other)
