"""Whether an answer refuses, judged by its finish reason, its refusal field or how it opens.

Only the opening is read, clause by clause: apologies and courtesies may come first, then a clause
that says the model will not do it. A model that answers and adds a caveat does not refuse, so the
first clause that is neither ends the search. "I can't wait" and "I'm sorry for the delay" are no
refusals: the verb after "can't" decides.
"""

import functools
import re
from dataclasses import dataclass
from typing import Any

import re2

from router.validators.answer import Answer
from router.validators.pattern import options

OPENING_CHARS = 200

# Full stops, commas and the like, full-width ones and dashes too. One class, so it is linear.
_BREAK = re.compile("[.,;:!?\u3002\uff0c\u3001\uff1b\uff1a\uff01\uff1f\u2026\u2014\u2013]+")
# What a model says it will not do. The object tells "I can't write that" from "I can't write home".
_DEED = (
    r"(?:assist|comply|engage|participate|accommodate|fulfil+|facilitate)\b"
    r"|help (?:you )?(?:with|out|in|to|on|by)\b|help(?: you)?$"
    r"|do (?:that|this|it|so)\b|(?:continue|proceed) with\b"
    r"|(?:provide|write|create|generate|produce|discuss|offer|complete|process|respond to|support)"
    r" (?:you )?(?:with )?(?:that|this|the|a|an|any|those|these|your|such|it|information|details|"
    r"instructions|advice|content|code|specific|explicit|medical|legal|financial|personal|"
    r"guidance|assistance|responses?|requests?)\b"
    r"|(?:answer|share|give you|disclose|reveal) (?:that|this|any|those|these|your|such|personal|"
    r"confidential|private|information|details|questions?)\b"
)
# These stand before the next word without a space.
_HAN_APOLOGY = r"(?:很|非常|十分)?(?:抱歉|对不起|對不起|遗憾|不好意思)"
_KANA_APOLOGY = r"(?:大変)?申し訳(?:ありません|ございません)|すみません|恐れ入ります"
_LEADS = (
    r"(?:i'm|i am|we are|we're) (?:so |very |really |truly |deeply )?(?:sorry|afraid)",
    r"(?:so |very )?sorry|(?:my |our )?(?:sincere )?apologies|i apologi[sz]e|unfortunately",
    r"regrettably|as an? (?:ai|artificial|large|language|responsible)|however|but|thank(?:s| you)",
    r"i (?:understand|appreciate|see|reali[sz]e|know|want to be helpful)|hello|hi|hey",
    r"(?:es )?tut mir (?:sehr )?leid|leider|entschuldigung|ich bedaure",
    r"(?:je suis )?(?:vraiment )?(?:désolée?|navrée?)|je regrette|malheureusement",
    r"lo siento(?: mucho)?|lamento|lamentablemente|disculp[ae]",
    r"mi dispiace|purtroppo|(?:sono )?spiacente",
    r"desculpe?|sinto muito|infelizmente|het spijt (?:me|mij)|helaas",
)
_CORES = (
    # English
    r"i(?: can't| cannot| can not| could not| couldn't| won't| will not| am unable to|'m unable to|"
    r"(?: am|'m) not (?:able|allowed|permitted|going) to)(?: be able to)?"
    r"(?: (?:directly|currently|actually|legally|ethically|in good conscience))?"
    rf" (?:{_DEED})",
    r"i (?:must|have to|need to|will have to) (?:respectfully |politely )?(?:decline|refuse)\b",
    r"i(?: do not feel| don't feel| am not|'m not) comfortable\b",
    r"(?:that|this|it)(?:'s| is) (?:not something (?:that )?i(?:'m| am)? (?:can|able)"
    r"|something (?:that )?i (?:can't|cannot|won't))",
    r"(?:this|that|your) (?:request|content|prompt|question) (?:violates|goes against|is against)",
    # German
    r"(?:\S+ ){0,3}?(?:ich (?:kann|darf|werde)|(?:kann|darf|werde) ich)(?: \S+){0,6}?"
    r" (?:nicht|keine\S*)(?: \S+){0,6}? (?:weiter|be)?(?:helfen|unterstützen|antworten|erstellen|"
    r"bereitstellen|nachkommen|erfüllen)",
    # French
    r"je (?:ne |n')?(?:peux|puis|pourrai|suis)(?: pas)?(?: en mesure)?(?: de| d')?(?: \S+){0,2}?"
    r" (?:vous |t'|l')?(?:aider|assister|répondre|fournir|satisfaire|générer|accéder)\b",
    # Spanish, Italian, Portuguese
    r"no (?:puedo|podré|me es posible|soy capaz de|estoy autorizad[oa] a)(?: \S+){0,2}?"
    r" (?:ayudar|asistir|cumplir|proporcionar|responder|generar|brindar|ofrecer)\S*",
    r"non (?:posso|potrò|sono in grado di)(?: \S+){0,2}?"
    r" (?:aiutar|assister|fornir|risponder|soddisfar|generar)\S*",
    r"não (?:posso|consigo|poderei|sou capaz de|estou autorizad[oa] a)(?: \S+){0,2}?"
    r" (?:ajud|auxili|atend|fornec|respond|ger)\S*",
    # Dutch
    r"(?:\S+ ){0,3}?(?:ik (?:kan|mag|zal)|(?:kan|mag|zal) ik)(?: \S+){0,5}?"
    r" (?:niet|geen)(?: \S+){0,5}? (?:helpen|beantwoorden|voldoen|verstrekken)",
    # Chinese, Japanese
    r"我?(?:无法|無法|不能|不可以|没办法|不便)(?:为您|为你|為您|為你|向您|向你)?"
    r"(?:提供|协助|協助|帮助|幫助|帮您|帮你|回答|满足|滿足|完成|生成|处理|回应)",
    r".{0,40}(?:お答え|お手伝い|提供|対応|回答|お応え)(?:する)?(?:こと)?(?:は|が)?(?:いた)?"
    r"(?:できません|できかね|致しかね|しかねます)",
)


