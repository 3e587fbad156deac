"""`stepwell check`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy.cli.console import output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deploy.cli.findings import Finding, Surroundings
    from deploy.cli.resolved import Resolved
    from serving.errors import ConfigError
    from serving.settings.root import Settings


def check(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="A YAML configuration.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print the resolved tiers and prices, and what is off and why.

    Exits with 0 where the configuration can serve, 1 where something can't work here, 2 where the
    file is invalid.
    """
    import orjson  # noqa: PLC0415

    from deploy.cli.check_show import show  # noqa: PLC0415
    from serving.settings.load import load_settings  # noqa: PLC0415

    resolved, findings = examine(load_settings(config))
    works = not any(f.level == "error" for f in findings)
    if as_json:
        figures = _json(config, resolved, findings)
        typer.echo(orjson.dumps(figures, option=orjson.OPT_INDENT_2).decode())
    else:
        show(output(), str(config), resolved, findings)
    raise typer.Exit(0 if works else 1)


def examine(settings: "Settings") -> tuple["Resolved", "tuple[Finding, ...]"]:
    """What the configuration amounts to on this host. `ConfigError` for a bad rate card or
    validator.
    """
    from deploy.cli.findings import collect  # noqa: PLC0415
    from deploy.cli.resolved import resolve  # noqa: PLC0415
    from router.validators.configured import check_tasks  # noqa: PLC0415
    from serving.costs.rate_card import RateCard, tier_price  # noqa: PLC0415

    check_tasks(settings)
    card = RateCard.load(Path(settings.rates) if settings.rates else None)
    prices = {tier.name: tier_price(tier, card) for tier in settings.tiers}
    url, backend = _storage(settings)
    return resolve(settings, prices, url), collect(settings, prices, _surroundings(backend))


def _storage(settings: "Settings") -> tuple[str | None, "str | ConfigError"]:
    """The database's URL without its secrets and the name of its kind, or what is wrong."""
    from deploy.paths import database_url  # noqa: PLC0415
    from serving.errors import ConfigError  # noqa: PLC0415
    from serving.storage.url import parse, shown  # noqa: PLC0415

    try:
        url = parse(database_url(settings))
    except ConfigError as wrong:
        return None, wrong
    backend = url.get_backend_name()
    secret = [name for name in url.query if "pass" in name.lower() or "key" in name.lower()]
    url = url.set(drivername=backend).update_query_dict(dict.fromkeys(secret, "***"))
    return shown(url), backend


def _surroundings(storage: "str | ConfigError") -> "Surroundings":
    import importlib.util  # noqa: PLC0415
    import shutil  # noqa: PLC0415

    from deploy.cli.findings import Surroundings  # noqa: PLC0415
    from serving.settings.secrets import read_secret  # noqa: PLC0415

    return Surroundings(
        installed=lambda module: importlib.util.find_spec(module) is not None,
        secret=read_secret,
        gpu=shutil.which("nvidia-smi") is not None or Path("/dev/nvidia0").exists(),
        storage=storage,
    )


def _json(config: Path, resolved: "Resolved", findings: "Sequence[Finding]") -> dict[str, Any]:
    from dataclasses import asdict  # noqa: PLC0415

    return {
        "config": str(config),
        "ok": not any(f.level == "error" for f in findings),
        **asdict(resolved),
        "findings": [asdict(f) for f in findings],
    }
