"""What the tabs of a page share: sessions, models, bounds, the menus of voices, and errors as sentences."""

from __future__ import annotations

import functools
import html
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vczoo.errors import VczooError
from vczoo.io.log import logger
from vczoo.ui.bounds import Bounds
from vczoo.ui.models import ModelPool, SessionVoices
from vczoo.ui.sessions import Session, SessionStore

__all__ = ["MODEL_QUEUE", "Page", "Settings"]

MODEL_QUEUE = "model"  # events that compute run one after the other: torch uses all cores


@dataclass(frozen=True)
class Settings:
    """How a page is served.

    Attributes:
        shares: Whether visitors may push to the Hub, with this machine's login: only on this machine.
        loads: Whether visitors may load published runs from the Hub.
        tunes: Whether visitors may tune.
        out: The folder that tuned voices are kept in; None deletes them with the session.
        examples: Recordings to try.
    """

    shares: bool = True
    loads: bool = True
    tunes: bool = True
    out: Path | None = None
    examples: tuple[str, ...] = ()


@dataclass
class Page:
    """What the tabs of a page share.

    Attributes:
        gr: The module gradio.
        store: The sessions.
        pool: The models.
        bounds: What is accepted.
        settings: How the page is served.
        token: Component that holds the session's token.
        menus: The menus of voices, in every tab, each with a function that returns its update.
        late: Called with all menus when every tab is laid out, for events that change the menus.
        loaders: What each tab shows when a page is opened: a function of the session, and the components it fills.
    """

    gr: Any
    store: SessionStore
    pool: ModelPool
    bounds: Bounds = field(default_factory=Bounds)
    settings: Settings = field(default_factory=Settings)
    token: Any = None
    menus: list[tuple[Any, Callable[[Session], Any]]] = field(default_factory=list)
    late: list[Callable[[list[Any]], Any]] = field(default_factory=list)
    loaders: list[tuple[Callable[[Session], list[Any]], list[Any]]] = field(default_factory=list)

    def voices(self, session: Session) -> SessionVoices:
        """The voices that a session can choose."""
        return SessionVoices.of(session, self.pool)

    def menu_updates(self, session: Session) -> list[Any]:
        """An update for each menu, in the order of `menus`."""
        return [update(session) for _, update in self.menus]

    def voice_menu(self, *, empty: str = "", **options: Any) -> Any:
        """Make a menu of voices.

        Args:
            empty: Label of its first choice, which is no voice; "" for none.
            options: Further arguments of gradio's Dropdown.
        """

        def choices(voices: SessionVoices) -> dict[str, Any]:
            labels = list(voices.labels())
            listed: list[Any] = [(empty, ""), *((label, label) for label in labels)] if empty else labels
            return {"choices": listed, "value": "" if empty else labels[0]}

        menu = self.gr.Dropdown(**choices(SessionVoices(self.pool)), **options)
        self.menus.append((menu, lambda session: self.gr.update(**choices(self.voices(session)))))
        return menu

    def voice_group(self, label: str, elem_id: str) -> Any:
        """Make a group of boxes, one for each voice."""
        labels = list(SessionVoices(self.pool).labels())
        group = self.gr.CheckboxGroup(labels, value=[], label=label, elem_id=elem_id)
        self.menus.append(
            (group, lambda session: self.gr.update(choices=list(self.voices(session).labels()), value=[]))
        )
        return group

    def on(self, event: Any, function: Callable[..., Any], inputs: Any = (), outputs: Any = (), **options: Any) -> Any:
        """Call a function with the session at an event of a component. Its errors are shown as sentences.

        Args:
            event: The event, such as `button.click`.
            function: Called with the session and the values of `inputs`.
            inputs: The components whose values it takes.
            outputs: The components that it fills.
            options: Further arguments of gradio's event.
        """
        options = {"show_progress": "minimal", "api_visibility": "private", **options}
        return event(self._spoken(function), [self.token, *inputs], list(outputs), **options)

    def _spoken(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(token: str, *values: Any) -> Any:
            try:
                return function(self.store.find(token), *values)
            except VczooError as error:
                sentence = str(error)
            except OSError as error:
                logger.exception("a request to the page failed")
                sentence = f"the server cannot read or write a file ({error.strerror}); tell whoever runs it"
            except Exception as error:
                logger.exception("a request to the page failed")
                sentence = f"unexpected {type(error).__name__}: this is a fault of vczoo; the server's log has more"
            raise self.gr.Error(html.escape(sentence), duration=None, print_exception=False)

        return call
