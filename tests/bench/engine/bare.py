"""vLLM's own server with the arguments of a tier: `python -m tests.bench.engine.bare`."""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from serving.engines.vllm.llm_config import llm_config
from serving.settings.load import load_settings


def main() -> None:
    """Becomes vLLM's server."""
    parser = argparse.ArgumentParser()
    parser.add_argument("config", type=Path)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    tier = load_settings(options.config).tiers[0]
    config = llm_config(tier)
    loading = config["model_loading_config"]
    os.environ.update(config["runtime_env"]["env_vars"])
    arguments = [
        "--model",
        loading.get("model_source", tier.model),
        "--served-model-name",
        tier.model,
        "--host",
        "127.0.0.1",
        "--port",
        str(options.port),
        "--disable-uvicorn-access-log",
    ]
    for name, value in config["engine_kwargs"].items():
        arguments += _flag(name, value)
    # Not by the `vllm` command, which does not start from the CPU build's package.
    python = sys.executable
    os.execv(python, [python, "-m", "vllm.entrypoints.openai.api_server", *arguments])


def _flag(name: str, value: Any) -> list[str]:
    flag = f"--{name.replace('_', '-')}"
    if value is True:
        return [flag]
    if value is False:
        return [f"--no-{flag[2:]}"]
    return [flag, json.dumps(value) if isinstance(value, dict | list) else str(value)]


if __name__ == "__main__":
    main()
