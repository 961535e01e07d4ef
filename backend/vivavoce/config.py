"""All settings: one frozen tree, read once from the environment (`VIVAVOCE_…`) and `.env`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from vivavoce.errors import ConfigurationError

PERSONA = (
    "You are Vivi, a friendly voice assistant. Your words are spoken aloud: answer in one or two "
    "short sentences, without lists or markup, in the language that the user speaks. "
    "你叫小薇，请用用户的语言回答，一两句话即可。"
)

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LlmSettings(_Group):
    """The chat model: any OpenAI-compatible endpoint, or the embedded one."""

    base_url: str | None = Field(None, description="endpoint, e.g. http://localhost:11434/v1")
    api_key: SecretStr = Field(SecretStr(""), description="key for that endpoint")
    model: str | None = Field(
        None, description="model name there; or qwen2.5-0.5b, qwen2.5-1.5b embedded"
    )
    threads: int | None = Field(
        None, ge=1, le=64, description="CPU threads of the embedded model; unset: half the cores"
    )
    slots: int = Field(4, ge=1, le=16, description="prompts kept in its cache, embedded")
    max_tokens: int = Field(80, ge=1, le=4096, description="longest reply, embedded, in tokens")
    first_token_timeout_ms: int = Field(20_000, ge=100)
    next_token_timeout_ms: int = Field(10_000, ge=100)


class TurnSettings(_Group):
    """How turns are found; milliseconds."""

    threshold: float = Field(0.5, gt=0, lt=1, description="speech probability that is speech")
    silence_ms: int = Field(500, ge=100, le=10_000, description="silence that ends a turn")
    speculate_after_ms: int = Field(
        128, ge=60, le=10_000, description="silence after which a reply is prepared"
    )
    min_speech_ms: int = Field(96, ge=0, le=2000, description="speech that starts a turn")
    interrupt_min_speech_ms: int = Field(
        192, ge=0, le=5000, description="speech that interrupts the assistant"
    )


class LimitSettings(_Group):
    """What the server takes on; at each limit the client gets a clear error."""

    sessions: int = Field(64, ge=1, description="conversations at a time")
    session_minutes: int = Field(60, ge=1, le=24 * 60)
    event_bytes: int = Field(15 * 2**20, ge=1024, description="size of one message of a client")
    utterance_ms: int = Field(300_000, ge=1000, description="length of one turn of the user")
    lead_ms: int = Field(30_000, ge=1000, description="audio made ahead of the listener")
    slow_reader_ms: int = Field(15_000, ge=100, description="stall after which we hang up")
    drain_ms: int = Field(10_000, ge=0, description="time for replies to finish at a stop")
    history_items: int = Field(512, ge=8)
    context_chars: int = Field(6000, ge=200, description="history given to the chat model")
    queue: int = Field(64, ge=1, description="requests that may wait for an engine")


class Settings(BaseSettings):
    """Everything that can be set. `VIVAVOCE_PORT=9000` sets `port`, `VIVAVOCE_LLM_MODEL` sets
    `llm.model`."""

    model_config = SettingsConfigDict(
        env_prefix="VIVAVOCE_",
        env_nested_delimiter="_",
        env_nested_max_split=1,
        env_file=".env",
        extra="ignore",
        frozen=True,
    )

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8000, ge=0, le=65535)
    ssl_certfile: Path | None = None
    ssl_keyfile: Path | None = None
    api_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (), description="keys that clients must send, separated by commas"
    )
    allow_anonymous: bool = Field(False, description="serve other machines without keys")
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="web origins besides our own that may connect, separated by commas"
    )

    models_dir: Path = Field(
        default_factory=lambda: Path.home() / ".cache" / "vivavoce",
        description="where weights are kept",
    )
    offline_dir: Path | None = Field(None, description="a folder to take weights from first")

    vad: Literal["silero", "webrtc"] = "silero"
    asr: Literal["whisper"] = "whisper"
    asr_workers: int = Field(1, ge=1, le=16, description="recognitions at a time")
    tts: Literal["auto", "hibari", "kokoro"] = Field(
        "auto", description="auto: hibari for English, Kokoro for Chinese"
    )
    language: str | None = Field(None, description="of the users' speech; unset to detect")
    languages: Annotated[tuple[str, ...], NoDecode] = Field(
        ("en", "zh"), description="languages to choose from when detecting; empty for all"
    )
    instructions: str = Field(PERSONA, description="what the assistant is told about itself")

    llm: LlmSettings = LlmSettings()
    turn: TurnSettings = TurnSettings()
    limit: LimitSettings = LimitSettings()

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_json: bool = False

    @field_validator("api_keys", "allowed_origins", "languages", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    def check(self) -> None:
        """Raise ConfigurationError for settings that are unsafe or cannot work together."""
        if self.host not in LOOPBACK and not self.api_keys and not self.allow_anonymous:
            raise ConfigurationError(
                f"Listening on {self.host} lets other machines in, so a key is needed: set "
                "VIVAVOCE_API_KEYS=<a long random key>, or VIVAVOCE_ALLOW_ANONYMOUS=1 if everyone "
                "who can reach this address may use it."
            )
        if (self.ssl_certfile is None) != (self.ssl_keyfile is None):
            raise ConfigurationError("TLS needs both --ssl-certfile and --ssl-keyfile.")
