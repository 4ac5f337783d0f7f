"""The page: its layout, and its events."""

import inspect
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from ..errors import InvalidInputError, InvalidTypeError, import_extra
from ..models.card_files import public_name
from ..pipelines import FewShotPipeline
from ..targets.kinds import targets_of
from ..wording import with_article
from . import answers
from .bounds import MOST_LETTERS_OF_NAME, MOST_LETTERS_SENT, MOST_LETTERS_TYPED, MOST_NAMES
from .downloads import FILE_NAME, Downloads
from .events import DESCRIPTION, EXAMPLE, Events, Parts
from .guard import PageGuard
from .hosts import read_names
from .inputs import PageInputs, inputs_of
from .session import Session

TITLE = "A classifier with a memory"
BY_DIGEST = "A label, or the beginning of a digest"
"""The hint of the search box where entries hold digests, which people do not read."""
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
ON_CLICK = """
element.addEventListener('click', event => {
    const button = event.target.closest('button');
    if (!button) return;
    if (button.dataset.forget) {
        const place = [...element.querySelectorAll('[data-forget]')].indexOf(button);
        new MutationObserver((_, observer) => {
            if (button.isConnected) return;
            observer.disconnect();
            if (document.activeElement === document.body) {
                const left = [...element.querySelectorAll('[data-forget]')];
                left[Math.min(place, left.length - 1)]?.focus({ preventScroll: true });
            }
        }).observe(element, { childList: true, subtree: true });
    }
    trigger('click', { ...button.dataset });
});
"""
"""When the button that was clicked is gone with its example, the keyboard focus moves to the button in its place."""
ON_LOAD = f"""
() => {{
    document.querySelector('#mh-label input').setAttribute('list', '{answers.KNOWN_LABELS}');
    const map = document.querySelector('#mh-map');
    map.setAttribute('role', 'img');
    map.setAttribute('aria-label', 'Map of the memory: stored examples as points, coloured by label, near to others ' +
        'of like meaning, and the question as a star. The labels are listed below it.');
}}
"""
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
    classifier: FewShotPipeline,
    *,
    shared: bool = True,
    title: str = TITLE,
    examples: Sequence[str] = (),
    on_change: Callable[[], None] | None = None,
    allowed_hosts: Iterable[str] = (),
) -> Any:
    """Builds a Gradio page of a classifier: ask, see why, teach, forget, see the memory as a map, download it.

    `mann_hf.demo.launch` adds theme and styles. Once launched, the page is behind a `PageGuard`; if you mount it in
    your own application, put the guard before it:

        gradio.mount_gradio_app(app, page, "/page", app_kwargs={"middleware": [Middleware(PageGuard, page=page)]})

    Args:
        classifier: of texts or images, for one label or several; its memory may be empty.
        shared: whether all visitors teach this classifier. If not, each visitor has a copy of its memory, which is kept
            for an hour after the last use.
        title: title of the page.
        examples: texts to try, shown before the first question; of images there are none.
        on_change: called after each change of a shared memory, for example to save it.
        allowed_hosts: host names under which the page may be opened, in addition to those of this machine; for example
            that of a proxy. Pages of these hosts may use it, too.

    Returns:
        The `gradio.Blocks`.

    Raises:
        MissingExtraError: gradio or plotly is not installed.
        InvalidTypeError: the classifier is no few-shot pipeline, or `examples` or `allowed_hosts` is no list of texts.
        InvalidInputError: it is a regression, whose answers are numbers; an example is empty or too long to be asked;
            a host is no name.
    """
    gr: Any = import_extra("gradio", "the live page", "demo")
    import_extra("plotly", "the live page", "demo")
    inputs = inputs_of(classifier)
    config = classifier.model.config
    targets = targets_of(config.problem_type)
    if not targets.named:
        raise InvalidInputError(
            "the live page shows labels and scores, which a regression does not have: use the pipeline or `mann-hf "
            "predict`."
        )
    if isinstance(examples, str) or not all(isinstance(one, str) for one in examples):
        raise InvalidTypeError(f"examples must be a list of texts, not {examples!r}.")
    examples = [inputs.read(one) for one in examples]
    hosts, downloads = read_names(allowed_hosts), Downloads()
    _warm_up(classifier, inputs)

    page = _guarded(gr)(title=title, analytics_enabled=False, delete_cache=(SECONDS_KEPT,) * 2, fill_width=True)
    page.allowed_hosts, page.downloads = hosts, downloads
    with page:
        state, encoder = gr.State(time_to_live=SECONDS_KEPT), public_name(config.encoder_name)
        head = gr.HTML(answers.part("header", title, classifier.model.memory, encoder, config.reading, inputs.noun))
        if not shared:
            gr.HTML(f'<p class="mh-quiet">{YOURS_ALONE}</p>')
        with gr.Row():
            above = [*_question_and_answer(gr, inputs), *_map_and_legend(gr)]
        with gr.Row():
            below = [*_lesson(gr, inputs, targets.several), *_stored_examples(gr, inputs)]
        parts = Parts(state, head, *above, *below)
        for box in (parts.question, parts.lesson, parts.label, parts.wanted):
            box.preprocess = lambda given: given  # Gradio would make a text of every input
        events = Events(
            parts,
            begin=lambda: Session(classifier if shared else classifier.with_own_memory()),
            on_change=on_change if shared else None,
            title=title,
            examples=examples,
            downloads=downloads,
        )
        _connect(gr, page, events)
    page.queue(max_size=MOST_QUEUED, api_open=False)
    return page


