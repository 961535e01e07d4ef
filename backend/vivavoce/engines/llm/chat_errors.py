"""What went wrong with a chat server, said so that an operator knows what to check.

Nothing here repeats what a server wrote except its short error code: error bodies quote prompts.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import openai

from vivavoce.errors import (
    ConfigurationError,
    EngineFailure,
    EngineTimeout,
    Overloaded,
    VivavoceError,
)

MALFORMED = (ValueError, TypeError, AttributeError)
"""What reading a reply that is no stream of chat completions raises (bad JSON, bad shapes)."""


def public_url(base_url: str) -> str:
    """The URL without credentials and query, fit for messages."""
    parts = urlsplit(base_url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}{parts.path}"


def explain(error: openai.APIError, *, url: str, model: str, streaming: bool) -> VivavoceError:
    """Ours for an error of the openai client. streaming: whether the reply had begun."""
    server = f"the chat server at {url}"
    if isinstance(error, openai.APITimeoutError):
        return EngineTimeout(f"{server} did not answer in time")
    if isinstance(error, openai.APIConnectionError):
        if streaming:
            return EngineFailure(f"{server} dropped the connection in the middle of a reply")
        return EngineFailure(
            f"cannot reach {server}: check that it runs and that VIVAVOCE_LLM_BASE_URL is right"
        )
    if isinstance(error, openai.APIStatusError):
        return _refusal(error, server, model)
    return EngineFailure(f"{server} reported an error in the middle of a reply{_code(error)}")


def malformed(url: str) -> EngineFailure:
    return EngineFailure(
        f"the chat server at {url} sent something that is not a stream of chat completions: "
        "check that VIVAVOCE_LLM_BASE_URL names an OpenAI-compatible API (it often ends in /v1)"
    )


def _refusal(error: openai.APIStatusError, server: str, model: str) -> VivavoceError:
    status = error.status_code
    said = f"{status}{_code(error)}"
    if status in (401, 403):
        return ConfigurationError(f"{server} refused the key ({said}): check VIVAVOCE_LLM_API_KEY")
    if status == 404:
        return ConfigurationError(
            f"{server} does not know the model {model!r} or the path ({said}): "
            "check VIVAVOCE_LLM_MODEL and VIVAVOCE_LLM_BASE_URL"
        )
    if status == 429:
        return Overloaded(f"{server} takes no more requests now ({said})")
    if status >= 500:
        return EngineFailure(f"{server} failed ({said})")
    return EngineFailure(f"{server} refused the request ({said})")


def _code(error: openai.APIError) -> str:
    for name in (error.code, error.type):
        if isinstance(name, str) and re.fullmatch(r"[a-z][a-z0-9_]{2,50}", name):
            return f", {name}"
    return ""
