"""The embedded chat model: a llama.cpp server that is ours, started and supervised as a child."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

from vivavoce.engines.interfaces import ChatDelta, ChatEnd, ChatMessage, ChatRequest, TextDelta
from vivavoce.engines.llm import prompted_tools
from vivavoce.engines.llm.floor import Floor
from vivavoce.engines.llm.llama_process import LlamaProcess, ServerState, arguments_of
from vivavoce.engines.llm.openai_chat import OpenAIChat
from vivavoce.engines.llm.pieces import in_pieces
from vivavoce.engines.llm.prefill import Prefills
from vivavoce.engines.llm.prompted_tools import CallDetector, prompt_tools
from vivavoce.errors import (
    EngineCrashed,
    EngineFailure,
    EngineTimeout,
    VivavoceError,
    WeightsUnavailable,
)

LLAMA_FIELDS: Mapping[str, Any] = {
    "cache_prompt": True,
    # Progress chunks are how the server notices, while it reads a prompt, that the client left.
    "return_progress": True,
    # Half a billion parameters go round in circles unless repetition costs something. Not by DRY:
    # it goes through the whole vocabulary at each request, 0.1 s before the first token.
    "samplers": ["penalties", "top_k", "min_p", "temperature"],
    "top_k": 40,
    "min_p": 0.05,
    "repeat_penalty": 1.1,
    "repeat_last_n": 128,
}
TEMPERATURE = 0.3
CRASH_NOTICE_S = 0.5
"""How long after a broken reply the child's death may take to be seen."""


def choose_embedded_model(cores: int, memory_bytes: int) -> str:
    """The id of the embedded chat model that a machine of this size runs well."""
    return "qwen2.5-1.5b" if cores >= 4 and memory_bytes >= 8_000_000_000 else "qwen2.5-0.5b"