def _question_and_answer(gr: Any, inputs: PageInputs) -> tuple[Any, Any, Any]:
    """The box for a question, its button, and the place of the answer."""
    with gr.Column(scale=6, min_width=320):
        with gr.Row(elem_classes="mh-ask", equal_height=True):
            limit, size = _letters(MOST_LETTERS_TYPED), {"max_lines": 1, "scale": 5, "min_width": 180}
            question = inputs.box(gr, "Ask", "A text to classify", "mh-question", limit, **size)
            ask = gr.Button("Ask", variant="primary", scale=1, min_width=80, elem_id="mh-ask")
        answer = gr.HTML(elem_id="mh-answer", elem_classes="mh-card", js_on_load=ON_CLICK)
    return question, ask, answer


def _map_and_legend(gr: Any) -> tuple[Any, Any]:
    """The map of the memory and its legend."""
    with gr.Column(scale=6, min_width=320):
        chart = gr.Plot(label="Map of the memory", show_label=False, elem_id="mh-map", elem_classes="mh-card")
        legend = gr.HTML(elem_id="mh-legend", js_on_load=ON_CLICK)
    return chart, legend


def _lesson(gr: Any, inputs: PageInputs, several: bool) -> tuple[Any, ...]:
    """The boxes and buttons to teach and to download, with the places of their messages and of the file."""
    with gr.Column(scale=6, min_width=320, elem_classes="mh-card"):
        gr.HTML("<h2>Teach</h2>")
        name, limit = inputs.noun.capitalize(), _letters(MOST_LETTERS_TYPED)
        lesson = inputs.box(gr, name, "A text it should know", "mh-lesson", limit)
        label = gr.Textbox(
            label="Labels" if several else "Label",
            info=f"A known label or a new one{', several with | between them' if several else ''}. A new label is a "
            "new class.",
            lines=1,
            max_lines=1,
            elem_id="mh-label",
            max_length=_letters(MOST_LETTERS_OF_NAME * (MOST_NAMES if several else 1)),
        )
        kinds = [EXAMPLE, DESCRIPTION] if inputs.described else [EXAMPLE]
        look: dict[str, Any] = {"elem_id": "mh-kind", "container": False, "visible": inputs.described}
        kind = gr.Radio(kinds, value=EXAMPLE, label="The text is", **look)
        teach = gr.Button("Teach", variant="primary", elem_id="mh-teach")
        taught = gr.HTML(elem_id="mh-taught")
        download = gr.Button("Download the memory", elem_id="mh-download")
        file = gr.JSON(visible="hidden", elem_id="mh-file")
    return lesson, label, kind, teach, taught, download, file


