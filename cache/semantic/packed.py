"""Answers as they are kept: compressed, with what most of them have in common left out."""

import zlib

_COMMON = (
    b'"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":'
    b'{"reasoning_tokens":0},"cache_write_tokens":0,"cache_write_1h_tokens":0,"usage":{'
    b'"prompt_tokens":,"completion_tokens":,"total_tokens":,"cached_tokens":0,"reasoning_tokens":0'
    b'"logprobs":null,"refusal":null,"reasoning":null,"tool_calls":[],"provider_content":null,'
    b'"finish_reason":"stop","estimated":false,"created":17,"object":"chat.completion","model":"'
    b'{"id":"chatcmpl-","choices":[{"index":0,"message":{"role":"assistant","content":"'
)
"""Never change it under the same version: stored answers are read with it."""

_VERSION = b"\x01"
_LEVEL = 6
MAX_ANSWER = 64 * 1024 * 1024


def pack(answer: bytes) -> bytes:
    """`answer` compressed; `unpack` gives it back."""
    squeeze = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS, zdict=_COMMON)
    return _VERSION + squeeze.compress(answer) + squeeze.flush()


def unpack(packed: bytes) -> bytes:
    """What `pack` was given. `ValueError` where it is not what `pack` made, or cut short."""
    if packed[:1] != _VERSION:
        raise ValueError("a stored answer is in a form that this version does not know")
    inflate = zlib.decompressobj(-zlib.MAX_WBITS, zdict=_COMMON)
    try:
        answer = inflate.decompress(packed[1:], MAX_ANSWER)
    except zlib.error as error:
        raise ValueError(f"a stored answer is damaged: {error}") from None
    if not inflate.eof or inflate.unused_data:
        raise ValueError("a stored answer is damaged: it has no end")
    return answer
