"""Models that a page converts with, loaded once, and the voices that a session sees of them.

A session has copies of the converters, which share the model in memory, so that a voice that one visitor enrolls is not
in another's list.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from vczoo.conversion.converter import Converter
from vczoo.conversion.load import load
from vczoo.errors import VczooError, VoiceError
from vczoo.io.text import nearest
from vczoo.ui.sessions import Session

__all__ = ["BASE", "ModelPool", "SessionVoices"]

BASE = "base"
MOST_LOADED = 3  # models of the Hub in memory at once
MOST_OWN = 5  # models that one visitor tuned or named, at once


class ModelPool:
    """The models of a server.

    Args:
        runs: The run folders and published runs that every visitor may use, besides the model in the package.
        device: Torch device to compute on; None means a GPU if there is one.
        load: Loads a model by its name.

    Raises:
        VczooError: A run cannot be loaded.
    """

    def __init__(
        self, runs: Sequence[str | Path] = (), device: str | None = None, load: Callable[..., Converter] = load
    ) -> None:
        self._load, self.device = load, device
        self._lock = threading.Lock()
        self.fixed = {str(name): load(name, device=device) for name in (BASE, *runs)}
        for name, converter in self.fixed.items():
            if not converter.model.voice_heads:
                raise VczooError(f"{name} has no voice head, so it cannot convert; leave it out")
        self._hub: OrderedDict[str, Converter] = OrderedDict()

    def published(self, name: str) -> Converter:
        """Load a published run, owner/name, or return the loaded one.

        Raises:
            VczooError: The name is not that of a repository, or the run cannot be loaded.
        """
        name = name.strip()
        if name.count("/") != 1 or name.startswith((".", "/", "~")) or "\\" in name or Path(name).exists():
            raise VczooError(f"{name!r} is not the name of a run on the Hub; write owner/name, such as me/alice")
        with self._lock:
            if name not in self._hub:
                self._hub[name] = self._load(name, device=self.device)
                while len(self._hub) > MOST_LOADED:
                    self._hub.popitem(last=False)
            self._hub.move_to_end(name)
            return self._hub[name]

    def own(self, folder: Path) -> Converter:
        """Load a run that a visitor tuned."""
        return self._load(folder, device=self.device)


class SessionVoices:
    """The voices that one visitor can choose.

    Args:
        pool: The models of the server.
    """

    def __init__(self, pool: ModelPool) -> None:
        self.pool = pool
        self.converters = {name: _copy(converter) for name, converter in pool.fixed.items()}

    @classmethod
    def of(cls, session: Session, pool: ModelPool) -> SessionVoices:
        """The voices of a session, which are made at the first call."""
        with session.lock:
            voices: SessionVoices = session.values.setdefault("voices", cls(pool))
            return voices

    @property
    def base(self) -> Converter:
        """The model in the package, with this visitor's voices."""
        return self.converters[BASE]

    def labels(self) -> dict[str, tuple[str, str]]:
        """The model and the name of each voice, by the label that a menu shows. Own voices come first."""
        bundled = set(self.pool.fixed[BASE].voices)
        own = [voice for voice in reversed(self.base.voices) if voice not in bundled]
        labels = {voice: (BASE, voice) for voice in own}
        for name, converter in self.converters.items():
            if name != BASE:
                short = Path(name).name
                labels |= {f"{voice} ({short})": (name, voice) for voice in converter.voices}
        return labels | {voice: (BASE, voice) for voice in self.base.voices if voice in bundled}

    def chosen(self, label: str, other: str = "", share: float = 0.0) -> tuple[Converter, dict[str, float]]:
        """The converter of a voice, or of a mix of two, and the shares.

        Args:
            label: Label of the voice.
            other: Label of the voice to mix with; "" for none.
            share: Share of the other voice, 0 to 1.

        Raises:
            VoiceError: There is no such voice, or the two are of different models.
        """
        model, voice = self._find(label)
        if not other or other == label or share <= 0:
            return self.converters[model], {voice: 1.0}
        other_model, other_voice = self._find(other)
        if other_model != model:
            raise VoiceError(
                f"{label} and {other} are voices of different models, which cannot be mixed; choose two of one model"
            )
        if share >= 1:
            return self.converters[model], {other_voice: 1.0}
        return self.converters[model], {voice: 1.0 - share, other_voice: share}

    def add(self, name: str, converter: Converter) -> None:
        """Add a model whose voices this visitor can choose.

        Raises:
            VczooError: There are too many.
        """
        if len(self.converters) - len(self.pool.fixed) >= MOST_OWN and name not in self.converters:
            raise VczooError(f"this page keeps at most {MOST_OWN} models for you; reload it to begin anew")
        if not converter.voices:
            raise VoiceError(f"{Path(name).name} has no voice to convert to; choose another run")
        self.converters[name] = _copy(converter)

    def add_tuned(self, folder: Path) -> None:
        """Add the voices of a run that this visitor tuned: to the base where that is possible, so that they mix."""
        tuned = self.pool.own(folder)
        if tuned.run.delta is None:
            self.add(str(folder), tuned)
        elif not set(tuned.voices) & set(self.base.voices):
            self.base.add_voice(folder)

    def _find(self, label: str) -> tuple[str, str]:
        labels = self.labels()
        if label not in labels:
            raise VoiceError(f"no voice is called {label!r}{nearest(label, labels)} Choose one of the menu")
        return labels[label]


def _copy(converter: Converter) -> Converter:
    return Converter(replace(converter.run, voices=dict(converter.run.voices)), converter.device)
