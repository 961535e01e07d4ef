from pathlib import Path

import pytest
from pydantic import ValidationError

from vivavoce.assembly import chat_model_name, default_threads, needed_models
from vivavoce.config import Settings
from vivavoce.errors import ConfigurationError


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VIVAVOCE_MODELS_DIR", raising=False)


def test_the_environment_sets_fields_and_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIVAVOCE_PORT", "9000")
    monkeypatch.setenv("VIVAVOCE_API_KEYS", "one, two")
    monkeypatch.setenv("VIVAVOCE_LLM_BASE_URL", "http://localhost:11434/v1")
    monkeypatch.setenv("VIVAVOCE_TURN_SILENCE_MS", "700")
    monkeypatch.setenv("VIVAVOCE_LIMIT_SESSIONS", "3")
    settings = Settings()
    assert settings.port == 9000
    assert [key.get_secret_value() for key in settings.api_keys] == ["one", "two"]
    assert settings.llm.base_url == "http://localhost:11434/v1"
    assert (settings.turn.silence_ms, settings.limit.sessions) == (700, 3)


def test_a_file_named_env_is_read(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("VIVAVOCE_LLM_MODEL=qwen2.5-1.5b\n")
    assert Settings().llm.model == "qwen2.5-1.5b"


def test_every_line_of_the_example_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    example = Path(__file__).parent.parent / ".env.example"
    lines = [line[1:] for line in example.read_text().splitlines() if line.startswith("#VIVAVOCE_")]
    known = {f"VIVAVOCE_{name}".upper() for name in Settings.model_fields}
    for group in ("llm", "turn", "limit"):
        fields = type(getattr(Settings(), group)).model_fields
        known |= {f"VIVAVOCE_{group}_{name}".upper() for name in fields}
    assert len(lines) > 15
    assert {line.partition("=")[0] for line in lines} <= known


def test_keys_do_not_show_when_settings_are_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIVAVOCE_API_KEYS", "very-secret")
    monkeypatch.setenv("VIVAVOCE_LLM_API_KEY", "also-secret")
    assert "secret" not in repr(Settings()).replace("SecretStr", "")


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        Settings().port = 1


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7", "::"])
def test_other_machines_need_a_key(host: str) -> None:
    with pytest.raises(ConfigurationError, match="VIVAVOCE_API_KEYS"):
        Settings(host=host).check()
    Settings(host=host, api_keys="k").check()  # type: ignore[arg-type]
    Settings(host=host, allow_anonymous=True).check()
    Settings(host="127.0.0.1").check()


def test_a_certificate_needs_its_key() -> None:
    with pytest.raises(ConfigurationError, match="--ssl-keyfile"):
        Settings(ssl_certfile=Path("certificate.pem")).check()


def test_only_what_is_used_is_fetched() -> None:
    everything = needed_models(Settings(llm={"model": "qwen2.5-0.5b"}))  # type: ignore[arg-type]
    assert set(everything) == {"whisper-base", "silero-vad", "kokoro-82m", "qwen2.5-0.5b"}
    remote = Settings(vad="webrtc", tts="hibari", llm={"base_url": "http://x/v1", "model": "m"})  # type: ignore[arg-type]
    assert needed_models(remote) == ["whisper-base"]
    assert chat_model_name(remote) == "m"


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 2), (4, 2), (8, 4), (64, 8)])
def test_threads_of_the_chat_model(cores: int, threads: int) -> None:
    assert default_threads(cores) == threads
