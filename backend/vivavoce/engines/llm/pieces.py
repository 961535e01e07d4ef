"""A reply in one piece, or in several when it has to let another one's opening by.

A paused reply is taken up again by sending what it said so far as the beginning of the
assistant's message. Its prompt is cached, so that costs a token or two.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import TypeAlias

from vivavoce.engines.interfaces import ChatDelta, ChatEnd, ChatMessage, ChatRequest, TextDelta
from vivavoce.engines.llm.floor import Turn

Piece: TypeAlias = Callable[[ChatRequest], AsyncGenerator[ChatDelta, None]]


async def in_pieces(
    request: ChatRequest, turn: Turn, piece: Piece, *, pausable: bool = True
) -> AsyncGenerator[ChatDelta, None]:
    """Stream `piece(request)`, closing it while `turn` must pause and going on afterwards.

    request: names its max_tokens. pausable: False where the server keeps state that a pause
    would lose, as a grammar does.
    """
    assert request.max_tokens is not None
    said, n_said = "", 0
    while True:
        async with aclosing(piece(_continued(request, said, n_said))) as deltas:
            async for delta in deltas:
                if isinstance(delta, ChatEnd):
                    yield _whole(delta, n_said)
                    return
                if isinstance(delta, TextDelta):
                    said, n_said = said + delta.text, n_said + 1
                turn.spoke()
                yield delta
                if pausable and turn.must_pause() and n_said < request.max_tokens:
                    break
        await turn.resume()


def _continued(request: ChatRequest, said: str, n_said: int) -> ChatRequest:
    if not said:
        return request
    assert request.max_tokens is not None
    return replace(
        request,
        messages=(*request.messages, ChatMessage("assistant", said)),
        max_tokens=request.max_tokens - n_said,
    )


def _whole(end: ChatEnd, n_said: int) -> ChatEnd:
    """The end of the last piece, counted for the whole reply; n_said includes that piece."""
    if end.input_tokens is None or end.output_tokens is None:
        return end
    n_before = max(0, n_said - end.output_tokens)
    n_input = end.input_tokens - n_before
    cached = None if end.cached_tokens is None else min(end.cached_tokens, n_input)
    return replace(
        end,
        input_tokens=n_input,
        output_tokens=end.output_tokens + n_before,
        cached_tokens=cached,
    )
