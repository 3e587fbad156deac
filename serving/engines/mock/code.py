"""Code-looking answers, in the language that the request names."""

from keyword import iskeyword

from serving.engines.mock.draws import Draws
from serving.engines.mock.reading import Reading
from serving.engines.mock.words import PROGRAMMING

_PYTHON = """```python
def {name}({arg}):
    \"\"\"Return the {a} of {arg}.\"\"\"
    result = []
    for item in {arg}:
        if item {test} {n}:
            result.append(item {op} {m})
    return result
```"""
_JAVASCRIPT = """```javascript
function {name}({arg}) {{
  return {arg}
    .filter((item) => item {test} {n})
    .map((item) => item {op} {m});
}}
```"""
_SQL = """```sql
SELECT {a}, COUNT(*) AS total
FROM {b}
WHERE {a} {test} {n}
GROUP BY {a}
ORDER BY total {order}
LIMIT {m};
```"""
_BASH = """```bash
for {arg} in *.{b}; do
  test "$(wc -l < "${arg}")" -{flag} {n} && head -n {m} "${arg}" > "{a}_${arg}"
done
```"""
_LANGUAGES = {
    "sql": _SQL,
    "query": _SQL,
    "javascript": _JAVASCRIPT,
    "typescript": _JAVASCRIPT,
    "js": _JAVASCRIPT,
    "bash": _BASH,
    "shell": _BASH,
}


def program(reading: Reading, draws: Draws) -> str:
    """A short fenced program and a sentence about it; a wrong one differs in what it computes."""
    template = next((_LANGUAGES[w] for w in reading.words if w in _LANGUAGES), _PYTHON)
    words = [_identifier(w) for w in reading.keywords if w not in PROGRAMMING] or ["items"]
    a, b = words[0], words[1] if len(words) > 1 else "values"
    n, m = draws.between(0, 99), draws.between(1, 20)
    code = template.format(
        name=f"{a}_{b}",
        arg=b,
        a=a,
        b=b,
        n=n,
        m=m,
        test=draws.pick((">", ">=", "<", "<=", "==", "!=")),
        op=draws.pick(("+", "-", "*", "//" if template is _PYTHON else "/")),
        order=draws.pick(("DESC", "ASC")),
        flag=draws.pick(("gt", "lt", "ge", "le")),
    )
    return f"{code}\n\nIt keeps what passes the test against {n} and leaves out the rest."


def _identifier(word: str) -> str:
    cleaned = "".join(c for c in word if c.isascii() and c.isalnum())
    usable = cleaned and not cleaned[0].isdigit() and not iskeyword(cleaned)
    return cleaned if usable else f"v{cleaned}"
