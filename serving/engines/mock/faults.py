"""How the mock misbehaves: drawn by the shares in the config, or on a request's demand.

A request forces a fault with `metadata: {"mock_fault": NAME}`, at one tier alone with
`"mock_fault_tier": TIER`; else each mock tier draws one from its shares, the same for the same
request, so that a retry of a request fails again.
"""

from typing import Literal, get_args

from serving.engines.mock.draws import Draws
from serving.errors import InvalidRequest
from serving.settings.tiers import MockFaults
from serving.wire.chat import ChatRequest

Fault = Literal[
    "error", "garbage", "refuse", "truncate", "repeat", "hang", "error_midstream", "slow"
]

FAULT_KEY = "mock_fault"
TIER_KEY = "mock_fault_tier"
SLOW_FACTOR = 10.0
REFUSAL = "I'm sorry, but I can't help with that request."
REPEATS = 20

_GIBBERISH = ("qzx", "##", "vlk", "}{", "ttt", "0x1f", "mwb", "//", "zz9", "~", "prk", "\ufffd")


def asked(request: ChatRequest, tier: str) -> Fault | None:
    """The fault that the request demands of this tier; `InvalidRequest` for an unknown name."""
    metadata = request.metadata or {}
    name = metadata.get(FAULT_KEY)
    if name is None or metadata.get(TIER_KEY, tier) != tier:
        return None
    for known in get_args(Fault):
        if name == known:
            return known  # type: ignore[no-any-return]  # get_args is untyped
    known_names = ", ".join(get_args(Fault))
    raise InvalidRequest(
        f"unknown {FAULT_KEY} {name!r}; known: {known_names}", param=f"metadata.{FAULT_KEY}"
    )


def drawn(shares: MockFaults, draws: Draws) -> Fault | None:
    luck = draws.uniform()
    ordered: tuple[tuple[Fault, float], ...] = (
        ("error", shares.error),
        ("garbage", shares.garbage),
        ("refuse", shares.refuse),
        ("truncate", shares.truncate),
        ("repeat", shares.repeat),
        ("hang", shares.hang),
    )
    for fault, share in ordered:
        if luck < share:
            return fault
        luck -= share
    return None


def gibberish(draws: Draws) -> str:
    """Nothing that anyone asked for: no sentence, no JSON."""
    return " ".join(draws.pick(_GIBBERISH) for _ in range(draws.between(12, 30)))


def repeated(text: str) -> str:
    """The first words of an answer over and over, as a model that is caught in a loop."""
    phrase = " ".join(text.split()[:8]) or "and so on"
    return " ".join([phrase] * REPEATS)
