"""What the server's audits of semantic hits have found by now, read from its metrics."""

import re
import time
import urllib.error
import urllib.request
from dataclasses import dataclass

CHECKS = re.compile(
    r"^stepwell_semantic_checks_total\{(?P<labels>[^}]*)\} (?P<count>[0-9.e+]+)$", re.MULTILINE
)
POLL_S = 0.3
AT_MOST_S = 5.0
TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Audited:
    """Hits that could be compared, and how many of those were wrong."""

    checked: int
    wrong: int


def audited(url: str, key: str | None) -> Audited | None:
    """Once audits that are under way have come to rest. None where the metrics can't be read."""
    until = time.monotonic() + AT_MOST_S
    before: Audited | None = None
    while (found := _read(url, key)) is not None:
        if found == before or time.monotonic() > until:
            return found
        before = found
        time.sleep(POLL_S)
    return None


def tally(exposition: str) -> Audited:
    """Sums the checks of hits over all tasks."""
    counts = {"right": 0, "wrong": 0}
    for match in CHECKS.finditer(exposition):
        labels = match["labels"]
        result = next((r for r in counts if f'result="{r}"' in labels), None)
        if 'source="hit"' in labels and result is not None:
            counts[result] += round(float(match["count"]))
    return Audited(sum(counts.values()), counts["wrong"])


def _read(url: str, key: str | None) -> Audited | None:
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    request = urllib.request.Request(f"{url}/metrics", headers=headers)  # noqa: S310 - http only
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(request, timeout=TIMEOUT_S) as answer:
            return tally(answer.read().decode())
    except (urllib.error.URLError, OSError, ValueError):
        return None
