"""Chains: keys, positions and tokens of a prompt's blocks."""

from cache.prompt.blocks import Chainer, marked
from cache.prompt.chain import Breakpoint
from cache.prompt.pieces import pieces
from cache.prompt.ratio import TokenRatio
from tests.cache.prompt.helpers import OPUS, chain_of, chat, rules, system, tool


def test_keys_belong_to_one_tenant_and_one_model() -> None:
    request = chat(system("Be brief."), "Hi")
    chains = [
        chain_of(request),
        chain_of(request, tenant="globex"),
        chain_of(request, model="claude-sonnet-5-5"),
    ]
    keys = {block.key for chain in chains for block in chain.blocks}
    digests = {digest for chain in chains for digest in chain.digests}
    assert len(keys) == len(digests) == 6


def test_a_conversation_that_grows_keeps_its_keys() -> None:
    answer = {"role": "assistant", "content": "Hello."}
    short = chain_of(chat(system("S"), "Hi"))
    long = chain_of(chat(system("S"), "Hi", answer, "What now?"))
    assert [b.key for b in long.blocks[:2]] == [b.key for b in short.blocks]
    assert long.shared == short.shared == 1


def test_what_a_setting_invalidates() -> None:
    request = {"tools": [tool("find")]}
    plain = chain_of(chat(system("S"), "Hi", **request))
    for change in (
        {"tool_choice": "none"},
        {"reasoning_effort": "high"},
        {"parallel_tool_calls": False},
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "x", "schema": {"type": "object", "properties": {}}},
            }
        },
    ):
        other = chain_of(chat(system("S"), "Hi", **request, **change))
        same = [a.key == b.key for a, b in zip(plain.blocks, other.blocks, strict=True)]
        assert same == [True, True, False], change
    image = {"type": "image_url", "image_url": {"url": "https://x.test/a.png"}}
    with_image = chat(system("S"), "Hi", {"role": "user", "content": [image]}, **request)
    assert chain_of(with_image).blocks[2].key != plain.blocks[2].key
    tools = chain_of(chat(system("S"), "Hi", tools=[tool("find", description="Other.")]))
    assert not {b.key for b in tools.blocks} & {b.key for b in plain.blocks}


def test_settings_that_make_no_difference_to_the_model() -> None:
    plain = chain_of(chat("Hi", reasoning_effort="low"))
    assert chain_of(chat("Hi", reasoning_effort="minimal")).blocks == plain.blocks
    assert chain_of(chat("Hi", tool_choice="none")).blocks == chain_of(chat("Hi")).blocks


def test_tokens_follow_the_measured_ratio() -> None:
    ratio = TokenRatio(1.0)
    chainer, request = Chainer(OPUS, ratio), chat(system(rules()), "Hi")
    row = pieces(request, mid_system=True)
    before = chainer("acme", request, row)
    for _ in range(10):
        ratio.learn(estimated=before.estimated, counted=round(1.4 * before.estimated))
    after = chainer("acme", request, row)
    assert 1.3 < after.tokens / before.tokens < 1.42
    assert after.ends[-1] == after.tokens == sum(b.tokens for b in after.blocks)
    assert [b.key for b in after.blocks] == [b.key for b in before.blocks]


def test_a_ratio_starts_at_the_tokenizer_s_and_stays_within_reason() -> None:
    ratio = TokenRatio(1.3)
    assert ratio.value == 1.3
    ratio.learn(estimated=0, counted=100)
    ratio.learn(estimated=10, counted=1_000_000)
    assert ratio.value == 3.0


def test_images_and_documents_are_no_texts() -> None:
    file = {"type": "file", "file": {"file_data": "data:application/pdf;base64,aGk="}}
    chain = chain_of(chat({"role": "user", "content": [file, {"type": "text", "text": "Sum up."}]}))
    assert not chain.texts
    assert chain.blocks[0].tokens > 1_000
    assert chain_of(chat("Hi")).texts


def test_marking_copies_only_what_it_touches() -> None:
    request = chat(system("S"), "A", {"role": "assistant", "content": "B"}, "C", tools=[tool("x")])
    chain = chain_of(request)
    made = marked(request, chain, [Breakpoint(0, "1h"), Breakpoint(4, "5m")])
    assert request == chat(
        system("S"), "A", {"role": "assistant", "content": "B"}, "C", tools=[tool("x")]
    )
    assert [a is b for a, b in zip(made.messages, request.messages, strict=True)] == [
        True, True, True, False,
    ]  # fmt: skip
    assert made.messages[3].model_extra == {"cache_control": {"type": "ephemeral", "ttl": "5m"}}
    assert made.tools is not None
    assert made.tools[0].model_extra == {"cache_control": {"type": "ephemeral", "ttl": "1h"}}


def test_automatic_caching_is_a_breakpoint_at_the_end() -> None:
    automatic = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    assert chain_of(chat(system("S"), "A", **automatic)).own == (Breakpoint(1, "1h"),)
    assert chain_of(chat(system("S"), "A")).own == ()


def test_lone_surrogates_and_integers_of_any_length_have_keys() -> None:
    odd = tool("x", parameters={"type": "object", "properties": {}, "maximum": 2**80})
    assert len(chain_of(chat("\ud800", tools=[odd])).blocks) == 2
