"""`stepwell check`."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy.cli.console import output, print_json
from deploy.cli.given import AsJson

if TYPE_CHECKING:
    from deploy.cli.check_memory import TierMemory
    from deploy.cli.check_money import Compared
    from deploy.cli.findings import Finding, Surroundings
    from deploy.cli.resolved import Resolved
    from serving.costs.breakeven import Mix
    from serving.engines.vllm.sizing import Host
    from serving.errors import ConfigError
    from serving.settings.root import Settings

# About the means of conversations in published traces of production traffic.
PROMPT_TOKENS = 1_200
COMPLETION_TOKENS = 200


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line says: the typical request, the utilisation of local tiers in place of
    their own, and whether the configuration is for another host.
    """

    prompt_tokens: int = PROMPT_TOKENS
    completion_tokens: int = COMPLETION_TOKENS
    utilisation: float | None = None
    elsewhere: bool = False


@dataclass(frozen=True, slots=True)
class Examined:
    """What a configuration amounts to: its tiers, the memory of those on vLLM, local tiers against
    hosted models, and what there is to say.
    """

    resolved: "Resolved"
    memory: "tuple[TierMemory, ...]"
    money: "tuple[Compared, ...]"
    mix: "Mix"
    findings: "tuple[Finding, ...]"
    elsewhere: bool

    @property
    def works(self) -> bool:
        return not any(f.level == "error" for f in self.findings)


def check(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="A YAML configuration.")],
    *,
    elsewhere: Annotated[
        bool,
        typer.Option("--elsewhere", help="It is for another host: forgive what this one lacks."),
    ] = False,
    prompt_tokens: Annotated[
        int, typer.Option(min=1, help="Of the typical request, for memory and money.")
    ] = PROMPT_TOKENS,
    completion_tokens: Annotated[int, typer.Option(min=1)] = COMPLETION_TOKENS,
    utilisation: Annotated[
        float | None,
        typer.Option(min=0.001, max=1, help="Of local tiers; default: as they say."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print the resolved tiers and prices, what fits the GPUs, and what is off and why.

    Exits with 0 where the configuration can serve, 1 where something can't work here, 2 where the
    file is invalid.
    """
    from deploy.cli.check_show import show  # noqa: PLC0415
    from serving.settings.load import load_settings  # noqa: PLC0415

    asked = Asked(prompt_tokens, completion_tokens, utilisation, elsewhere)
    found = examine(load_settings(config), asked)
    if as_json:
        print_json(_json(config, found))
    else:
        show(output(), str(config), found)
    raise typer.Exit(0 if found.works else 1)


def examine(settings: "Settings", asked: Asked) -> Examined:
    """What the configuration amounts to on this host. `ConfigError` for a bad rate card or
    validator.
    """
    from deploy.cli.check_memory import memory_findings, memory_of  # noqa: PLC0415
    from deploy.cli.check_money import compared, money_findings  # noqa: PLC0415
    from deploy.cli.findings import collect  # noqa: PLC0415
    from deploy.cli.resolved import resolve  # noqa: PLC0415
    from router.validators.configured import check_tasks  # noqa: PLC0415
    from serving.costs.breakeven import Mix  # noqa: PLC0415
    from serving.costs.rate_card import RateCard, tier_price  # noqa: PLC0415

    check_tasks(settings)
    card = RateCard.load(Path(settings.rates) if settings.rates else None)
    prices = {tier.name: tier_price(tier, card) for tier in settings.tiers}
    url, backend = _storage(settings)
    host, mix = _host(asked), Mix(asked.prompt_tokens, asked.completion_tokens)
    money = compared(settings, prices, card, mix, asked.utilisation)
    findings = [
        *collect(settings, prices, _surroundings(backend, asked)),
        *memory_findings(settings, host),
        *money_findings(money),
    ]
    return Examined(
        resolved=resolve(settings, prices, url),
        memory=memory_of(settings, host, mix),
        money=money,
        mix=mix,
        findings=tuple(findings),
        elsewhere=asked.elsewhere,
    )


def _host(asked: Asked) -> "Host":
    from deploy.cli.hardware import this_host  # noqa: PLC0415
    from serving.engines.vllm.sizing import Host  # noqa: PLC0415

    return Host() if asked.elsewhere else this_host()


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


def _surroundings(storage: "str | ConfigError", asked: Asked) -> "Surroundings":
    import importlib.util  # noqa: PLC0415
    import shutil  # noqa: PLC0415

    from deploy.cli.findings import Surroundings  # noqa: PLC0415
    from serving.settings.secrets import read_secret  # noqa: PLC0415

    return Surroundings(
        installed=lambda module: importlib.util.find_spec(module) is not None,
        secret=read_secret,
        gpu=shutil.which("nvidia-smi") is not None or Path("/dev/nvidia0").exists(),
        storage=storage,
        elsewhere=asked.elsewhere,
    )


def _json(config: Path, found: Examined) -> dict[str, Any]:
    from dataclasses import asdict  # noqa: PLC0415

    return {
        "config": str(config),
        "ok": found.works,
        **asdict(found.resolved),
        "memory": [asdict(tier) for tier in found.memory],
        "local_or_hosted": [_comparison(each) for each in found.money],
        "findings": [asdict(f) for f in found.findings],
    }


def _comparison(found: "Compared") -> dict[str, Any]:
    """Money as decimal strings, to the picodollar."""
    from dataclasses import asdict  # noqa: PLC0415

    figures = {
        name: format(round(value, 12).normalize(), "f")
        for name, value in asdict(found.figures).items()
    }
    plain = {"tier": found.tier, "hosted": found.hosted, **asdict(found.mix), **figures}
    return plain | {"undercut": found.figures.undercut}
