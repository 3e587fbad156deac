"""A stream of vLLM as chunks, without a detour over server-sent events: what the engine gives in
one step becomes one chunk, its logprobs beside it.

`ChunkSource` stands in for the generator of vLLM's chat endpoint that writes events, so templates,
tools, structured outputs, adapters and priorities stay vLLM's own.
"""

import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

from serving.engines.vllm import convert
from serving.errors import TierUnavailable
from serving.wire.completion import Chunk, ToolCallPart, Usage


@dataclass(slots=True)
class _ChoiceState:
    """How far one choice has come. `parser` finds tool calls and reasoning in the text."""

    parser: Any
    tokens: int = 0
    token_ids: list[int] = field(default_factory=list)
    called: bool = False
    finished: bool = False


@dataclass(slots=True)
class _Counts:
    prompt: int = 0
    cached: int = 0


class ChunkSource:
    """`serving` is vLLM's `OpenAIServingChat`; an instance replaces its
    `chat_completion_stream_generator`.
    """

    def __init__(self, serving: Any, tier: str) -> None:
        self._serving = serving
        self._tier = tier

    async def __call__(  # noqa: PLR0917 - as vLLM calls it
        self,
        request: Any,
        results: Any,
        request_id: str,
        model: str,
        _conversation: Any,
        tokenizer: Any,
        _metadata: Any,
        chat_template_kwargs: dict[str, Any] | None = None,
        **_unused: Any,
    ) -> AsyncGenerator[Chunk, None]:
        """Each choice's opening chunk, its pieces, and one chunk with the usage."""
        head = Chunk(request_id, int(time.time()), model)
        states = [
            _ChoiceState(self._parser(request, tokenizer, chat_template_kwargs))
            for _ in range(request.n or 1)
        ]
        counts: _Counts | None = None
        async with aclosing(results) as outputs:
            async for result in outputs:
                if counts is None:
                    counts = _Counts(
                        len(result.prompt_token_ids or ()), result.num_cached_tokens or 0
                    )
                    for index in range(len(states)):
                        yield replace(head, index=index, role="assistant", content="")
                for output in result.outputs:
                    for chunk in self._pieces(request, result, output, states[output.index]):
                        yield replace(chunk, id=head.id, created=head.created, model=model)
        yield replace(head, usage=_usage(counts or _Counts(), states))

    def _parser(self, request: Any, tokenizer: Any, kwargs: dict[str, Any] | None) -> Any:
        serving = self._serving
        if serving.parser_cls is None:
            return None
        return serving.parser_cls(
            tokenizer,
            request.tools,
            chat_template_kwargs=kwargs,
            model_config=serving.model_config,
        )

    def _pieces(
        self, request: Any, result: Any, output: Any, state: _ChoiceState
    ) -> Iterator[Chunk]:
        """At most one chunk: none where nothing can be said yet, such as half of a tool call."""
        ids = output.token_ids
        if state.finished or (not output.text and not ids and not state.tokens):
            return
        if output.finish_reason in {"error", "abort"}:
            raise TierUnavailable(f"tier {self._tier}: the engine gave the request up")
        state.tokens += len(ids)
        chunk = Chunk("", 0, "", index=output.index)
        if state.parser is None:
            chunk = replace(chunk, content=output.text or None)
        else:
            chunk = replace(chunk, **self._parsed(request, result, output, state))
        if request.logprobs and output.logprobs is not None and not self._hidden(request, state):
            found = convert.logprobs(ids, output.logprobs, request.top_logprobs or 0)
            chunk = replace(chunk, logprobs=found)
        if output.finish_reason is not None:
            state.finished = True
            named = not isinstance(request.tool_choice, str | None)
            said = "tool_calls" if state.called and not named else output.finish_reason
            chunk = replace(chunk, finish_reason=convert.finish_reason(said))
        if chunk != Chunk("", 0, "", index=output.index):
            yield chunk

    def _hidden(self, request: Any, state: _ChoiceState) -> bool:
        """Logprobs would show the reasoning that the client does not want."""
        return state.parser is not None and not request.include_reasoning

    def _parsed(
        self, request: Any, result: Any, output: Any, state: _ChoiceState
    ) -> dict[str, Any]:
        ids = list(output.token_ids)
        state.token_ids += ids
        delta = state.parser.parse_delta(
            delta_text=output.text,
            delta_token_ids=ids,
            request=request,
            prompt_token_ids=result.prompt_token_ids,
            finished=output.finish_reason is not None,
        )
        if delta is None:
            return {}
        calls = tuple(
            _call(c)
            for c in delta.tool_calls or ()
            if c.index == 0 or request.parallel_tool_calls is not False
        )
        state.called = state.called or bool(calls)
        return {
            "content": delta.content or None,
            "reasoning": (delta.reasoning or None) if request.include_reasoning else None,
            "tool_calls": calls,
        }


def _call(delta: Any) -> ToolCallPart:
    function = delta.function
    if function is None:
        return ToolCallPart(delta.index, delta.id)
    return ToolCallPart(delta.index, delta.id, function.name, function.arguments or "")


def _usage(counts: _Counts, states: list[_ChoiceState]) -> Usage:
    reasoning = sum(
        state.parser.count_reasoning_tokens(tuple(state.token_ids))
        for state in states
        if state.parser is not None
    )
    return Usage(
        prompt_tokens=counts.prompt,
        completion_tokens=sum(state.tokens for state in states),
        cached_tokens=counts.cached,
        reasoning_tokens=reasoning,
    )