def _stored_examples(gr: Any, inputs: PageInputs) -> tuple[Any, Any, Any]:
    """The search box for stored examples, their list, and the place of messages about forgetting."""
    with gr.Column(scale=6, min_width=320, elem_classes="mh-card"):
        gr.HTML("<h2>Forget</h2>")
        wanted = gr.Textbox(
            label="Find stored examples",
            placeholder=f"Words of {with_article(inputs.noun)}, or a label" if inputs.readable else BY_DIGEST,
            lines=1,
            max_lines=1,
            elem_id="mh-wanted",
            max_length=_letters(MOST_LETTERS_SENT),
        )
        stored = gr.HTML(elem_id="mh-stored", js_on_load=ON_CLICK)
        forgotten = gr.HTML(elem_id="mh-forgotten")
    return wanted, stored, forgotten


def _connect(gr: Any, page: Any, events: Events) -> None:
    """Connects the components of the page with its events."""
    parts = events.parts
    # by which gradio knows what to pass; written "gr.EventData" it would need gradio when it is imported
    Events.click.__annotations__["event"] = gr.EventData
    options: dict[str, Any] = {"show_progress": "hidden"}
    one_by_one: dict[str, Any] = {**options, "concurrency_limit": 1, "concurrency_id": "classifier"}
    private: dict[str, Any] = {"api_visibility": "private"}
    page.load(events.load, [parts.wanted], events.view, **private, **one_by_one)
    page.load(None, js=ON_LOAD, **private)
    gr.on(
        [parts.question.submit, parts.ask.click],
        events.ask,
        [parts.state, parts.question, parts.wanted],
        events.view,
        api_name="ask",
        **one_by_one,
    )
    gr.on(
        [parts.teach.click, parts.lesson.submit, parts.label.submit],
        events.teach,
        [parts.state, parts.lesson, parts.label, parts.kind, parts.wanted],
        [*events.view, parts.lesson],
        api_name="teach",
        **one_by_one,
    )
    gr.on(
        [parts.answer.click, parts.legend.click, parts.stored.click],
        events.click,
        [parts.state, parts.question, parts.wanted],
        [*events.view, parts.question, parts.wanted],
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
    classifier: FewShotPipeline,
    *,
    shared: bool = True,
    title: str = TITLE,
    examples: Sequence[str] = (),
    on_change: Callable[[], None] | None = None,
    allowed_hosts: Iterable[str] = (),
    **kwargs: Any,
) -> Any:
    """Builds the page and serves it. It loads nothing from other machines, neither fonts nor scripts.

    Args:
        classifier: see `build_page`, as are `shared`, `title`, `examples`, `on_change` and `allowed_hosts`.
        kwargs: further arguments of `gradio.Blocks.launch`, for example `server_port` or `prevent_thread_lock`.

    Returns:
        The `gradio.Blocks` that is served.

    Raises:
        MissingExtraError: gradio or plotly is not installed.
        InvalidInputError: the classifier is a regression.
        OSError: the port is taken.
    """
    page = build_page(
        classifier, shared=shared, title=title, examples=examples, on_change=on_change, allowed_hosts=allowed_hosts
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


def _letters(most: int) -> int:
    """`max_length` of a text box: it counts some letters as two, and one too many must arrive to be refused."""
    return 2 * (most + 1)


def _warm_up(classifier: FewShotPipeline, inputs: PageInputs) -> None:
    """Does at the start what would make the first question slow."""
    model = classifier.model
    model.embed_inputs(classifier.input_processor, [inputs.first()])
    if len(model.memory):
        model.ready_memory()