@dataclass(frozen=True, slots=True)
class RefusalCheck:
    kind: str = "no_refusal"
    whole: bool = False

    def check(self, answer: Answer) -> str | None:
        if answer.choice.finish_reason == "content_filter":
            return "finish reason 'content_filter'"
        if answer.choice.refusal:
            return "the refusal field is set"
        return "opens with a refusal" if refuses(answer.text) else None

    def prefix(self, text: str, /) -> str | None:
        return "opens with a refusal" if refuses(text, ended=False) else None


def refuses(text: str, *, ended: bool = True) -> bool:
    """Whether `text` opens with a refusal. With `ended` false more may follow, and a refusal counts
    only if nothing that follows could undo it.
    """
    opening = " ".join(text[: 4 * OPENING_CHARS].replace("\u2019", "'").split())[:OPENING_CHARS]
    whole = ended and len(opening) < OPENING_CHARS
    clauses = _BREAK.split(opening)
    lead, core = _patterns()
    for i, clause in enumerate(clauses):
        rest = clause.strip(" *_#>\"'\u201c\u201d\u00ab\u00bb()[]-").encode("utf-8", "replace")
        last = i == len(clauses) - 1
        if not rest:
            continue
        found = core.match(rest)
        if found is not None:
            # The last clause is not over: "I can't help" may go on "… but smile".
            return whole or not last or found.end() < len(rest)
        if lead.match(rest) is None:
            return False
    return False


@functools.cache
def _patterns() -> tuple[Any, Any]:
    """(a courtesy, a refusal behind any number of short courtesies), both at a clause's start.
    They match UTF-8 bytes.
    """
    folded = options(case_sensitive=False)
    leads = "|".join(_LEADS)
    conjunction = r"(?:but|that|and|however|so|aber|doch|mais|pero|ma|mas|porém|maar)"
    start = rf"(?:(?:{leads}|{conjunction})\s+)*(?:{_HAN_APOLOGY})?"
    core = rf"{start}(?:{'|'.join(_CORES)})"
    lead = rf"(?:{conjunction}\s+)?(?:{leads})(?:$|[^\pL])|{_HAN_APOLOGY}|{_KANA_APOLOGY}"
    return re2.compile(lead.encode(), folded), re2.compile(core.encode(), folded)
