"""How far a pull is: the engine's events, added up over an image's layers.

Pure. The events are those of the Docker Engine API's `POST /images/create`; sizes are in bytes,
of the compressed layers, as the engine counts them.
"""

from dataclasses import dataclass, field
from typing import Any

# What the engine says of a layer, where it matters here.
_WAITS = "Waiting"
_DOWNLOADS = "Downloading"
_EXTRACTS = "Extracting"
_IS_HERE = "Already exists"
_DOWNLOADED = ("Verifying Checksum", "Download complete", _EXTRACTS, "Pull complete")
_OF_LAYERS = ("Pulling fs layer", _WAITS, _DOWNLOADS, *_DOWNLOADED)
_RETRYING = "Retrying in "

# Share of a pull that is the download; the rest is the extraction.
_DOWNLOAD_SHARE = 0.7


@dataclass(frozen=True)
class Reading:
    """Where a pull is: `text` for people, `percent` of the present phase, `share` (0 to 1) of the
    whole."""

    text: str
    percent: int
    share: float


@dataclass
class _Layer:
    status: str = ""
    size: int | None = None  # unknown until its download begins
    downloaded: int = 0
    extracted: int = 0

    def is_downloaded(self) -> bool:
        return self.status in _DOWNLOADED

    def take(self, status: str, detail: dict[str, Any]) -> None:
        """Update from one event.

        Newer engines count extraction in seconds (`units`), which adds up to nothing.
        """
        self.status = status
        current, size = detail.get("current"), detail.get("total")
        if isinstance(size, int) and size > 0 and "units" not in detail:
            self.size = size
        if isinstance(current, int) and "units" not in detail:
            if status == _DOWNLOADS:
                self.downloaded = current
            elif status == _EXTRACTS:
                self.extracted = current
        if self.is_downloaded():
            self.size = self.size or 0  # a small one may arrive before its size is told
            self.downloaded = self.size
        if status == "Pull complete":
            self.extracted = self.size or 0


@dataclass
class Layers:
    """The layers of one image that are being fetched; feed it every event."""

    _layers: dict[str, _Layer] = field(default_factory=dict)
    _last: dict[str, Any] = field(default_factory=dict)

    def add(self, event: dict[str, Any]) -> bool:
        """Take an event of the engine; whether it says anything new.

        Some engines repeat the last state while nothing moves.
        """
        name, status = str(event.get("id", "")), str(event.get("status", ""))
        detail = event.get("progressDetail") or {}
        said = {"status": status, **detail}
        new = self._last.get(name) != said
        self._last[name] = said
        if status == _IS_HERE:
            self._layers.pop(name, None)
        elif status in _OF_LAYERS or status.startswith(_RETRYING):
            self._layers.setdefault(name, _Layer()).take(status, detail)
        return new

    @property
    def queued(self) -> bool:
        """Whether all that is left to download waits for other pulls: engines download a few
        layers at a time, whosever they are."""
        states = {layer.status for layer in self._layers.values()}
        return _WAITS in states and _DOWNLOADS not in states

    def reading(self) -> Reading | None:
        """How far it is; None while no layer has begun to move."""
        layers = list(self._layers.values())
        sizes = [layer.size for layer in layers if layer.size]
        if not sizes:
            return None
        if all(layer.is_downloaded() for layer in layers):
            extracted, size = sum(layer.extracted for layer in layers), sum(sizes)
            fraction = min(extracted / size, 1)
            share = _DOWNLOAD_SHARE + (1 - _DOWNLOAD_SHARE) * fraction
            return Reading(
                f"Extracting {_of(extracted, size, fraction)}", _percent(fraction), share
            )
        return self._download(layers, sum(sizes))

    def _download(self, layers: list[_Layer], size: int) -> Reading:
        """Layers that have not begun are guessed to be as large as the others are on average."""
        downloaded = sum(layer.downloaded for layer in layers)
        known = [layer for layer in layers if layer.size is not None]
        fraction = min(downloaded / (size * len(layers) / len(known)), 1)
        if len(known) < len(layers):
            unit, name = _unit(size)
            done = sum(layer.is_downloaded() for layer in layers)
            amount = f"{_amount(downloaded, unit)} {name}, {done} of {len(layers)} layers complete"
            return Reading(f"Downloading {amount}", _percent(fraction), _DOWNLOAD_SHARE * fraction)
        text = f"Downloading {_of(downloaded, size, fraction)}"
        return Reading(text, _percent(fraction), _DOWNLOAD_SHARE * fraction)


def _of(done: int, size: int, fraction: float) -> str:
    """`34 of 120 MB (28 %)`."""
    unit, name = _unit(size)
    return f"{_amount(done, unit)} of {_amount(size, unit)} {name} ({_percent(fraction)} %)"


def _percent(fraction: float) -> int:
    return int(fraction * 100)


def _unit(size: int) -> tuple[int, str]:
    """The decimal unit in which `size` is written, as registries and `docker pull` do."""
    return next(
        ((unit, name) for unit, name in ((10**9, "GB"), (10**6, "MB")) if size >= unit),
        (10**3, "kB"),
    )


def _amount(size: int, unit: int) -> str:
    """Gigabytes have a digit after the point, lest a slow download seem to stand still."""
    return f"{size / unit:.1f}" if unit == 10**9 else f"{size / unit:.0f}"