class EmbeddedChat:
    """Serves one GGUF file.

    slots: conversations whose prompts stay cached; context_tokens: the pool that they share, which
    any one of them may use up. system_prompt: read into every slot after the start, so that first
    turns find it cached. max_tokens: of a reply whose request names no limit. The two
    deadlines are those of `OpenAIChat`; while the child is being restarted requests wait up to
    the first. nice: how far the child stands back when the cores are busy.
    """

    def __init__(
        self,
        model_path: Path,
        *,
        name: str = "",
        threads: int = 1,
        slots: int = 4,
        context_tokens: int = 8192,
        system_prompt: str = "",
        max_tokens: int = 200,
        first_token_timeout_ms: int = 15_000,
        next_token_timeout_ms: int = 10_000,
        max_waiting: int = 16,
        nice: int = 0,
    ) -> None:
        self.name = name or model_path.parent.name
        self._model_path = model_path
        self._slots = slots
        self._system_prompt = system_prompt
        self._max_tokens = max_tokens
        self._first_token_s = first_token_timeout_ms / 1000
        self._next_token_ms = next_token_timeout_ms
        self._floor = Floor(max_waiting)
        self._max_concurrency = slots + max_waiting
        self._prefills = Prefills()
        self._client: OpenAIChat | None = None
        self._warming: asyncio.Task[None] | None = None
        self._process = LlamaProcess(
            arguments_of(
                str(model_path),
                threads=threads,
                slots=slots,
                context_tokens=context_tokens,
                nice=nice,
            ),
            on_start=self._connect,
        )

    @property
    def state(self) -> ServerState:
        return self._process.state

    @property
    def pid(self) -> int | None:
        """The child's, None while it is down."""
        return self._process.pid

    async def start(self) -> None:
        """Load and warm the model; WeightsUnavailable or EngineCrashed where that fails."""
        if not self._model_path.is_file():
            raise WeightsUnavailable(f"the language model's file {self._model_path} is missing")
        await self._process.start()

    async def close(self) -> None:
        """Stop the child; replies under way end with EngineFailure."""
        await self._prefills.close()
        await self._process.close()
        if self._client is not None:
            await self._client.close()

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatDelta, None]:
        """Stream a reply, `ChatEnd` last; closing the iterator frees the model.

        Raises as ChatModel says, and EngineCrashed when the child dies under the reply.
        """
        deadline = asyncio.get_running_loop().time() + self._first_token_s
        self._prefills.cancel()
        await self._process.ready(deadline)
        if request.tools and request.tool_choice != "none":
            replies = self._reply_or_call(request, deadline)
        else:
            replies = self._reply(self._prepared(request), deadline)
        async with aclosing(replies) as deltas:
            async for delta in deltas:
                yield delta

    async def prefill(self, request: ChatRequest) -> None:
        """Let the child read the prompt; a newer call displaces one that still waits."""
        if self._floor.busy or self.state is not ServerState.READY:
            return
        # One token is the least the server generates; it costs nothing beyond the reading.
        await self._prefills.run(lambda: self._read(replace(self._prepared(request), max_tokens=1)))

    def _prepared(self, request: ChatRequest) -> ChatRequest:
        plain = prompt_tools(request)
        return replace(
            plain,
            max_tokens=plain.max_tokens or self._max_tokens,
            temperature=TEMPERATURE if plain.temperature is None else plain.temperature,
        )

    async def _reply_or_call(
        self, request: ChatRequest, deadline: float
    ) -> AsyncGenerator[ChatDelta, None]:
        constraint, may_correct = prompted_tools.constraint(request), True
        while True:
            detector = CallDetector(request.tools)
            replies = self._reply(self._prepared(request), deadline, constraint)
            async with aclosing(replies) as deltas:
                async for delta in deltas:
                    if isinstance(delta, TextDelta):
                        for found in detector.feed(delta.text):
                            yield found
                    elif isinstance(delta, ChatEnd):
                        detector.end()
                        reason = "tool_calls" if detector.called else delta.finish_reason
                        if not (detector.botched and may_correct):
                            yield replace(delta, finish_reason=reason)
                            return
                    if detector.botched and may_correct:
                        break
            constraint, may_correct = detector.correction(), False
            deadline = asyncio.get_running_loop().time() + self._first_token_s

    async def _reply(
        self, request: ChatRequest, deadline: float, constraint: Mapping[str, Any] | None = None
    ) -> AsyncGenerator[ChatDelta, None]:
        async with self._floor.turn(deadline) as turn:
            # A schema holds for the whole reply, a grammar of ours for its beginning only.
            holds_all = constraint is not None and "response_format" in constraint

            def piece(part: ChatRequest) -> AsyncGenerator[ChatDelta, None]:
                # The caller's deadline is for the first piece; those after a pause have their own.
                if part is request:
                    return self._piece(part, deadline, constraint)
                return self._piece(part, None, None)

            pieces = in_pieces(request, turn, piece, pausable=not holds_all)
            async with aclosing(pieces) as deltas:
                async for delta in deltas:
                    yield delta

    async def _piece(
        self, request: ChatRequest, deadline: float | None, constraint: Mapping[str, Any] | None
    ) -> AsyncGenerator[ChatDelta, None]:
        assert self._client is not None
        try:
            replies = self._client.stream(request, extra_body=constraint, deadline=deadline)
            async with aclosing(replies) as deltas:
                async for delta in deltas:
                    yield delta
        except EngineTimeout:
            raise
        except EngineFailure:
            if await self._process.went_down(CRASH_NOTICE_S):
                raise EngineCrashed("the language model stopped and is being restarted") from None
            raise

    async def _read(self, request: ChatRequest) -> None:
        assert self._client is not None
        try:
            await _drain(self._client.stream(request))
        except VivavoceError:
            return  # only an optimisation failed; the reply will tell if the server is ill

    async def _connect(self, address: str, key: str) -> None:
        if self._client is not None:
            await self._client.close()
        self._client = OpenAIChat(
            f"{address}/v1",
            model=self.name,
            api_key=key,
            first_token_timeout_ms=int(self._first_token_s * 1000),
            next_token_timeout_ms=self._next_token_ms,
            max_concurrency=self._max_concurrency,
            extra_body=LLAMA_FIELDS,
            # The server ends idle connections after 5 s, sometimes just as one is used again.
            extra_headers={"Connection": "close"},
        )
        roles = ("system", "user") if self._system_prompt else ("user",)
        texts = {"system": self._system_prompt, "user": "Hi"}
        messages = tuple(ChatMessage(role, texts[role]) for role in roles)
        warming = ChatRequest(messages, max_tokens=1)
        await _drain(self._client.stream(warming))
        # The other slots are filled while the server is ready already; a reply stops that.
        self._warming = asyncio.create_task(
            self._prefills.run(lambda: self._read_into_every_slot(warming))
        )

    async def _read_into_every_slot(self, request: ChatRequest) -> None:
        await asyncio.gather(*(self._read(request) for _ in range(self._slots)))


async def _drain(deltas: AsyncGenerator[ChatDelta, None]) -> None:
    async with aclosing(deltas):
        async for _ in deltas:
            pass
