"""`python -m k8s.check`: renders every overlay and looks at what came out. Needs no cluster."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from k8s.checks import builtin, custom, generated, metrics, placement, references, rules, serve
from k8s.checks.build import NotBuilt, build, overlays
from k8s.checks.exported import exported
from k8s.checks.findings import Finding, Manifest, Skipped
from serving.settings.root import LogSettings
from serving.telemetry.logs import configure

_exported = cache(exported)


@dataclass
class Report:
    """What was looked at: how often each check was made, what it found, what was skipped, why."""

    made: int = 0
    found: list[Finding] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)


def checks() -> dict[str, Callable[[list[Manifest]], list[Finding]]]:
    """Checks of a rendered overlay by their names."""
    return {
        builtin.CHECK: builtin.check,
        custom.CHECK: custom.check,
        references.CHECK: references.check,
        serve.CHECK: serve.check,
        placement.CHECK: placement.check,
        metrics.CHECK: lambda manifests: metrics.check(manifests, _exported),
        rules.CHECK: rules.check,
    }


def examine(manifests: list[Manifest], report: Report) -> None:
    """All checks of one rendered overlay."""
    for name, check in checks().items():
        try:
            report.found += check(manifests)
            report.made += 1
        except Skipped as why:
            report.skipped[name] = str(why)


def run(folders: list[Path]) -> Report:
    """Every overlay, rendered and examined."""
    report = Report()
    for folder in folders:
        report.found += generated.check(folder)
        report.made += 1
        try:
            manifests = build(folder)
        except Skipped as why:
            report.skipped["build"] = str(why)
        except NotBuilt as wrong:
            report.found.append(Finding("build", folder.name, str(wrong)))
        else:
            print(f"{folder.name}: {len(manifests)} objects")  # noqa: T201 - a command
            examine(manifests, report)
    return report


def main() -> int:
    """0 where nothing was found, though some may have been skipped; else 1."""
    configure(LogSettings(level="warning", format="console"))
    report = run(overlays())
    for name, why in sorted(report.skipped.items()):
        print(f"skipped {name}: {why}")  # noqa: T201
    for finding in report.found:
        print(finding, file=sys.stderr)  # noqa: T201
    said = "nothing wrong" if not report.found else f"{len(report.found)} findings"
    print(f"{report.made} checks made, {said}")  # noqa: T201
    return 1 if report.found else 0


if __name__ == "__main__":
    sys.exit(main())
