"""The page: its layout, and its events."""

import inspect
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from ..errors import InvalidTypeError, import_extra
from ..pipelines import MemoryPipeline
from .downloads import FILE_NAME, Downloads
from .face import face_of
from .guard import PageGuard
from .hosts import read_names
from .page_events import PageEvents

SECONDS_KEPT = 3600
"""Seconds that a visitor's memory is kept after the last use."""
MOST_SESSIONS = 500
"""Number of visitors whose memories are kept."""
MOST_QUEUED = 100
"""Events in the queue."""
YOURS_ALONE = (
    "What you teach is yours alone: other visitors do not see it, and it is gone when you reload the page. Download "
    "the memory to keep it."
)
START_DOWNLOAD = f"""
file => {{
    if (!file) return;
    const link = document.createElement('a');
    link.href = `${{window.gradio_config?.root ?? '.'}}/gradio_api/file=${{file.path}}`;
    link.download = '{FILE_NAME}';
    document.body.append(link);
    link.click();
    link.remove();
}}
"""


def build_page(
    pipeline: MemoryPipeline,
    *,
    shared: bool = True,
    title: str | None = None,
    examples: Sequence[str] = (),
    on_change: Callable[[], None] | None = None,
    allowed_hosts: Iterable[str] = (),
) -> Any:
    """Builds a Gradio page of a pipeline with a memory: ask, see why, teach, forget, download the memory.

    The page of a classifier has a map of its memory, and that of a model that generates the stored pairs behind each
    token of its answer.

    `mann_hf.demo.launch` adds theme and styles. Once launched, the page is behind a `PageGuard`; if you mount it in
    your own application, put the guard before it:

        gradio.mount_gradio_app(app, page, "/page", app_kwargs={"middleware": [Middleware(PageGuard, page=page)]})

    Args:
        pipeline: a classifier of texts or images, for one label or several, or a `memory-augmented-generation`; its
            memory may be empty.
        shared: whether all visitors teach this pipeline. If not, each visitor has a copy of its memory, which is kept
            for an hour after the last use and has room for 1,000 entries more.
        title: title of the page.
        examples: texts to try, shown before the first question; of images there are none.
        on_change: called after each change of a shared memory, for example to save it.
        allowed_hosts: host names under which the page may be opened, in addition to those of this machine; for example
            that of a proxy. Pages of these hosts may use it, too.

    Returns:
        The `gradio.Blocks`.

    Raises:
        MissingExtraError: gradio or plotly is not installed.
        InvalidTypeError: it is no such pipeline, or `examples` or `allowed_hosts` is no list of texts.
        InvalidInputError: it is a regression, whose answers are numbers; an example is empty or too long to be asked;
            a host is no name.
    """
    gr: Any = import_extra("gradio", "the live page", "demo")
    import_extra("plotly", "the live page", "demo")
    face = face_of(pipeline)
    title = face.title if title is None else title
    if isinstance(examples, str) or not all(isinstance(one, str) for one in examples):
        raise InvalidTypeError(f"examples must be a list of texts, not {examples!r}.")
    examples = [face.read(one) for one in examples]
    hosts, downloads = read_names(allowed_hosts), Downloads()
    face.warm_up()

    page = _guarded(gr)(title=title, analytics_enabled=False, delete_cache=(SECONDS_KEPT,) * 2, fill_width=True)
    page.allowed_hosts, page.downloads = hosts, downloads
    with page:
        state, head = gr.State(time_to_live=SECONDS_KEPT), gr.HTML(face.head(title))
        if not shared:
            gr.HTML(f'<p class="mh-quiet">{YOURS_ALONE}</p>')
        with gr.Row():
            above = face.above(gr)
        with gr.Row():
            below = face.below(gr)
        parts = face.parts(state, head, *above, *below)
        for box in (parts.question, *parts.boxes, parts.wanted):
            box.preprocess = lambda given: given  # Gradio would make a text of every input
        events = face.events(
            parts,
            begin=lambda: face.session(pipeline) if shared else face.session.of_visitor(pipeline),
            on_change=on_change if shared else None,
            title=title,
            examples=examples,
            downloads=downloads,
        )
        _connect(gr, page, events, face.on_load)
    page.queue(max_size=MOST_QUEUED, api_open=False)
    return page


