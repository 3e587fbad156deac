"""A tier: model + effort + output policy + price. The same model may stand twice."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from serving.settings.base import EnvName, Frozen, Name, Seconds, Share, Usd
from serving.settings.emulator import EmulatorBatches, EmulatorFault
from serving.settings.local import LocalEngine
from serving.settings.prompt_cache import PromptCacheSettings
from serving.settings.vllm import VllmEngine


class OutputPolicy(Frozen):
    """What the tier may write. `max_tokens` caps each answer, thinking excluded."""

    max_tokens: int = Field(default=4_096, ge=1, le=1_000_000)
    concise: bool = False
    instruction: str = Field(
        default="Answer concisely: no preamble, no repetition of the question.", max_length=2_000
    )


class CardPrice(Frozen):
    """The dated price of `model` (default: the tier's own) in the rate card."""

    kind: Literal["card"] = "card"
    model: str | None = None
    geo_us: bool = False


class TokenPrice(Frozen):
    """A price per million tokens, in USD; missing cache prices equal the input price."""

    kind: Literal["tokens"]
    input_per_mtok: Usd
    output_per_mtok: Usd
    cache_read_per_mtok: Usd | None = None
    cache_write_per_mtok: Usd | None = None


class GpuPrice(Frozen):
    """A price per GPU-hour. The marginal cost of an attempt is its share of a busy GPU:
    `(prompt / prefill_tokens_per_s + completion / decode_tokens_per_s) / 3600 * gpus * gpu_hour`,
    throughputs being those of the whole tier at full batch. The capacity cost, idle included,
    is `gpus * gpu_hour * hours`. `utilisation` is the share of time that you expect the tier to
    work at full batch; `stepwell check` compares it with hosted models at it, nothing else uses it.
    """

    kind: Literal["gpu"]
    gpu_hour: Usd
    gpus: int = Field(default=1, ge=1)
    prefill_tokens_per_s: float = Field(gt=0)
    decode_tokens_per_s: float = Field(gt=0)
    utilisation: float = Field(default=0.3, gt=0, le=1)


PriceSettings = Annotated[CardPrice | TokenPrice | GpuPrice, Field(discriminator="kind")]


class GateSettings(Frozen):
    """Thresholds on token logprobs (natural log; 0 is certain). An answer passes when its mean is
    at least `min_mean` and the mean of its least sure window of `window` tokens at least
    `min_window`. A stream is judged once `prefix_tokens` have arrived: it commits at
    `commit_mean`, aborts below `abort_mean`, and else waits for more until `prefix_max_tokens`.
    `calibrated` says that these numbers were fitted on this tier's own outcomes.
    """

    min_mean: float = Field(default=-0.6, le=0)
    min_window: float = Field(default=-1.5, le=0)
    window: int = Field(default=8, ge=1, le=256)
    prefix_tokens: int = Field(default=16, ge=1, le=1_024)
    prefix_max_tokens: int = Field(default=64, ge=1, le=4_096)
    commit_mean: float = Field(default=-0.4, le=0)
    abort_mean: float = Field(default=-0.9, le=0)
    calibrated: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> "GateSettings":
        if self.abort_mean > self.commit_mean:
            raise ValueError("abort_mean must not exceed commit_mean")
        if self.prefix_max_tokens < self.prefix_tokens:
            raise ValueError("prefix_max_tokens must not be below prefix_tokens")
        return self


class MockFaults(Frozen):
    """Shares of requests on which the mock misbehaves; drawn per request from the seed."""

    error: Share = 0.0
    garbage: Share = 0.0
    refuse: Share = 0.0
    truncate: Share = 0.0
    repeat: Share = 0.0
    hang: Share = 0.0

    @model_validator(mode="after")
    def _sum(self) -> "MockFaults":
        if sum(self.model_dump().values()) > 1:
            raise ValueError("the shares of all faults must not exceed 1 together")
        return self


class MockEngine(Frozen):
    """A simulated model. `ability` is its skill on the scale of difficulties (a request of
    difficulty equal to it is answered correctly half the time); `task_ability` replaces it per
    task. `signal` in [0, 1] is how well its token logprobs tell right answers from wrong ones. An
    embedder's vectors have `dimensions`.
    """

    engine: Literal["mock"]
    ability: float = 0.0
    task_ability: dict[Name, float] = Field(default_factory=dict)
    discrimination: float = Field(default=1.7, gt=0)
    signal: Share = 0.7
    ttft_ms: float = Field(default=20.0, ge=0)
    tokens_per_s: float = Field(default=200.0, gt=0)
    jitter: Share = 0.2
    time_scale: float = Field(default=1.0, ge=0, description="0 answers without any wait")
    seed: int = 0
    logprobs: bool = True
    dimensions: int = Field(default=256, ge=8, le=4_096)
    faults: MockFaults = MockFaults()


class AnthropicEngine(Frozen):
    """Claude through the `anthropic` SDK. `base_url: emulator` starts the built-in emulator, whose
    answers come from the mock engine described by `emulated`; `emulator_faults` are shares of its
    requests that go wrong, `emulator_batches` says how it works off batches.
    """

    engine: Literal["anthropic"]
    base_url: str | None = None
    api_key_env: EnvName = "ANTHROPIC_API_KEY"
    api_key_file: str | None = None
    emulated: MockEngine | None = None
    emulator_faults: dict[EmulatorFault, Share] = Field(default_factory=dict)
    emulator_batches: EmulatorBatches = EmulatorBatches()
    prompt_cache: PromptCacheSettings = PromptCacheSettings()

    @model_validator(mode="after")
    def _emulated(self) -> "AnthropicEngine":
        if (self.base_url == "emulator") != (self.emulated is not None):
            raise ValueError("`emulated` is given with `base_url: emulator`, and only with it")
        if sum(self.emulator_faults.values()) > 1:
            raise ValueError("the shares of all faults must not exceed 1 together")
        return self


class OpenAIEngine(Frozen):
    """Any OpenAI-compatible server, by URL (with its `/v1`). `params` lists the request parameters
    it honours; null passes all of them, known or not. `tokenize`: beside its `/v1` stand vLLM's
    `/tokenize` and `/detokenize`. `batches`: it has OpenAI's `/v1/files` and `/v1/batches`.
    """

    engine: Literal["openai"]
    base_url: str
    api_key_env: EnvName | None = None
    api_key_file: str | None = None
    params: tuple[str, ...] | None = None
    logprobs: bool = False
    logprobs_top: int = Field(default=0, ge=0, le=20)
    tools: bool = True
    images: bool = False
    json_schema: bool = True
    multiple_choices: bool = False
    max_tokens_param: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    tokenize: bool = False
    batches: bool = False


EngineSettings = Annotated[
    MockEngine | VllmEngine | AnthropicEngine | OpenAIEngine | LocalEngine,
    Field(discriminator="engine"),
]


class BreakerSettings(Frozen):
    """A tier that fails `faults` times in a row (transport faults and timeouts; neither refusals
    nor bad answers) is left alone for `reset_s`, then one call tries it again.
    """

    faults: int = Field(default=5, ge=1, le=1_000)
    reset_s: Seconds = 10.0


class TierLimits(Frozen):
    """How much a tier is asked at once, in each process that calls it. At most `max_concurrent`
    calls run (null: 256, 64 at a hosted tier, and twice vLLM's `max_num_seqs`, so that its
    scheduler has some to choose from); `max_queued` more wait for up to
    `queue_timeout_s`, and what comes on top is refused at once. An `adaptive` limit (null: at
    hosted tiers) starts at `start_concurrent` and moves between `min_concurrent` and
    `max_concurrent` with what the tier takes. `breaker: null` never gives a tier up.
    """

    max_concurrent: int | None = Field(default=None, ge=1, le=100_000)
    max_queued: int = Field(default=512, ge=0, le=100_000)
    queue_timeout_s: Seconds = 5.0
    adaptive: bool | None = None
    min_concurrent: int = Field(default=4, ge=1, le=100_000)
    start_concurrent: int = Field(default=16, ge=1, le=100_000)
    breaker: BreakerSettings | None = BreakerSettings()


class TierSettings(Frozen):
    """One rung. Tiers stand in the config cheapest first; the order is the cascade's."""

    name: Name
    model: str = Field(min_length=1, max_length=200)
    effort: Literal["none", "low", "medium", "high", "xhigh", "max"] | None = None
    backend: EngineSettings
    price: PriceSettings = CardPrice()
    output: OutputPolicy = OutputPolicy()
    gate: GateSettings | None = None
    deadline_s: Seconds = 60.0
    replicas: int = Field(default=1, ge=1, le=64, description="of a local tier, on Ray")
    retries: int = Field(default=1, ge=0, le=5, description="on transport faults only")
    context_tokens: int = Field(default=32_768, ge=256)
    on_unsupported: Literal["drop", "refuse"] = "drop"
    limits: TierLimits = TierLimits()

    @property
    def simulated(self) -> bool:
        """True where answers come from the mock engine, directly or through the emulator."""
        backend = self.backend
        return isinstance(backend, MockEngine) or (
            isinstance(backend, AnthropicEngine) and backend.emulated is not None
        )

    @property
    def hosted(self) -> bool:
        """True where a call is billed by someone else: an intent is stored before it leaves."""
        return isinstance(self.backend, AnthropicEngine) or (
            isinstance(self.backend, OpenAIEngine) and not isinstance(self.price, GpuPrice)
        )

    @property
    def max_concurrent(self) -> int:
        """The calls that may run at once in one process."""
        if self.limits.max_concurrent is not None:
            return self.limits.max_concurrent
        if isinstance(self.backend, VllmEngine):
            return 2 * self.backend.max_num_seqs
        return 64 if self.hosted else 256

    @property
    def most_replicas(self) -> int:
        """The replicas that there may be at once, on Ray."""
        scaling = self.backend.autoscaling if isinstance(self.backend, VllmEngine) else None
        return self.replicas if scaling is None else scaling.max_replicas

    @property
    def adaptive(self) -> bool:
        """True where the number of calls at once follows what the tier takes."""
        return self.hosted if self.limits.adaptive is None else self.limits.adaptive
