"""`stepwell emulator`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from serving.backend import Backend
    from serving.settings.root import Settings


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
    seed: Annotated[int, typer.Option(help="Which requests fail.")] = 0,
) -> None:
    """Serve the emulator of Anthropic's API on its own, for a client or gateway under test.

    It answers for the models that CONFIG's tiers emulate. Everything it says is simulated.
    """
    import uvicorn  # noqa: PLC0415

    from deploy.paths import default_config  # noqa: PLC0415
    from deploy.ports import listen  # noqa: PLC0415
    from serving.hosted.emulator.app import create_emulator  # noqa: PLC0415
    from serving.settings.load import load_settings  # noqa: PLC0415

    config = config or default_config()
    models = _models(load_settings(config), config)
    try:
        app = create_emulator(models, faults=_faults(fault or []), seed=seed)
    except ValueError as wrong:
        raise typer.BadParameter(str(wrong), param_hint="--fault") from None
    with listen(host, port, hint="choose another with --port") as listener:
        port = listener.getsockname()[1]
        url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        typer.echo(f"Emulating {', '.join(models)} on {url} (simulated).")
        typer.echo(f"Use it with ANTHROPIC_BASE_URL={url} and any ANTHROPIC_API_KEY.")
        settings = uvicorn.Config(app, lifespan="off", log_config=None, server_header=False)
        uvicorn.Server(settings).run(sockets=[listener])


def _models(settings: "Settings", config: Path) -> "dict[str, Backend]":
    """Backends by model; of tiers with the same model, the first one's."""
    from serving.engines.mock.engine import MockBackend  # noqa: PLC0415
    from serving.errors import ConfigError  # noqa: PLC0415
    from serving.settings.tiers import AnthropicEngine  # noqa: PLC0415

    models: dict[str, Backend] = {}
    for tier in settings.tiers:
        engine = tier.backend
        if isinstance(engine, AnthropicEngine) and engine.emulated is not None:
            models.setdefault(tier.model, MockBackend(tier, engine.emulated))
    if not models:
        raise ConfigError(f"{config}: no tier has `base_url: emulator`")
    return models


def _faults(given: list[str]) -> dict[str, float]:
    shares = {}
    for text in given:
        kind, _, share = text.partition("=")
        try:
            shares[kind] = float(share)
        except ValueError:
            raise ValueError(f"{text!r} is not KIND=SHARE, such as 529=0.1") from None
        if not 0 <= shares[kind] <= 1:
            raise ValueError(f"{text!r}: a share is between 0 and 1")
    return shares
