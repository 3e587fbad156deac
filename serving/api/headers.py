"""The response headers that Stepwell adds."""

from serving.api.figures import Figures, money

MAX_VALUE_CHARS = 512


def figure_headers(figures: Figures, *, final: bool) -> dict[str, str]:
    """Headers of what is known. A stream's headers leave before its end (`final` False), so its
    cost is not among them; a tier that is known has been committed to.
    """
    headers: dict[str, str] = {"x-stepwell-cache": figures.cache}
    if figures.tier is not None:
        headers["x-stepwell-tier"] = figures.tier
        headers["x-stepwell-escalations"] = str(figures.escalations)
    cost = money(figures.cost_usd)
    if final and cost is not None:
        headers["x-stepwell-cost-usd"] = cost
    if figures.degraded is not None:
        headers["x-stepwell-degraded"] = figures.degraded
    if figures.best_effort is not None:
        headers["x-stepwell-best-effort"] = figures.best_effort
    if figures.dropped_params:
        headers["x-stepwell-dropped-params"] = ",".join(figures.dropped_params)
    if figures.simulated:
        headers["x-stepwell-simulated"] = "true"
    return headers


def encode(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    """For ASGI. Reasons and parameter names may hold what a client wrote: line breaks and other
    characters that have no place in a header become `?`, and length is bounded.
    """
    return [(name.encode("ascii"), _safe(value)) for name, value in headers.items()]


def _safe(value: str) -> bytes:
    if len(value) > MAX_VALUE_CHARS:
        value = value[: MAX_VALUE_CHARS - 3] + "..."
    if not (value.isascii() and value.isprintable()):
        value = "".join(c if " " <= c <= "~" else "?" for c in value)
    return value.strip().encode("ascii")
