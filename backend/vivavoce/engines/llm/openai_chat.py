"""The chat model behind any OpenAI-compatible HTTP endpoint.

One class serves OpenAI, xAI, Ollama, vLLM and llama.cpp: they differ in which optional fields
they refuse, and that is learnt from their first refusal.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any

import openai
from openai.types.chat import ChatCompletionChunk

from vivavoce.engines.interfaces import ChatDelta, ChatRequest
from vivavoce.engines.llm.chat_errors import MALFORMED, explain, malformed, public_url
from vivavoce.engines.llm.chat_wire import ReplyReader, request_body
from vivavoce.errors import ConfigurationError, EngineFailure, EngineTimeout, Overloaded

RETRY_PAUSE_S = 0.1
OPTIONAL_FIELDS = ("stream_options", "temperature", "max_tokens")
"""Fields that some servers or models refuse and a reply does not depend on."""


class OpenAIChat:
    """Streams replies from `base_url`.

    first_token_timeout_ms: from the call of `stream` to the first text or tool call, waiting
    included. next_token_timeout_ms: between two signs of life after that. max_concurrency
    requests run at once, max_waiting more wait in order, others get Overloaded. extra_body and
    extra_headers go out with each request.
    """

    def __init__(
        self,
        base_url: str,
        *,
        model: str,
        api_key: str = "",
        first_token_timeout_ms: int = 15_000,
        next_token_timeout_ms: int = 10_000,
        max_concurrency: int = 8,
        max_waiting: int = 16,
        extra_body: Mapping[str, Any] | None = None,
        extra_headers: Mapping[str, str] | None = None,
    ) -> None:
        if not base_url.startswith(("http://", "https://")):
            raise ConfigurationError(
                "VIVAVOCE_LLM_BASE_URL must start with http:// or https:// "
                "and usually ends in /v1, as in http://127.0.0.1:11434/v1"
            )
        self.name = model
        self._url = public_url(base_url)
        self._client = openai.AsyncOpenAI(
            base_url=base_url,
            # Servers without authentication take any key, the client insists on one.
            api_key=api_key or "none",
            max_retries=0,
            timeout=openai.Timeout(None, connect=5.0),
            default_headers=extra_headers,
            # Certificates take 50 ms to load, and a plain connection has no use for them.
            http_client=openai.DefaultAsyncHttpxClient(verify=base_url.startswith("https:")),
        )
        self._first_token_s = first_token_timeout_ms / 1000
        self._next_token_s = next_token_timeout_ms / 1000
        self._extra_body = dict(extra_body or {})
        self._max_waiting = max_waiting
        self._waiting = 0
        self._running = asyncio.Semaphore(max_concurrency)
        self._refused: set[str] = set()

    async def close(self) -> None:
        """Release the connections; the object is of no use afterwards."""
        await self._client.close()

    async def prefill(self, request: ChatRequest) -> None:
        """Nothing: a foreign server would charge for it, or for tokens nobody reads."""

    async def stream(
        self,
        request: ChatRequest,
        *,
        extra_body: Mapping[str, Any] | None = None,
        deadline: float | None = None,
    ) -> AsyncGenerator[ChatDelta, None]:
        """Stream a reply, `ChatEnd` last; closing the iterator closes the HTTP stream at once.

        extra_body: more fields of this request. deadline: of its first token (loop time, seconds)
        where that is not to count from now.
        """
        if deadline is None:
            deadline = asyncio.get_running_loop().time() + self._first_token_s
        body = {**request_body(request), **self._extra_body, **(extra_body or {})}
        async with self._place(deadline):
            stream = await self._open(body, deadline)
            try:
                async with aclosing(self._read(stream, deadline)) as deltas:
                    async for delta in deltas:
                        yield delta
            finally:
                await stream.close()

    @asynccontextmanager
    async def _place(self, deadline: float) -> AsyncIterator[None]:
        if self._running.locked() and self._waiting >= self._max_waiting:
            raise Overloaded(f"{self._waiting} replies already wait for the chat model {self.name}")
        self._waiting += 1
        try:
            async with asyncio.timeout_at(deadline):
                await self._running.acquire()
        except TimeoutError:
            raise Overloaded(
                f"the chat model {self.name} had no place within {self._first_token_s:.1f} s"
            ) from None
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._running.release()

    async def _open(
        self, body: dict[str, Any], deadline: float
    ) -> openai.AsyncStream[ChatCompletionChunk]:
        """Send the request, again without a field that the server refuses, and once again when
        the connection failed: a kept-alive one may have just ended."""
        connection_failures = 0
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    return await self._post(body)
            except TimeoutError:
                raise self._too_late("no first token", self._first_token_s) from None
            except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                field = self._refused_field(error, body)
                if field is None:
                    raise self._explain(error) from None
                self._refused.add(field)
            except openai.APIConnectionError as error:
                connection_failures += 1
                if connection_failures > 1 or isinstance(error, openai.APITimeoutError):
                    raise self._explain(error) from None
                await asyncio.sleep(RETRY_PAUSE_S)
            except openai.APIError as error:
                raise self._explain(error) from None
            except MALFORMED:
                raise malformed(self._url) from None

    async def _post(self, body: dict[str, Any]) -> openai.AsyncStream[ChatCompletionChunk]:
        wire = {**body, "stream_options": {"include_usage": True}}
        if "max_tokens" in self._refused and "max_tokens" in wire:
            wire["max_completion_tokens"] = wire["max_tokens"]
        kept = {name: value for name, value in wire.items() if name not in self._refused}
        # The body goes in whole: the client's typed parameters know nothing of llama.cpp's.
        stream: openai.AsyncStream[ChatCompletionChunk] = await self._client.post(
            "/chat/completions",
            cast_to=ChatCompletionChunk,
            body={"model": self.name, "stream": True, **kept},
            stream=True,
            stream_cls=openai.AsyncStream[ChatCompletionChunk],
        )
        return stream

    def _refused_field(self, error: openai.APIStatusError, body: dict[str, Any]) -> str | None:
        """The optional field that the server objects to; None when it objects to the request."""
        sent = [
            name
            for name in OPTIONAL_FIELDS
            if name not in self._refused and (name in body or name == "stream_options")
        ]
        # `max_tokens` in the text alone may be about too large a number of them.
        named = [name for name in sent if name == error.param or f"'{name}'" in error.message]
        blamed = named or [name for name in sent if name == "stream_options" and not error.code]
        return blamed[0] if blamed else None

    async def _read(
        self, stream: openai.AsyncStream[ChatCompletionChunk], first_deadline: float
    ) -> AsyncGenerator[ChatDelta, None]:
        reader = ReplyReader()
        loop = asyncio.get_running_loop()
        begun = False
        chunks = aiter(stream)
        while True:
            deadline = loop.time() + self._next_token_s if begun else first_deadline
            try:
                async with asyncio.timeout_at(deadline):
                    chunk = await anext(chunks)
                deltas = list(reader.read(chunk))
            except StopAsyncIteration:
                break
            except TimeoutError:
                if begun:
                    raise self._too_late("no further token", self._next_token_s) from None
                raise self._too_late("no first token", self._first_token_s) from None
            except openai.APIError as error:
                raise self._explain(error, streaming=True) from None
            except MALFORMED:
                raise malformed(self._url) from None
            for delta in deltas:
                begun = True
                yield delta
        if not reader.finished:
            raise EngineFailure(f"the chat server at {self._url} ended a reply without a reason")
        yield reader.end()

    def _explain(self, error: openai.APIError, *, streaming: bool = False) -> Exception:
        return explain(error, url=self._url, model=self.name, streaming=streaming)

    def _too_late(self, what: str, limit_s: float) -> EngineTimeout:
        return EngineTimeout(
            f"{what} from the chat server at {self._url} within {limit_s:.1f} s (model {self.name})"
        )
