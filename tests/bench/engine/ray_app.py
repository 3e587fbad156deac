"""Ray's own OpenAI app on the flags that Stepwell uses: `python -m tests.bench.engine.ray_app`."""

import argparse
import os
import signal
import threading
from importlib import import_module
from pathlib import Path

from deploy.ray.own import own_flags
from deploy.ray.run import FLAGS
from serving.engines.vllm.llm_config import llm_config
from serving.settings.load import load_settings


def main() -> None:
    """Serves the first tier of a Stepwell configuration until it is told to stop."""
    parser = argparse.ArgumentParser()
    parser.add_argument("config", type=Path)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    with own_flags() as flags:
        os.environ.update({**FLAGS, **flags})
        _serve(options)


def _serve(options: argparse.Namespace) -> None:
    ray, serve, llm = (import_module(name) for name in ("ray", "ray.serve", "ray.serve.llm"))

    tier = load_settings(options.config).tiers[0]
    config = llm_config(tier)
    config["deployment_config"] |= {"num_replicas": tier.replicas, "max_ongoing_requests": 1_000}
    ray.init(address="local", include_dashboard=False, log_to_driver=False)
    quiet = {"enable_access_log": False, "log_level": "WARNING"}
    serve.start(
        http_options={"host": "127.0.0.1", "port": options.port},
        logging_config=quiet,
    )
    ingress = {"num_replicas": 1, "max_ongoing_requests": 1_000, "logging_config": quiet}
    ingress["autoscaling_config"] = None
    app = llm.build_openai_app(
        {"llm_configs": [llm.LLMConfig(**config)], "ingress_deployment_config": ingress}
    )
    serve.run(app)
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    stopped.wait()
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main()
