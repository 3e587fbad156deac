"""Digests of API keys, and keys that are too weak for one."""

import hashlib
import secrets

import pytest

from serving.settings.key_hash import MAX_CHARS, digest, weakness
from serving.settings.keys import KeySettings


def test_a_digest_is_what_the_settings_take() -> None:
    key = "sw-0123456789-abcdefghijklmnopqrst"
    assert digest(key) == "sha256:" + hashlib.sha256(key.encode()).hexdigest()
    assert KeySettings(id="k", tenant="t", hash=digest(key)).hash == digest(key)


def test_any_text_has_a_digest() -> None:
    """A presented key may hold whatever a header decodes to."""
    assert digest("ÿ\udcff") != digest("ÿ")


@pytest.mark.parametrize("make", [secrets.token_urlsafe, secrets.token_hex])
def test_random_keys_are_strong(make: object) -> None:
    assert callable(make)
    assert all(weakness(make(32)) is None for _ in range(200))


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("", "at least 32"),
        ("short-key", "at least 32"),
        ("a" * 40, "different characters"),
        ("ab12" * 10, "different characters"),
        ("abcdefghijklmnop" * 3, "one piece repeated"),
        ("k" + "x1y2z3w4v5" * 60, f"at most {MAX_CHARS}"),
        ("a key with spaces in it 0123456789 and more", "HTTP header"),
        ("schlüssel-0123456789-abcdefghijklmnop", "HTTP header"),
        ("tab\t0123456789-abcdefghijklmnopqrstuv", "HTTP header"),
    ],
)
def test_weak_keys_are_named_without_quoting_them(key: str, reason: str) -> None:
    weak = weakness(key)
    assert weak is not None
    assert reason in weak
    assert not key or key not in weak
