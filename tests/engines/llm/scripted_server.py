"""A chat server that says what a test wrote down: OpenAI's streaming API over real HTTP.

    async with ScriptedChatServer(says("Hello there."), refuses(429)) as server:
        chat = OpenAIChat(server.base_url, model="scripted")

Each request takes the next reply of the script; when it is used up, `otherwise` answers. A
program too, for benches:  python -m engines.llm.scripted_server --port 9000 --reply "Hello."
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

MAX_BODY_BYTES = 4_000_000
Body: TypeAlias = dict[str, Any]
Ending: TypeAlias = Literal[
    "finish", "cut", "hang", "die", "garbage", "error_event", "refuse_connection"
]


@dataclass(frozen=True)
class ScriptedCall:
    """A tool call; each piece of `arguments` goes out as a chunk of its own."""

    name: str
    arguments: Sequence[str]
    id: str = "call_1"


@dataclass(frozen=True)
class Reply:
    """What happens to one request: tokens, then calls, then the ending.

    first_delay_ms passes before the status line, delay_ms before each token. refuse_fields: a
    request with one of these gets 400, and the reply waits for the next request. same_index: all
    calls say index 0, as Ollama's do. Endings: "cut" closes the stream in good order but without
    a finish reason, "refuse_connection" drops the connection before the status line.
    """

    tokens: Sequence[str] = ()
    calls: Sequence[ScriptedCall] = ()
    reasoning: Sequence[str] = ()
    first_delay_ms: int = 0
    delay_ms: int = 0
    status: int = 200
    error_code: str = "scripted"
    ending: Ending = "finish"
    finish_reason: str | None = None
    with_usage: bool = True
    refuse_fields: Sequence[str] = ()
    same_index: bool = False


def split_tokens(text: str) -> tuple[str, ...]:
    """Words with their leading space, Chinese characters one by one: about what models send."""
    return tuple(re.findall(r"\s*[\u3000-\u9fff\uff00-\uffef]|\s*[^\s\u3000-\u9fff]+|\s+$", text))


def says(text: str, *, delay_ms: int = 0, first_delay_ms: int = 0) -> Reply:
    return Reply(split_tokens(text), delay_ms=delay_ms, first_delay_ms=first_delay_ms)


def calls(name: str, *arguments: str, id: str = "call_1") -> Reply:  # noqa: A002
    return Reply(calls=(ScriptedCall(name, arguments, id),))


def refuses(status: int, code: str = "scripted") -> Reply:
    return Reply(status=status, error_code=code)


def hangs() -> Reply:
    """Never even sends a status line."""
    return Reply(first_delay_ms=3_600_000)


def stalls(text: str = "") -> Reply:
    """Says the text, then nothing more, with the connection open."""
    return Reply(split_tokens(text), ending="hang")


def dies(text: str = "") -> Reply:
    """Says the text, then drops the connection in the middle of the stream."""
    return Reply(split_tokens(text), ending="die")


def garbage(text: str = "") -> Reply:
    return Reply(split_tokens(text), ending="garbage")


@dataclass
class ReceivedRequest:
    """One request as it came. closed_early is set when the client left before the end."""

    body: Body
    headers: dict[str, str]
    sent_tokens: int = 0
    closed_early: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def messages(self) -> list[Body]:
        messages: list[Body] = self.body["messages"]
        return messages


class ScriptedChatServer:
    """Listens on 127.0.0.1 while entered; `requests` holds what it got, in order.

    arrived: the same requests, to wait for: `await server.arrived.get()`. respond: chooses the
    reply by the request's body, in place of the script.
    """

    def __init__(
        self,
        *script: Reply,
        otherwise: Reply | None = None,
        respond: Callable[[Body], Reply] | None = None,
        port: int = 0,
    ) -> None:
        self.script = list(script)
        self.otherwise = otherwise or says("Hello there.")
        self.requests: list[ReceivedRequest] = []
        self.arrived: asyncio.Queue[ReceivedRequest] = asyncio.Queue()
        self._respond = respond
        self._port = port
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    async def __aenter__(self) -> ScriptedChatServer:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            return  # the client left: `closed_early` says so
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])
        }
        length = int(headers.get("content-length", "0"))
        if length > MAX_BODY_BYTES:
            return _respond_json(writer, 413, {"error": {"message": "too large"}})
        body = await reader.readexactly(length)
        if "/chat/completions" not in head[0]:
            return _respond_json(writer, 200, {"status": "ok", "data": [{"id": "scripted"}]})
        request = ReceivedRequest(json.loads(body), headers)
        self.requests.append(request)
        self.arrived.put_nowait(request)
        await _until_client_leaves(self._reply(request, writer), reader, request)
        return None

    def _next_reply(self, body: Body) -> Reply:
        if self._respond is not None:
            reply = self._respond(body)
        else:
            reply = self.script.pop(0) if self.script else self.otherwise
        refused = [name for name in reply.refuse_fields if name in body]
        if not refused:
            return reply
        self.script.insert(0, reply)
        return replace(reply, status=400, error_code="unsupported_parameter", tokens=refused)

    async def _reply(self, request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        reply = self._next_reply(request.body)
        await asyncio.sleep(reply.first_delay_ms / 1000)
        if reply.ending == "refuse_connection":
            return None
        if reply.status != 200:
            text = json.dumps(request.messages, ensure_ascii=False)
            error = {"message": f"refused: {text}", "type": "scripted", "code": reply.error_code}
            if reply.error_code == "unsupported_parameter":
                error["param"] = reply.tokens[0]
            return _respond_json(writer, reply.status, {"error": error})
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
            b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        )
        async for event in _events(reply, request):
            writer.write(b"%x\r\n%s\r\n" % (len(event), event))
            await writer.drain()
        if reply.ending == "hang":
            await asyncio.Event().wait()
        if reply.ending != "die":
            writer.write(b"0\r\n\r\n")
        await writer.drain()
        return None


async def _until_client_leaves(
    reply: Coroutine[Any, Any, None], reader: asyncio.StreamReader, request: ReceivedRequest
) -> None:
    answering = asyncio.ensure_future(reply)
    leaving = asyncio.ensure_future(reader.read(1))
    try:
        await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not answering.done() or (not answering.cancelled() and answering.exception()):
            request.closed_early.set()
    finally:
        answering.cancel()
        leaving.cancel()
        await asyncio.gather(answering, leaving, return_exceptions=True)


async def _events(reply: Reply, request: ReceivedRequest) -> AsyncIterator[bytes]:
    def chunk(delta: Body, finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return _event({**_HEAD, "choices": [choice]})

    yield chunk({"role": "assistant", "content": None})
    for thought in reply.reasoning:
        yield chunk({"reasoning_content": thought})
    for token in reply.tokens:
        await asyncio.sleep(reply.delay_ms / 1000)
        request.sent_tokens += 1
        yield chunk({"content": token})
    for index, call in enumerate(reply.calls):
        function = {"name": call.name, "arguments": ""}
        number = 0 if reply.same_index else index
        head = {"index": number, "id": call.id, "type": "function", "function": function}
        yield chunk({"tool_calls": [head]})
        for piece in call.arguments:
            yield chunk({"tool_calls": [{"index": number, "function": {"arguments": piece}}]})
    if reply.ending == "garbage":
        yield b"data: {this is no JSON}\n\n"
    if reply.ending == "error_event":
        yield _event({"error": {"message": "scripted failure", "type": "server_error"}})
    if reply.ending != "finish":
        return
    yield chunk({}, reply.finish_reason or ("tool_calls" if reply.calls else "stop"))
    if reply.with_usage and "stream_options" in request.body:
        n_output = len(reply.tokens) + sum(len(call.arguments) for call in reply.calls)
        usage = {"prompt_tokens": 10, "completion_tokens": n_output, "total_tokens": 10 + n_output}
        usage["prompt_tokens_details"] = {"cached_tokens": 4}  # type: ignore[assignment]
        yield _event({**_HEAD, "choices": [], "usage": usage})
    yield b"data: [DONE]\n\n"


_HEAD: Body = {
    "id": "chatcmpl-scripted",
    "object": "chat.completion.chunk",
    "created": 0,
    "model": "scripted",
}


def _event(payload: Body) -> bytes:
    return b"data: " + json.dumps(payload, ensure_ascii=False).encode() + b"\n\n"


def _respond_json(writer: asyncio.StreamWriter, status: int, payload: Body) -> None:
    body = json.dumps(payload, ensure_ascii=False).encode()
    head = (
        f"HTTP/1.1 {status} Scripted\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    writer.write(head.encode() + body)


async def _main() -> None:
    parser = argparse.ArgumentParser(description="Answer every chat request with one reply.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--reply", default="Hello there, how are you today?")
    parser.add_argument("--delay-ms", type=int, default=0, help="before each token")
    parser.add_argument("--first-delay-ms", type=int, default=0)
    arguments = parser.parse_args()
    reply = says(
        arguments.reply, delay_ms=arguments.delay_ms, first_delay_ms=arguments.first_delay_ms
    )
    async with ScriptedChatServer(otherwise=reply, port=arguments.port) as server:
        print(server.base_url, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main())
