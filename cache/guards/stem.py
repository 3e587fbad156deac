"""The stem of an English word, so that its forms meet. What is left is compared, never read."""

from functools import lru_cache

_VOWELS = frozenset("aeiouy")
_KEEP = frozenset({"is", "his", "this", "us", "was", "has", "does", "news", "always", "during"})
_IRREGULAR = {
    **dict.fromkeys(("children",), "child"),
    **dict.fromkeys(("men",), "man"),
    **dict.fromkeys(("women",), "woman"),
    **dict.fromkeys(("people",), "people"),
    **dict.fromkeys(("feet",), "foot"),
    **dict.fromkeys(("mice",), "mouse"),
    **dict.fromkeys(("bought",), "buy"),
    **dict.fromkeys(("sold",), "sell"),
    **dict.fromkeys(("paid",), "pay"),
    **dict.fromkeys(("sent",), "send"),
    **dict.fromkeys(("lost",), "lose"),
    **dict.fromkeys(("found",), "find"),
    **dict.fromkeys(("took", "taken"), "take"),
    **dict.fromkeys(("gave", "given"), "give"),
    **dict.fromkeys(("got", "gotten"), "get"),
    **dict.fromkeys(("went", "gone"), "go"),
    **dict.fromkeys(("made",), "make"),
    **dict.fromkeys(("broke", "broken"), "break"),
    **dict.fromkeys(("stole", "stolen"), "steal"),
    **dict.fromkeys(("forgot", "forgotten"), "forget"),
    **dict.fromkeys(("chose", "chosen"), "choose"),
    **dict.fromkeys(("written", "wrote"), "write"),
    **dict.fromkeys(("began", "begun"), "begin"),
    **dict.fromkeys(("flew", "flown"), "fly"),
    **dict.fromkeys(("drove", "driven"), "drive"),
    **dict.fromkeys(("won",), "win"),
    **dict.fromkeys(("held",), "hold"),
    **dict.fromkeys(("kept",), "keep"),
    **dict.fromkeys(("meant",), "mean"),
    **dict.fromkeys(("said",), "say"),
    **dict.fromkeys(("saw", "seen"), "see"),
    **dict.fromkeys(("knew", "known"), "know"),
    **dict.fromkeys(("spent",), "spend"),
    **dict.fromkeys(("taught",), "teach"),
    **dict.fromkeys(("ate", "eaten"), "eat"),
    **dict.fromkeys(("drank", "drunk"), "drink"),
    **dict.fromkeys(("slept",), "sleep"),
}


@lru_cache(65_536)
def stem(word: str) -> str:
    """Of a lower-case word; others, such as numbers, come back as they are."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if len(word) < 4 or word in _KEEP or not word.isalpha() or not word.isascii():
        return word
    word = _american(word)
    word = _singular(word)
    for ending in ("ing", "ed"):
        root = word.removesuffix(ending)
        if root != word and len(root) >= 3 and not _VOWELS.isdisjoint(root):
            return _final(_undoubled(root))
    return _final(word)


def _american(word: str) -> str:
    """One spelling of what British and American English spell differently."""
    if len(word) > 5:
        for british, american in (("isation", "ization"), ("ise", "ize"), ("ising", "izing")):
            if word.endswith(british):
                return word.removesuffix(british) + american
        word = word.replace("ised", "ized").replace("lour", "lor").replace("vour", "vor")
        word = word.replace("bour", "bor").replace("mould", "mold")
    return word


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "xes", "ches", "shes", "zes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is", "ous")):
        return word[:-1]
    return word


def _undoubled(root: str) -> str:
    if len(root) > 3 and root[-1] == root[-2] and root[-1] not in "lsz":
        return root[:-1]
    return root


def _final(word: str) -> str:
    if len(word) > 4 and word.endswith("e"):
        return word[:-1]
    return word[:-1] + "i" if len(word) > 3 and word.endswith("y") else word
