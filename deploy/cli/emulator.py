"""`stepwell emulator`."""

from collections.abc import Callable
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from socket import socket
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import typer

if TYPE_CHECKING:
    from serving.backend import Backend
    from serving.hosted.emulator.app import Emulator
    from serving.hosted.emulator.billing.account import Account
    from serving.hosted.emulator.clock import Clock
    from serving.settings.emulator import EmulatorBatches
    from serving.settings.root import Settings
    from serving.settings.tiers import TierSettings

T = TypeVar("T")
ClockKind = Literal["real", "movable", "stopped"]


def emulator(
    config: Annotated[
        Path | None,
        typer.Argument(metavar="[CONFIG]", help="The packaged mock.yaml, if none is named."),
    ] = None,
    *,
    host: Annotated[str, typer.Option(help="Where it listens.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0 takes a free one.")] = 8089,
    fault: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND=SHARE", help="Fail this share of requests; may be repeated."),
    ] = None,
    batch: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="How batches go, such as requests_per_s=50."),
    ] = None,
    clock: Annotated[
        ClockKind,
        typer.Option(help="movable: POST /emulator/clock advances it. stopped: nothing else does."),
    ] = "real",
    spend_limit: Annotated[
        float | None, typer.Option(min=0, help="USD after which a key gets no more answers.")
    ] = None,
    keep_all: Annotated[
        bool, typer.Option("--keep-all", help="Keep every single bill, not the last 10,000.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Which requests fail.")] = 0,
) -> None:
    """Serve the emulator of Anthropic's API on its own, for a client or gateway under test.

    It answers for the models that CONFIG's tiers emulate. Everything it says is simulated. At the
    end it prints what it billed, which GET /emulator/account says at any time.
    """
    from deploy.paths import default_config  # noqa: PLC0415
    from serving.hosted.emulator.app import create_emulator  # noqa: PLC0415
    from serving.hosted.emulator.billing.account import KEPT  # noqa: PLC0415
    from serving.settings.load import load_settings  # noqa: PLC0415

    config = config or default_config()
    tiers = _tiers(load_settings(config), config)
    app = create_emulator(
        _backends(tiers),
        batch_answer=_backends(tiers, waits=False),
        faults=_asked("--fault", _faults, fault),
        batches=_asked("--batch", _batches, batch),
        seed=seed,
        clock=_clock(clock),
        spend_limit=None if spend_limit is None else Decimal(str(spend_limit)),
        keep_bills=None if keep_all else KEPT,
    )
    _serve(app, host, port, tuple(tiers))


def _serve(app: "Emulator", host: str, port: int, models: tuple[str, ...]) -> None:
    """Until a signal ends it; then says what was billed."""
    import uvicorn  # noqa: PLC0415

    from deploy.ports import listen  # noqa: PLC0415

    class Server(uvicorn.Server):
        """A signal ends the process once the server is down, so what is said is said here."""

        async def shutdown(self, sockets: list[socket] | None = None) -> None:
            await super().shutdown(sockets)
            typer.echo(_billed(app.account))

    with listen(host, port, hint="choose another with --port") as listener:
        port = listener.getsockname()[1]
        url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        typer.echo(f"Emulating {', '.join(models)} on {url} (simulated).")
        typer.echo(f"Use it with ANTHROPIC_BASE_URL={url} and any ANTHROPIC_API_KEY.")
        Server(uvicorn.Config(app, log_config=None, server_header=False)).run(sockets=[listener])


def _tiers(settings: "Settings", config: Path) -> "dict[str, TierSettings]":
    """Emulated tiers by model; of those with the same model, the first one."""
    from serving.errors import ConfigError  # noqa: PLC0415
    from serving.settings.tiers import AnthropicEngine  # noqa: PLC0415

    found: dict[str, TierSettings] = {}
    for tier in settings.tiers:
        if isinstance(tier.backend, AnthropicEngine) and tier.backend.emulated is not None:
            found.setdefault(tier.model, tier)
    if not found:
        raise ConfigError(f"{config}: no tier has `base_url: emulator`")
    return found


def _backends(tiers: "dict[str, TierSettings]", *, waits: bool = True) -> "dict[str, Backend]":
    """What answers for each model; without waits for requests of batches."""
    from serving.engines.mock.engine import MockBackend  # noqa: PLC0415
    from serving.settings.tiers import AnthropicEngine  # noqa: PLC0415

    found: dict[str, Backend] = {}
    for model, tier in tiers.items():
        assert isinstance(tier.backend, AnthropicEngine)
        engine = tier.backend.emulated
        assert engine is not None
        if not waits:
            engine = engine.model_copy(update={"time_scale": 0.0})
        found[model] = MockBackend(tier, engine)
    return found


def _asked(option: str, read: Callable[[list[str]], T], given: list[str] | None) -> T:
    try:
        return read(given or [])
    except ValueError as wrong:
        raise typer.BadParameter(str(wrong), param_hint=option) from None


def _clock(kind: ClockKind) -> "Clock":
    from serving.hosted.emulator.clock import Clock  # noqa: PLC0415

    return Clock(movable=kind != "real", running=kind != "stopped")


def _faults(given: list[str]) -> dict[str, float]:
    from serving.hosted.emulator.faults import Faults  # noqa: PLC0415

    shares = _named(given, "529=0.1")
    Faults(shares, seed=0)  # says what is wrong with them
    return shares


def _batches(given: list[str]) -> "EmulatorBatches":
    from serving.settings.emulator import EmulatorBatches  # noqa: PLC0415

    return EmulatorBatches.model_validate(_named(given, "requests_per_s=50"))


def _named(given: list[str], example: str) -> dict[str, float]:
    found = {}
    for text in given:
        name, _, value = text.partition("=")
        try:
            found[name] = float(value)
        except ValueError:
            raise ValueError(f"{text!r} is not of the form {example}") from None
    return found


def _billed(account: "Account") -> str:
    """The account as lines of text."""
    lines = [f"Billed {account.total().requests} requests, {account.total().usd:f} USD (simulated)"]
    for line, part in account.lines():
        kind = " batch" if line.batch else ""
        tokens = ", ".join(f"{name} {count}" for name, count in asdict(part.tokens).items())
        lines.append(
            f"  {line.workspace} {line.model}{kind} {line.inference_geo} {line.outcome}:"
            f" {part.requests} requests, {tokens}, {part.usd:f} USD"
        )
    return "\n".join(lines)
