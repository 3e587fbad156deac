"""Cuts a streamed text at the first stop sequence, wherever its pieces are cut."""


class StopScanner:
    """`feed` returns the text that is safe to send: what might be the beginning of a stop sequence
    is held back. `hit` is the sequence that ended the text; the sequence itself is not sent.
    """

    def __init__(self, stops: list[str]) -> None:
        self._stops = stops
        self._hold = max((len(s) for s in stops), default=1) - 1
        self._held = ""
        self.hit: str | None = None

    def feed(self, text: str) -> str:
        if self.hit is not None:
            return ""
        self._held += text
        found = [(at, s) for s in self._stops if (at := self._held.find(s)) >= 0]
        if found:
            at, self.hit = min(found)
            safe, self._held = self._held[:at], ""
            return safe
        keep = max(0, len(self._held) - self._hold)
        safe, self._held = self._held[:keep], self._held[keep:]
        return safe

    def flush(self) -> str:
        """What was held back, once nothing more comes."""
        safe, self._held = self._held, ""
        return safe
