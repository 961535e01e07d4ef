"""The child program that serves one GGUF file over llama.cpp's own HTTP server.

    python -m vivavoce.engines.llm.llama_server --model model.gguf --api-key-env NAME

It listens on 127.0.0.1 only, prints one JSON line, `{"address": "http://127.0.0.1:PORT"}` or
`{"error": "…"}`, and ends when its standard input does: so it cannot outlive its parent, however
that one dies. SIGTERM ends it too; SIGINT is the parent's business (Ctrl-C reaches both).
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PROMPT_BATCH = 32
"""Tokens of a prompt that are read between two looks at whether the client is still there."""


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until standard input ends; 1 when the model cannot be loaded."""
    arguments = parse(argv)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    announce = _private_stdout()
    os.nice(arguments.nice)
    # Waiting threads sleep instead of spinning: speech shares these cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        server = serve(arguments, os.environ.pop(arguments.api_key_env))
    except (KeyError, RuntimeError, ValueError, OSError) as error:
        announce({"error": f"cannot serve {arguments.model}: {error!r}"})
        return 1
    announce({"address": server.listening_address})
    while os.read(0, 4096):
        pass
    # Not `return`: C++ destructors would wait for a reply that nobody reads any more.
    os._exit(0)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="llama_server", description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--slots", type=int, default=4, help="conversations at once")
    parser.add_argument("--context", type=int, default=8192, help="tokens, shared by the slots")
    parser.add_argument("--cache-ram-mib", type=int, default=32, help="for prompts put aside")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--nice", type=int, default=0, help="added to its niceness")
    parser.add_argument("--api-key-env", required=True, metavar="NAME")
    return parser.parse_args(argv)


def serve(arguments: argparse.Namespace, api_key: str) -> Any:
    """Load the model and start the server; returns when it listens."""
    import xllamacpp

    if not arguments.model.is_file():
        raise FileNotFoundError("there is no such file")
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(arguments.model)
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = arguments.port
    parameters.api_keys = [api_key]
    parameters.n_parallel = arguments.slots
    parameters.n_ctx = arguments.context
    # One pool: a long conversation may take what short ones leave.
    parameters.kv_unified = True
    parameters.n_batch = parameters.n_ubatch = PROMPT_BATCH
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = arguments.threads
    parameters.cache_ram_mib = arguments.cache_ram_mib
    parameters.n_threads_http = 4
    parameters.verbosity = 0
    parameters.ui = False
    return xllamacpp.Server(parameters)


def _private_stdout() -> Any:
    """Keep stdout for our line alone: whatever C++ prints there goes to stderr instead."""
    private = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def announce(message: dict[str, str]) -> None:
        print(json.dumps(message), file=private, flush=True)

    return announce


if __name__ == "__main__":
    sys.exit(main())
