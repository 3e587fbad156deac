"""Which conversation a request goes on with.

A client sends the whole history with each turn, so a turn is known by a digest of its prompt: what
stands before the last answer of a request is, word for word, the prompt of the turn before. Digests
tell apart what merely begins alike (the same greeting, the same examples in a prompt), and find
branches of a conversation and answers that were asked for again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import orjson

from serving.wire.chat import ContentPart, Message

MAX_TURNS = 12
"""Earlier turns that are looked for, latest first."""

WHOLE_CHARS = 65_536
"""Of a longer text (an image, mostly), the ends and the length count."""

_PERSON = b"stepwell turn"


@dataclass(frozen=True, slots=True)
class Identity:
    """Digests of this turn's prompt and of those of earlier turns, oldest first; none in a first
    turn. `answered`: the index of the message that begins the last answer, 0 in a first turn.
    """

    here: str
    before: tuple[str, ...] = ()
    answered: int = 0

    @property
    def first_turn(self) -> bool:
        return not self.before


def key_of(secret: str | None) -> bytes:
    """The key of all digests; processes that share a ledger must have the same one."""
    return blake2b((secret or "").encode()).digest()


def identify(messages: Sequence[Message], *, tenant: str, key: bytes) -> Identity:
    """Tenants never meet. Tools and parameters are left out: a client may change them on its way.
    Each run of assistant messages is one answer.
    """
    digest = blake2b(digest_size=16, key=key, person=_PERSON)
    digest.update(_field(tenant).encode("utf-8", "surrogatepass"))
    before, start = [], 0
    cuts = _answers(messages)
    for cut in cuts:
        digest.update(_spelled(messages[start:cut]))
        before.append(digest.copy().hexdigest())
        start = cut
    digest.update(_spelled(messages[start:]))
    return Identity(digest.hexdigest(), tuple(before), cuts[-1] if cuts else 0)


def _answers(messages: Sequence[Message]) -> list[int]:
    """Where the latest answers begin."""
    roles = [message.role for message in messages]
    if "assistant" not in roles:
        return []
    begins = [
        i
        for i, role in enumerate(roles)
        if i and role == "assistant" and roles[i - 1] != "assistant"
    ]
    return begins[-MAX_TURNS:]


def _spelled(messages: Sequence[Message]) -> bytes:
    return "".join([_message(m) for m in messages]).encode("utf-8", "surrogatepass")


def _message(message: Message) -> str:
    content = message.content
    plain = message.tool_calls is None and message.tool_call_id is None
    if plain and isinstance(content, str):
        return f"{message.role} {_field(content)}\n"
    fields = [content] if isinstance(content, str) else [_part(p) for p in content or ()]
    if message.tool_call_id is not None:
        fields.append(message.tool_call_id)
    for call in message.tool_calls or ():
        fields.append(call.id)
        if call.function is not None:
            fields += (call.function.name, call.function.arguments)
    return f"{message.role} {''.join(map(_field, fields))}\n"


def _part(part: ContentPart) -> str:
    if part.text is not None:
        return part.text
    try:
        return orjson.dumps(part.model_extra, option=orjson.OPT_SORT_KEYS).decode()
    except TypeError:  # an integer beyond 64 bits, a lone surrogate
        return repr(part.model_extra)


def _field(text: str) -> str:
    """`text` with its length in front, so that no two lists of fields read alike."""
    size = len(text)
    if size > WHOLE_CHARS:
        text = text[: WHOLE_CHARS // 2] + text[-WHOLE_CHARS // 2 :]
    return f"{size}:{text}"
