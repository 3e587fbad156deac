from typing import Any

import pytest

from serving.hosted.emulator.errors import ApiError
from serving.hosted.emulator.signatures import Origin, Signer, prefix_digest
from serving.hosted.emulator.thinking import check_replayed, check_thinking, thinking_of
from serving.hosted.emulator.wire import Prompt
from serving.hosted.models import catalog
from tests.serving.hosted.fakes import HAIKU, OLD_HAIKU, OPUS, SONNET, SONNET_5

USER = {"role": "user", "content": "Hi"}
SIGNER = Signer(b"secret")


def prompt(model: str = OPUS, **fields: Any) -> Prompt:
    return Prompt.model_validate({"model": model, "messages": [USER], **fields})


def check(model: str, thinking: Any, effort: str | None = None, **fields: Any) -> None:
    if effort:
        fields["output_config"] = {"effort": effort}
    config = {"type": thinking} if isinstance(thinking, str) else thinking
    made = prompt(model, **({"thinking": config} if config else {}), **fields)
    check_thinking(made, catalog().ability(model), 2_000)


ENABLED = {"type": "enabled", "budget_tokens": 1_024}


@pytest.mark.parametrize(
    ("model", "thinking", "effort"),
    [
        (OPUS, "adaptive", "max"),
        (SONNET, "between_tools", None),
        (HAIKU, "disabled", "high"),
        (HAIKU, "disabled", None),
        (SONNET_5, "disabled", "xhigh"),
        (OLD_HAIKU, ENABLED, None),
        (OLD_HAIKU, "disabled", None),
        ("claude-sonnet-4-6", "adaptive", "max"),
    ],
)
def test_what_a_model_accepts(model: str, thinking: Any, effort: str | None) -> None:
    check(model, thinking, effort)


@pytest.mark.parametrize(
    ("model", "thinking", "effort", "message"),
    [
        (OPUS, "disabled", None, '"thinking.type.disabled" is not supported'),
        (OPUS, "between_tools", None, '"thinking.type.between_tools" is not supported'),
        (OPUS, ENABLED, None, '"thinking.type.enabled" is not supported'),
        (SONNET, "disabled", None, 'Use "thinking.type.between_tools"'),
        (HAIKU, "disabled", "xhigh", '"disabled" is not supported with'),
        ("claude-opus-5", "disabled", "max", '"disabled" is not supported with'),
        (OLD_HAIKU, "adaptive", None, "adaptive thinking is not supported"),
        (OLD_HAIKU, None, "low", '"low" is not supported for this model'),
        ("claude-sonnet-4-6", None, "xhigh", '"xhigh" is not supported'),
        (OLD_HAIKU, {"type": "enabled", "budget_tokens": 2_000}, None, "must be greater"),
    ],
)
def test_trap_thinking_rules_differ_by_model(
    model: str, thinking: Any, effort: str | None, message: str
) -> None:
    with pytest.raises(ApiError) as caught:
        check(model, thinking, effort)
    assert message in caught.value.message


def test_a_budget_and_a_forced_tool_exclude_each_other() -> None:
    tools = [{"name": "f", "input_schema": {"type": "object"}}]
    with pytest.raises(ApiError, match="forces tool use"):
        check(OLD_HAIKU, ENABLED, tools=tools, tool_choice={"type": "any"})


@pytest.mark.parametrize(
    ("model", "fields", "tokens", "omitted"),
    [
        (OPUS, {}, 60, True),
        (OPUS, {"output_config": {"effort": "low"}}, 24, True),
        (OPUS, {"thinking": {"type": "adaptive", "display": "summarized"}}, 60, False),
        (SONNET, {"thinking": {"type": "between_tools"}}, None, None),
        (HAIKU, {"thinking": {"type": "disabled"}}, None, None),
        (OLD_HAIKU, {}, None, None),
        (OLD_HAIKU, {"thinking": ENABLED}, 60, False),
        ("claude-opus-4-8", {}, None, None),
    ],
)
def test_whether_and_how_a_model_thinks(
    model: str, fields: dict[str, Any], tokens: int | None, omitted: bool | None
) -> None:
    found = thinking_of(prompt(model, **fields), catalog().ability(model))
    assert (found and found.tokens) == tokens
    assert (found and found.omitted) == omitted
    if found:
        assert bool(found.text) != found.omitted


def test_a_signature_belongs_to_its_text() -> None:
    origin = Origin(OPUS, "w", "p", omitted=False)
    signature = SIGNER.sign(origin, "Hm.")
    assert SIGNER.read(signature, "Hm.") == origin
    assert SIGNER.read(signature, "Hm!") is None
    assert SIGNER.read(signature[:-4] + "AAA=", "Hm.") is None
    assert SIGNER.read("", "Hm.") is None
    assert SIGNER.read("%%%", "Hm.") is None
    assert Signer(b"other").read(signature, "Hm.") is None


def test_text_put_into_an_omitted_block_is_ignored() -> None:
    origin = Origin(OPUS, "w", "p", omitted=True)
    assert SIGNER.read(SIGNER.sign(origin, ""), "anything") == origin


def turns(model: str = OPUS, first: str = "Hi", **changes: Any) -> Prompt:
    """A second request that returns the thinking of the first."""
    made_for = prompt(model, messages=[{"role": "user", "content": "Hi"}])
    origin = Origin(
        changes.get("made_by", model), changes.get("workspace", "w"), prefix_digest(made_for, 1),
        omitted=True,
    )  # fmt: skip
    signature = changes.get("signature") or SIGNER.sign(origin, "")
    block = {"type": "thinking", "thinking": "", "signature": signature}
    answer = [block, {"type": "text", "text": "Hello"}]
    user: Any = [
        {"type": "text", "text": first, "cache_control": {"type": "ephemeral"}},
    ]
    return prompt(
        model,
        messages=[
            {"role": "user", "content": user},
            {"role": "assistant", "content": answer},
            {"role": "user", "content": "Again"},
        ],
        **changes.get("fields", {}),
    )


def replay(made: Prompt) -> frozenset[tuple[int, int]]:
    return check_replayed(made, catalog().ability(made.model), SIGNER, "w")


def test_an_unchanged_block_is_accepted_though_a_breakpoint_moved() -> None:
    assert replay(turns()) == frozenset()


@pytest.mark.parametrize("changes", [{"first": "Hello?"}, {"fields": {"system": "New rules."}}])
def test_a_block_behind_an_edited_conversation_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ApiError, match="bound to a different conversation") as caught:
        replay(turns(**changes))
    assert caught.value.message.startswith("messages.1.content.0")
    assert replay(turns(model="claude-opus-5", **changes)) == frozenset()


def test_a_block_that_the_model_cannot_read_is_not_seen() -> None:
    assert replay(turns(made_by=SONNET)) == {(1, 0)}
    assert replay(turns(workspace="other")) == {(1, 0)}


def test_a_block_that_was_tampered_with_is_refused() -> None:
    with pytest.raises(ApiError, match="Invalid `signature` in `thinking` block"):
        replay(turns(signature="dGFtcGVyZWQ="))
    redacted = [{"type": "redacted_thinking", "data": "dGFtcGVyZWQ="}]
    messages = [USER, {"role": "assistant", "content": redacted}, USER]
    with pytest.raises(ApiError, match="Invalid `data` in `redacted_thinking` block"):
        replay(prompt(messages=messages))
