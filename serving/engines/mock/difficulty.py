"""How hard a request is: cheap features and a part drawn from its text, on one scale.

`difficulty = SCALE * (features - CENTRE) + SPREAD * z`, where `z` is standard normal by the
request's own key and the features add up as below. CENTRE, SCALE and SPREAD were set on an equal
mix of bank and assistant requests, school maths problems and multiple-choice exam questions, so
that the difficulties of such traffic are close to standard normal. It depends on the request
alone, so it is the same for every tier.
"""

import math

from serving.engines.mock.draws import Draws, derive
from serving.engines.mock.reading import Reading
from serving.engines.mock.words import LOOKUP, REASONING

CENTRE = 0.45
SCALE = 1.0
SPREAD = 0.84

LENGTH_WEIGHT = 0.35
TYPICAL_WORDS = 12
MATHS_WEIGHT = 0.5
CODE_WEIGHT = 0.5
NUMBER_WEIGHT = 0.06
MAX_NUMBERS = 5
REASONING_WEIGHT = 0.4
LOOKUP_WEIGHT = -0.15
OPTION_WEIGHT = 0.2


def features(reading: Reading) -> float:
    """Longer requests, maths, code, numbers, reasons asked for and answers to choose from are
    harder, look-ups easier.
    """
    first = set(reading.words[:6])
    total = LENGTH_WEIGHT * math.log((len(reading.words) + 2) / TYPICAL_WORDS)
    total += MATHS_WEIGHT * reading.maths + CODE_WEIGHT * reading.code
    total += NUMBER_WEIGHT * min(reading.numbers, MAX_NUMBERS)
    total += OPTION_WEIGHT * (reading.form == "option")
    if first & REASONING:
        total += REASONING_WEIGHT
    elif first & LOOKUP:
        total += LOOKUP_WEIGHT
    return total


def difficulty(reading: Reading, key: bytes) -> float:
    """On the scale of `MockEngine.ability`; `key` is the request's."""
    drawn = Draws(derive(key, "difficulty")).normal()
    return SCALE * (features(reading) - CENTRE) + SPREAD * drawn
