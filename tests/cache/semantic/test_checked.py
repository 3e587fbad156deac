"""What cannot be kept is refused with the reason; what can be mended is mended."""

from decimal import Decimal

import pytest

from cache.semantic.entry import UnfitEntry
from serving.storage.database import Database
from tests.cache.semantic.entries import HERE, axis, new
from tests.cache.semantic.shelves import kept, rows, shelf_at

BAD = [
    ({"vector": axis(0)[:-1]}, "32 numbers"),
    ({"vector": axis(0) * 0}, "length 1"),
    ({"vector": axis(0) * float("nan")}, "length 1"),
    ({"vector": axis(0) * 2}, "length 1"),
    ({"vector": axis(0).astype("float64")}, "float32"),
    ({"vector": [1.0]}, "no array"),
    ({"scope": "short"}, "64 hexadecimal"),
    ({"answer": b"x" * 1_001}, "too large"),
    ({"text": "é" * 600}, "too large"),
    ({"answer": b""}, "needs an answer"),
    ({"tags": ("",)}, "tags"),
    ({"tags": ("x",) * 33}, "tags"),
    ({"tenant": "t" * 129}, "tenant"),
    ({"tenant": "t\x00"}, "tenant"),
    ({"cost_usd": Decimal(-1)}, "no sense"),
    ({"cost_usd": Decimal("NaN")}, "no sense"),
    ({"expires_at": float("inf")}, "no Unix time"),
    ({"expires_at": float("nan")}, "no Unix time"),
]


@pytest.mark.parametrize(("given", "said"), BAD)
async def test_what_cannot_be_kept_is_refused_with_the_reason(
    database: Database, given: dict[str, object], said: str
) -> None:
    async with shelf_at(database, max_entry_bytes=1_000) as shelf:
        with pytest.raises(UnfitEntry, match=said):
            await shelf.add(new(1, **given))
        assert await rows(database) == 0
        if "vector" in given:
            with pytest.raises(UnfitEntry, match=said):
                shelf.find(HERE, given["vector"])  # type: ignore[arg-type]  # bad on purpose


async def test_text_that_databases_refuse_is_made_storable(database: Database) -> None:
    async with shelf_at(database) as shelf:
        await kept(shelf, 1, text="nul \x00 and surrogate \ud800", tags=("t\x00",))
        assert shelf.exact(HERE, "nul \x00 and surrogate \ud800")
    async with shelf_at(database) as again:
        entry = again.find(HERE, axis(1))[0].entry
        assert entry.text == "nul \ufffd and surrogate \ufffd"
        assert entry.tags == ("t\ufffd",)
