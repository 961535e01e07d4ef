"""Weights from a model hub, through `huggingface_hub`.

The hub cannot be reached from everywhere, so it is probed once with a short timeout, and never
when `HF_HUB_OFFLINE` is set. `HF_ENDPOINT` names another hub, as usual. On a terminal the library
draws its own bars: how it counts bytes depends on the transfer that it picks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
from rich.filesize import decimal

from vivavoce.models.catalogue import HubSource, ModelFile
from vivavoce.models.integrity import sha256_of
from vivavoce.models.progress import TransferProgress
from vivavoce.models.sources import SourceUnavailable, require_space

CONNECT_TIMEOUT_S = 5.0


class Hub:
    """A hub, by default the one that huggingface_hub's environment variables name."""

    def __init__(
        self, endpoint: str | None = None, *, connect_timeout_s: float = CONNECT_TIMEOUT_S
    ) -> None:
        self._endpoint = endpoint
        self._timeout_s = connect_timeout_s
        self._unreachable: str | None = None
        self._probed = False

    def fetch(
        self,
        source: HubSource,
        wanted: Sequence[ModelFile],
        into: Path,
        progress: TransferProgress,
    ) -> Iterator[tuple[ModelFile, Path]]:
        """Download the wanted files that the repository has; yield each once its hash is right.

        into: scratch folder; what is half-downloaded there is continued. Raises
        SourceUnavailable, and WeightsUnavailable when the disk is too small.
        """
        files = [file for file in wanted if file.name in source.files]
        if not files:
            return
        self._require_reachable(source, source.files[files[0].name])
        require_space(into, sum(file.n_bytes for file in files))
        for file in files:
            progress.say(f"{source.label}: {file.name}, {decimal(file.n_bytes)}")
            path = self._download(source, source.files[file.name], into / "hub")
            found = sha256_of(path)
            if found != file.sha256:
                path.unlink()
                raise SourceUnavailable(
                    f"{source.label} gave {file.name} with sha256 {found} instead of {file.sha256}"
                )
            yield file, path

    def _download(self, source: HubSource, path: str, into: Path) -> Path:
        from huggingface_hub import hf_hub_download  # slow to import, and rarely needed

        try:
            return Path(
                hf_hub_download(
                    source.repository,
                    path,
                    revision=source.revision,
                    local_dir=into,
                    endpoint=self._endpoint,
                    etag_timeout=self._timeout_s,
                    token=False,  # public files: a stale token would be refused
                )
            )
        # huggingface_hub lets through what its HTTP and transfer libraries raise, and these
        # differ from version to version; whatever it is, the next source may do.
        except Exception as error:
            raise SourceUnavailable(f"{source.label} failed: {_first_line(error)}") from error

    def _require_reachable(self, source: HubSource, path: str) -> None:
        from huggingface_hub import constants, hf_hub_url

        if constants.HF_HUB_OFFLINE:
            raise SourceUnavailable("the hub is not asked because HF_HUB_OFFLINE is set")
        if not self._probed:
            url = hf_hub_url(
                source.repository, path, revision=source.revision, endpoint=self._endpoint
            )
            self._unreachable = self._probe(url)
            self._probed = True
        if self._unreachable is not None:
            raise SourceUnavailable(self._unreachable)

    def _probe(self, url: str) -> str | None:
        host = httpx.URL(url).host
        try:
            status = httpx.head(url, timeout=self._timeout_s).status_code
        except httpx.HTTPError as error:
            return f"the hub {host} cannot be reached ({_first_line(error)})"
        # 404 says something of one file, not of the hub.
        return f"the hub {host} answers {status}" if status >= 400 and status != 404 else None


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