def _connect(gr: Any, page: Any, events: PageEvents, on_load: str | None) -> None:
    """Connects the components of the page with its events, and calls a function in JavaScript once it is there."""
    parts = events.parts
    # by which gradio knows what to pass; written "gr.EventData" it would need gradio when it is imported
    PageEvents.click.__annotations__["event"] = gr.EventData
    options: dict[str, Any] = {"show_progress": "hidden"}
    one_by_one: dict[str, Any] = {**options, "concurrency_limit": 1, "concurrency_id": "model"}
    private: dict[str, Any] = {"api_visibility": "private"}
    page.load(events.load, [parts.wanted], parts.view, **private, **one_by_one)
    if on_load is not None:
        page.load(None, js=on_load, **private)
    gr.on(
        [parts.question.submit, parts.ask.click],
        events.ask,
        [parts.state, parts.question, parts.wanted],
        parts.view,
        api_name="ask",
        **one_by_one,
    )
    gr.on(
        [parts.teach.click, *(box.submit for box in parts.boxes)],
        events.teach,
        [parts.state, *parts.lessons, parts.wanted],
        [*parts.view, *parts.emptied],
        api_name="teach",
        **one_by_one,
    )
    gr.on(
        [part.click for part in parts.clickable],
        events.click,
        [parts.state, parts.question, parts.wanted],
        [*parts.view, parts.question, parts.wanted],
        **private,
        **one_by_one,
    )
    parts.wanted.change(
        events.find, [parts.state, parts.wanted], parts.stored, trigger_mode="always_last", **private, **options
    )
    parts.download.click(
        events.download, [parts.state], [parts.file, parts.taught, parts.state], **private, **one_by_one
    ).success(None, [parts.file], js=START_DOWNLOAD, **private)


def launch(
    pipeline: MemoryPipeline,
    *,
    shared: bool = True,
    title: str | None = None,
    examples: Sequence[str] = (),
    on_change: Callable[[], None] | None = None,
    allowed_hosts: Iterable[str] = (),
    **kwargs: Any,
) -> Any:
    """Builds the page and serves it. It loads nothing from other machines, neither fonts nor scripts.

    Args:
        pipeline: see `build_page`, as are `shared`, `title`, `examples`, `on_change` and `allowed_hosts`.
        kwargs: further arguments of `gradio.Blocks.launch`, for example `server_port` or `prevent_thread_lock`.

    Returns:
        The `gradio.Blocks` that is served.

    Raises:
        MissingExtraError: gradio or plotly is not installed.
        InvalidInputError: it is a regression.
        OSError: the port is taken.
    """
    page = build_page(
        pipeline, shared=shared, title=title, examples=examples, on_change=on_change, allowed_hosts=allowed_hosts
    )
    gr: Any = import_extra("gradio", "the live page", "demo")
    fonts = [gr.themes.Font(name) for name in ("system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")]
    mono = [gr.themes.Font(name) for name in ("ui-monospace", "Consolas", "monospace")]
    theme = gr.themes.Default(primary_hue="indigo", neutral_hue="zinc", font=fonts, font_mono=mono)
    look = {
        "theme": theme.set(body_text_color_subdued="*neutral_600", body_text_color_subdued_dark="*neutral_300"),
        "css_paths": Path(__file__).with_name("page.css"),
        "footer_links": ["api"],
        "ssr_mode": False,  # or it would look for Node.js
        "state_session_capacity": MOST_SESSIONS,
    }
    if "run_history" in inspect.signature(gr.Blocks.launch).parameters:
        look["run_history"] = False  # or the browser would keep what was asked and taught, after it was forgotten
    page.launch(**{**look, **kwargs})
    return page


def _guarded(gr: Any) -> Any:
    """A subclass of Gradio's `Blocks` that puts a guard in front of its application whenever one is made."""

    def set_app(page: Any, app: Any) -> None:
        app.add_middleware(PageGuard, page=page)
        page.guarded_app = app

    return type(gr.Blocks)("Page", (gr.Blocks,), {"app": property(lambda page: page.guarded_app, set_app)})
