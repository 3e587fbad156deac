"""What a tier on vLLM can honour."""

from serving.backend import Ability
from serving.settings.tiers import TierSettings
from serving.settings.vllm import VllmEngine

PARAMS = frozenset(
    {
        "add_generation_prompt",
        "allowed_token_ids",
        "bad_words",
        "chat_template_kwargs",
        "continue_final_message",
        "documents",
        "frequency_penalty",
        "ignore_eos",
        "include_reasoning",
        "include_stop_str_in_output",
        "length_penalty",
        "logit_bias",
        "max_completion_tokens",
        "max_tokens",
        "min_p",
        "min_tokens",
        "n",
        "parallel_tool_calls",
        "presence_penalty",
        "reasoning_effort",
        "repetition_penalty",
        "response_format",
        "seed",
        "skip_special_tokens",
        "spaces_between_special_tokens",
        "stop",
        "stop_token_ids",
        "stream_options",
        "temperature",
        "thinking_token_budget",
        "top_k",
        "top_p",
        "truncate_prompt_tokens",
    }
)
"""What reaches vLLM. Left out on purpose: what one client could do to others or to the server
(`priority`, `cache_salt`, `chat_template`, `mm_processor_kwargs`, `kv_transfer_params`, grammars of
`structured_outputs`), and what an answer here has no room for (token ids, prompt logprobs, `echo`).
"""


def vllm_ability(tier: TierSettings) -> Ability:
    engine = tier.backend
    assert isinstance(engine, VllmEngine)
    return Ability(
        params=PARAMS,
        tools=engine.tool_parser is not None,
        forced_tool_choice=True,
        images=engine.images,
        json_schema=True,
        logprobs=True,
        multiple_choices=True,
        context_tokens=tier.context_tokens,
    )
