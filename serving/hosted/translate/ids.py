"""Ids and names of tool calls as Anthropic accepts them: in its alphabet, and each id once per
conversation.
"""

import hashlib
import re

_ALLOWED = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_OTHER = re.compile(r"[^a-zA-Z0-9_-]")
_NAME_CHARS = 128


class ToolIds:
    """The ids of one conversation, in the order in which they are met. Engines that number their
    calls anew in each turn repeat ids; a repeated one gets a number of its own. The ids of a
    conversation that grows stay what they were.
    """

    def __init__(self) -> None:
        self._met: set[str] = set()

    def new(self, id: str) -> str:  # noqa: A002 - it is an id
        """What to send for a call that the client calls `id`."""
        base = made = _acceptable(id)
        number = 1
        while made in self._met:
            number += 1
            made = f"{base[:56]}_{number}"
        self._met.add(made)
        return made


def _acceptable(id: str) -> str:  # noqa: A002 - it is an id
    """Equal ids stay equal and different ones different."""
    if _ALLOWED.fullmatch(id):
        return id
    digest = hashlib.sha256(id.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{_OTHER.sub('_', id)[:40]}_{digest}"


def tool_name(name: str) -> str:
    """The name of a tool that the history calls. One that no tool can have (another engine's, or
    what a weak model made up) is brought into the alphabet.
    """
    return _OTHER.sub("_", name)[:_NAME_CHARS] or "_"
