"""Which answers an eviction overtakes."""

from cache.epochs import REMEMBERED, Epochs


def test_an_eviction_overtakes_what_was_asked_for_before_it_was_seen() -> None:
    epochs = Epochs()
    before = epochs.looks
    epochs.learn(["a"], complete=True)
    assert epochs.overtaken("a", before)
    assert not epochs.overtaken("b", before)
    assert not epochs.overtaken("a", epochs.looks)
    again = epochs.looks
    epochs.learn([], complete=True)
    assert not epochs.overtaken("a", again)
    epochs.learn(["a"], complete=True)
    assert epochs.overtaken("a", again)


def test_an_incomplete_look_overtakes_everything() -> None:
    epochs = Epochs()
    epochs.learn(["a"], complete=False)
    assert epochs.overtaken("never heard of", 0)
    assert not epochs.overtaken("a", epochs.looks)


def test_what_is_forgotten_counts_as_evicted() -> None:
    """Memory is bounded; what falls out of it errs on the safe side."""
    epochs = Epochs()
    epochs.learn(["first"], complete=True)
    between = epochs.looks
    epochs.learn([f"s{i}" for i in range(REMEMBERED)], complete=True)
    assert len(epochs._evicted) == REMEMBERED
    assert epochs.overtaken("first", 0)
    assert epochs.overtaken("other", 0)
    assert not epochs.overtaken("other", between)
    assert epochs.overtaken("s0", between)
