"""Builds the engines that the settings ask for, each in its host, and stops them again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import psutil
import structlog

from vivavoce.config import Settings
from vivavoce.conversation.response import Studio
from vivavoce.conversation.session import Engines
from vivavoce.engines.hosts.base import HostLimits
from vivavoce.engines.hosts.host import Host
from vivavoce.engines.hosts.hosted import HostRecognizer, HostSynthesizer
from vivavoce.engines.hosts.inline import InlineVad
from vivavoce.engines.hosts.process import ProcessHost
from vivavoce.engines.hosts.thread import ThreadHost
from vivavoce.engines.interfaces import ChatModel, HostedSynthesizer
from vivavoce.engines.llm.embedded import EmbeddedChat, choose_embedded_model
from vivavoce.engines.llm.openai_chat import OpenAIChat
from vivavoce.engines.registry import EngineRecipe
from vivavoce.engines.tts.router import VoiceRouter
from vivavoce.errors import ConfigurationError, Overloaded
from vivavoce.models.store import ModelStore
from vivavoce.text.language import language_of
from vivavoce.text.spoken import spoken_form
from vivavoce.text.spoken import warm as warm_spoken_form

log = structlog.get_logger()

VOICE_NICE, RECOGNIZER_NICE, CHAT_NICE = 2, 4, 8
"""The engines stand back behind the event loop, which needs a core for a few milliseconds at a
time, and among each other in the order in which a listener waits for them: what a voice has to say
next is worth more than what the chat model will say after it."""

SLOW_VOICE_MS = 30_000
"""Deadline to the first audio of a clause from a voice that is about as slow as speech."""


class Assembly:
    """The engines of one server. `start` makes them ready, `close` stops them all."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._store = ModelStore(settings.models_dir, offline_dir=settings.offline_dir)
        self._hosts: dict[str, Host] = {}
        self._chat: OpenAIChat | EmbeddedChat | None = None
        self._closing: list[Callable[[], Awaitable[None]]] = []
        self._engines: Engines | None = None

    @property
    def models(self) -> Mapping[str, str]:
        """What is used, by kind."""
        settings = self._settings
        return {
            "vad": settings.vad,
            "asr": "whisper-base",
            "tts": "hibari+kokoro" if settings.tts == "auto" else settings.tts,
            "llm": chat_model_name(settings),
        }

    def engines(self) -> Engines:
        """Raises Overloaded while they are not ready."""
        if self._engines is None:
            raise Overloaded("The engines are still starting.", code="server_starting")
        return self._engines

    def states(self) -> Mapping[str, str]:
        """By engine: "ready", or what it is doing instead."""
        states = {name: host.state.value for name, host in self._hosts.items()}
        if isinstance(self._chat, EmbeddedChat):
            states["llm"] = self._chat.state.value
        return states

    async def start(self) -> None:
        """Load and warm every engine, all at the same time."""
        async with asyncio.TaskGroup() as tasks:
            vad = tasks.create_task(self._start_vad())
            recognizer = tasks.create_task(self._start_recognizer())
            voice = tasks.create_task(self._start_voice())
            chat = tasks.create_task(self._start_chat())
            tasks.create_task(asyncio.to_thread(warm_spoken_form))
        studio = Studio(chat.result(), voice.result(), _spoken_form)
        self._engines = Engines(vad.result(), recognizer.result(), studio)
        log.info("engines.ready", **self.models)

    async def close(self) -> None:
        self._engines = None
        await asyncio.gather(*(close() for close in self._closing))

    async def _start_vad(self) -> InlineVad:
        recipe = EngineRecipe("webrtc")
        if self._settings.vad == "silero":
            recipe = EngineRecipe("silero", (self._store.path("silero-vad") / "silero_vad.onnx",))
        return await InlineVad.start(recipe)

    async def _start_recognizer(self) -> HostRecognizer:
        workers = self._settings.asr_workers
        path = self._store.path("whisper-base")
        options = {"inter_threads": workers, "languages": self._settings.languages}
        recipe = EngineRecipe("whisper", (path,), options)
        return await HostRecognizer.start(self._thread_host(recipe, "asr", workers))

    async def _start_voice(self) -> HostedSynthesizer:
        """The voices live in processes: their signal processing holds the GIL for tens of
        milliseconds at a time, which the event loop cannot wait for."""
        hibari = EngineRecipe("hibari")
        if self._settings.tts == "hibari":
            return await HostSynthesizer.start(self._process_host(hibari, "tts-en"))
        threads = min(2, psutil.cpu_count() or 1)
        folder = self._store.path("kokoro-82m")
        kokoro = self._process_host(
            EngineRecipe("kokoro", (folder,), {"threads": threads}), "tts-zh"
        )
        if self._settings.tts == "kokoro":
            return await HostSynthesizer.start(kokoro, first_ms=SLOW_VOICE_MS)
        english, chinese = await asyncio.gather(
            HostSynthesizer.start(self._process_host(hibari, "tts-en")),
            HostSynthesizer.start(kokoro, first_ms=SLOW_VOICE_MS),
        )
        return VoiceRouter(english, chinese)

    async def _start_chat(self) -> ChatModel:
        settings = self._settings.llm
        if settings.base_url is not None:
            if settings.model is None:
                raise ConfigurationError(
                    "VIVAVOCE_LLM_BASE_URL is set, so VIVAVOCE_LLM_MODEL must say which model."
                )
            remote = await asyncio.to_thread(  # it loads the certificates of TLS
                OpenAIChat,
                settings.base_url,
                model=settings.model,
                api_key=settings.api_key.get_secret_value(),
                first_token_timeout_ms=settings.first_token_timeout_ms,
                next_token_timeout_ms=settings.next_token_timeout_ms,
                max_concurrency=self._settings.limit.sessions,
            )
            self._chat = remote
            self._closing.append(remote.close)
            return remote
        name = chat_model_name(self._settings)
        embedded = EmbeddedChat(
            self._store.path(name) / "model.gguf",
            name=name,
            threads=settings.threads or default_threads(psutil.cpu_count() or 1),
            slots=settings.slots,
            system_prompt=self._settings.instructions,
            max_tokens=settings.max_tokens,
            first_token_timeout_ms=settings.first_token_timeout_ms,
            next_token_timeout_ms=settings.next_token_timeout_ms,
            max_waiting=self._settings.limit.queue,
            nice=CHAT_NICE,
        )
        self._chat = embedded
        self._closing.append(embedded.close)
        await embedded.start()
        return embedded

    def _thread_host(self, recipe: EngineRecipe, name: str, workers: int = 1) -> Host:
        return self._keep(
            ThreadHost(recipe, name=name, limits=self._limits(workers), nice=RECOGNIZER_NICE)
        )

    def _process_host(self, recipe: EngineRecipe, name: str) -> Host:
        return self._keep(ProcessHost(recipe, name=name, limits=self._limits(), nice=VOICE_NICE))

    def _limits(self, workers: int = 1) -> HostLimits:
        limit = self._settings.limit
        return HostLimits(workers=workers, queue=limit.queue, streams=max(1024, 4 * limit.sessions))

    def _keep(self, host: Host) -> Host:
        self._hosts[host.name] = host
        self._closing.append(host.close)
        return host


def chat_model_name(settings: Settings) -> str:
    """The model that replies: the one named, or the embedded one that fits this machine."""
    if settings.llm.model is not None:
        return settings.llm.model
    return choose_embedded_model(psutil.cpu_count() or 1, psutil.virtual_memory().total)


def default_threads(cores: int) -> int:
    """Threads of the embedded chat model. They wait without spinning, so that on two cores the
    second one costs recognition little and makes replies a third faster."""
    return min(cores, max(2, cores // 2), 8)


def needed_models(settings: Settings) -> list[str]:
    """Ids in the catalogue of the weights that these settings need."""
    models = ["whisper-base"]
    if settings.vad == "silero":
        models.append("silero-vad")
    if settings.tts in ("auto", "kokoro"):
        models.append("kokoro-82m")
    if settings.llm.base_url is None:
        models.append(chat_model_name(settings))
    return models


async def _spoken_form(clause: str) -> str:
    language = language_of(clause, "en")
    if language == "zh":
        return await asyncio.to_thread(spoken_form, clause, language)
    return spoken_form(clause, language)
