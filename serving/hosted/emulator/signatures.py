"""Signatures of thinking blocks: which model thought, for whom, behind which conversation."""

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass

from serving.hosted.emulator.wire import Prompt


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a thinking block comes from. `prefix` digests all that preceded it; `omitted` blocks
    were returned without their text.
    """

    model: str
    workspace: str
    prefix: str
    omitted: bool


class Signer:
    """Signs thinking blocks and reads signatures back; `secret` is this server's own."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def sign(self, origin: Origin, thinking: str) -> str:
        payload = json.dumps(
            [origin.model, origin.workspace, origin.prefix, origin.omitted]
        ).encode()
        return base64.b64encode(payload + self._mac(payload, origin, thinking)).decode()

    def read(self, signature: str, thinking: str) -> Origin | None:
        """None where the signature is not ours or does not belong to this text. Text put into a
        block that was returned without it is ignored.
        """
        try:
            raw = base64.b64decode(signature, validate=True)
            payload, mac = raw[:-32], raw[-32:]
            model, workspace, prefix, omitted = json.loads(payload)
            origin = Origin(str(model), str(workspace), str(prefix), bool(omitted))
        except (ValueError, TypeError):
            return None
        return origin if hmac.compare_digest(mac, self._mac(payload, origin, thinking)) else None

    def _mac(self, payload: bytes, origin: Origin, thinking: str) -> bytes:
        text = b"" if origin.omitted else thinking.encode("utf-8", "surrogatepass")
        return hmac.digest(self._secret, payload + b"\0" + text, "sha256")


def prefix_digest(prompt: Prompt, messages: int) -> str:
    """Digest of the tools, the system prompt and the first `messages` messages. Cache breakpoints
    and thinking blocks do not count, nor does how consecutive turns are cut.
    """
    digest = hashlib.sha256()
    without = {"cache_control": True}
    for tool in prompt.tools:
        digest.update(b"tool" + tool.model_dump_json(exclude=without).encode())
    for block in prompt.system:
        digest.update(b"system" + block.model_dump_json(exclude=without).encode())
    for message in prompt.messages[:messages]:
        for content in message.content:
            if content.type not in {"thinking", "redacted_thinking"}:
                body = content.model_dump_json(exclude=without).encode()
                digest.update(message.role.encode() + body)
    return digest.hexdigest()[:32]
