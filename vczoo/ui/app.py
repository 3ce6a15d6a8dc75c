"""Page of `vczoo ui`: lays out the tabs, and serves them until the server ends."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from vczoo.errors import VczooError
from vczoo.io.optional_imports import require
from vczoo.io.temporary import temporary_folder
from vczoo.ui.bounds import Bounds, check_address, is_local
from vczoo.ui.compare_tab import build_compare_tab
from vczoo.ui.convert_tab import build_convert_tab
from vczoo.ui.gate import Gate
from vczoo.ui.make_tab import build_make_tab
from vczoo.ui.models import ModelPool
from vczoo.ui.page import Page, Settings
from vczoo.ui.sessions import Session, SessionStore
from vczoo.ui.share_tab import build_share_tab

__all__ = ["Server", "build_page"]

HERE = Path(__file__).parent
TITLE = "vczoo: voice conversion"
INTRODUCTION = (
    "# vczoo\nConvert speech to another voice. Use it for voices that you have the right to use. "
    "Results are marked as synthetic."
)


class Server(AbstractContextManager["Server"]):
    """A served page. As a context manager it serves from the beginning to the end of the block.

    Args:
        runs: Run folders and published runs whose voices every visitor can choose.
        host: Address to serve at.
        port: Port; 0 for any that is free.
        token: What visitors must know; needed unless only this machine can reach `host`.
        device: Torch device to compute on; None means a GPU if there is one.
        out: The folder that tuned voices are kept in; None deletes them with the session.
        bounds: What is accepted.
        public: Whether anybody may be a visitor, as on a Hugging Face Space: without a token, without the Hub and
            without tuning.
        examples: Recordings to try.

    Attributes:
        url: Where the page is.
        folder: The working folder.

    Raises:
        VczooError: The address needs a token, the port is taken, or a run cannot be loaded.
        PluginError: The extra `ui` is not installed.
    """

    def __init__(
        self,
        runs: Sequence[str | Path] = (),
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        token: str = "",
        device: str | None = None,
        out: Path | None = None,
        bounds: Bounds | None = None,
        public: bool = False,
        examples: Sequence[str] = (),
    ) -> None:
        if not public:
            check_address(host, token)
        self.runs, self.host, self.port, self.token, self.device = tuple(runs), host, port, token, device
        self.bounds = bounds or Bounds()
        local = is_local(host) and not public
        self.settings = Settings(local, not public, not public, out, tuple(examples))
        self.hosts = frozenset({"localhost", "127.0.0.1", "::1", host.strip("[]")}) if local else frozenset()
        self.gr = _gradio()
        self.url, self.folder = "", Path()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.folder = stack.enter_context(temporary_folder("ui")).resolve()
            os.environ["GRADIO_TEMP_DIR"] = str(self.folder)  # where uploads go; gradio looks it up at each one
            store = SessionStore(self.folder, self.bounds.visitors, self.bounds.grace_seconds)
            stack.callback(store.close)
            store.keep_sweeping()
            page = Page(self.gr, store, ModelPool(self.runs, self.device), self.bounds, self.settings)
            blocks = build_page(page)
            stack.callback(blocks.close, verbose=False)
            self._launch(blocks)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def wait(self) -> None:
        """Serve until Ctrl-C."""
        import threading

        threading.Event().wait()

    def _launch(self, blocks: Any) -> None:
        gate: dict[str, Any] = {
            "folder": self.folder,
            "token": self.token,
            "hosts": self.hosts,
            "upload_bytes": self.bounds.upload_bytes,
            "is_full": lambda: _size(self.folder) > self.bounds.disk_bytes,
        }
        from starlette.middleware import Middleware

        try:
            with _no_proxy(self.host):
                _, self.url, _ = blocks.launch(
                    server_name=self.host,
                    server_port=self.port or _free_port(self.host),
                    prevent_thread_lock=True,
                    quiet=True,
                    share=False,
                    inbrowser=False,
                    max_file_size=self.bounds.upload_bytes,
                    enable_monitoring=False,
                    ssr_mode=False,
                    pwa=False,
                    mcp_server=False,
                    footer_links=[],
                    favicon_path=None,
                    app_kwargs={"middleware": [Middleware(Gate, **gate)], "docs_url": None, "redoc_url": None},
                    theme=_theme(self.gr),
                    css=(HERE / "page.css").read_text("utf-8"),
                    head=f"<script>{(HERE / 'page.js').read_text('utf-8')}</script>",
                )
        except OSError as error:
            raise VczooError(
                f"{self.host}:{self.port} cannot be served ({error}); choose another --port, or end what uses it"
            ) from error


def build_page(page: Page) -> Any:
    """Lay out all tabs.

    Returns:
        The gradio Blocks.
    """
    gr = page.gr
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(600, 7200)) as blocks:
        page.token = gr.State("")
        remembered = gr.BrowserState("", storage_key="vczoo-session")
        gr.Markdown(INTRODUCTION)
        with gr.Tabs():
            with gr.Tab("Convert", id="convert"):
                build_convert_tab(page)
            with gr.Tab("Make a voice", id="make"):
                build_make_tab(page)
            with gr.Tab("Compare", id="compare"):
                build_compare_tab(page)
            with gr.Tab("Share", id="share"):
                build_share_tab(page)
        menus = [component for component, _ in page.menus]
        for wire in page.late:
            wire(menus)
        _wire_sessions(page, blocks, remembered, menus)
    blocks.queue(max_size=page.bounds.queue, api_open=False, default_concurrency_limit=4)
    return blocks


def _wire_sessions(page: Page, blocks: Any, remembered: Any, menus: list[Any]) -> None:
    """Open a session, or the one that the browser remembers, with each page; note when the page is gone."""
    gr = page.gr
    filled = [component for _, components in page.loaders for component in components]

    def opened(token: str, request: Any) -> list[Any]:
        try:
            session: Session = page.store.open(token or "", request.session_hash)
        except VczooError as error:
            raise gr.Error(str(error), duration=None, print_exception=False) from None
        contents = [value for fill, _ in page.loaders for value in fill(session)]
        return [session.token, session.token, *page.menu_updates(session), *contents]

    def left(request: Any) -> None:
        page.store.leave(request.session_hash)

    # The annotations are strings, which gradio would look up in this module; it passes the request by its class.
    opened.__annotations__["request"] = left.__annotations__["request"] = gr.Request
    blocks.load(opened, [remembered], [page.token, remembered, *menus, *filled], api_visibility="private", queue=False)
    blocks.unload(left)


def _gradio() -> Any:
    """Import gradio so that it sends nothing to anybody."""
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    return require("gradio", "vczoo ui", "ui")


@contextmanager
def _no_proxy(host: str) -> Iterator[None]:
    """Let nobody ask a proxy for this machine: gradio asks its own server when it starts, and waits without an end."""
    with ExitStack() as stack:
        for name in ("NO_PROXY", "no_proxy"):
            before = os.environ.get(name)
            os.environ[name] = ",".join(filter(None, (before, "127.0.0.1", "localhost", "::1", host.strip("[]"))))
            stack.callback(os.environ.__setitem__, name, before) if before else stack.callback(os.environ.pop, name)
        yield


def _theme(gr: Any) -> Any:
    """Gradio's plainest theme with the system's fonts, so that nothing is loaded from elsewhere."""
    return gr.themes.Default(
        primary_hue=gr.themes.colors.cyan,
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    ).set(
        button_primary_background_fill="#0b5563",
        button_primary_background_fill_dark="#0b5563",
        button_primary_background_fill_hover="#083f4a",
        button_primary_background_fill_hover_dark="#0e6b7c",
        button_primary_text_color="#ffffff",
        color_accent="#0b5563",
        link_text_color="#0b5563",
        link_text_color_dark="#7fd4e4",
        body_text_color_subdued="#4b5563",
        block_label_text_color="#1f2937",
        block_info_text_color="#4b5563",
    )


def _free_port(host: str) -> int:
    import socket

    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host.strip("[]"), 0))
        port: int = probe.getsockname()[1]
        return port


def _size(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
