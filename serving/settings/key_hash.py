"""How an API key becomes the digest that a configuration holds, and which keys are too weak for it.

A fast hash is enough only for keys that can't be guessed, so weak keys are refused where digests
are made; a key that is merely presented is never judged, only compared.
"""

import hashlib

MIN_CHARS = 32
MIN_DISTINCT_CHARS = 10
MAX_CHARS = 512


def digest(key: str) -> str:
    """`sha256:` and 64 hexadecimal digits of the key's UTF-8 bytes: what `KeySettings.hash` has."""
    return "sha256:" + hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def weakness(key: str) -> str | None:
    """Why the key must not be used, None for a good one. The key is never part of the reason."""
    if not key.isascii() or not key.isprintable() or " " in key:
        return "it holds characters that an HTTP header can't carry (printable ASCII, no spaces)"
    if len(key) < MIN_CHARS:
        return f"it has {len(key)} characters; at least {MIN_CHARS} are needed"
    if len(key) > MAX_CHARS:
        return f"it has {len(key)} characters; at most {MAX_CHARS} are allowed"
    if len(set(key)) < MIN_DISTINCT_CHARS:
        return f"it has fewer than {MIN_DISTINCT_CHARS} different characters"
    if key in (key + key)[1:-1]:
        return "it is one piece repeated"
    return None
