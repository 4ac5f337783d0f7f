"""The page: its layout, and which event does what."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..errors import InvalidInputError, InvalidTypeError, import_extra
from ..memory.reading import MULTI_LABEL, REGRESSION, SINGLE_LABEL
from ..models.card_files import public_name
from ..pipelines import FewShotTextClassificationPipeline
from . import answers
from .events import DESCRIPTION, EXAMPLE, Events, Parts
from .session import Session

TITLE = "A classifier with a memory"
SECONDS_KEPT = 3600
"""How long a visitor's memory and files are kept after the last use."""
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
"""What is clicked goes when its example is forgotten; the focus of the keyboard then moves to what is in its place."""
ON_LOAD = f"""
() => {{
    document.querySelector('#mh-label input').setAttribute('list', '{answers.KNOWN_LABELS}');
    const map = document.querySelector('#mh-map');
    map.setAttribute('role', 'img');
    map.setAttribute('aria-label', 'Map of the memory: stored examples as points, coloured by label, near to others ' +
        'of like meaning, and the text that was asked as a star. The labels are listed below it.');
}}
"""
START_DOWNLOAD = "() => setTimeout(() => document.querySelector('#mh-file').click(), 200)"


def build_page(
    classifier: FewShotTextClassificationPipeline,
    *,
    shared: bool = True,
    title: str = TITLE,
    examples: Sequence[str] = (),
    on_change: Callable[[], None] | None = None,
) -> Any:
    """A Gradio page over a classifier: ask, see why, teach, forget, see the memory as a map, download it.

    Its look comes with `launch`, which takes theme and styles; the page that is returned can be mounted anywhere.

    Args:
        classifier: for one label or several; its memory may be empty.
        shared: whether all visitors teach this one classifier. If not, each has a memory that begins as the
            classifier's and is kept for an hour after the last use.
        title: of the page.
        examples: texts to try, offered before the first question.
        on_change: called after each change of a shared memory, for example to save it.

    Returns:
        A `gradio.Blocks`.

    Raises:
        MissingExtraError: gradio or plotly is not installed.
        InvalidTypeError: the classifier is no few-shot pipeline.
        InvalidInputError: it is a regression, whose answers are numbers.
    """
    gr: Any = import_extra("gradio", "the live page", "demo")
    import_extra("plotly", "the live page", "demo")
    if not isinstance(classifier, FewShotTextClassificationPipeline):
        raise InvalidTypeError(
            f"the page shows a few-shot-text-classification pipeline; a {type(classifier).__name__} came."
        )
    config = classifier.model.config
    problem_type = config.problem_type or SINGLE_LABEL
    if problem_type == REGRESSION:
        raise InvalidInputError(
            "the live page shows labels and their scores, and a regression has numbers in their place: ask it with "
            "the pipeline or `mann-hf predict`."
        )
    several = problem_type == MULTI_LABEL
    _warm_up(classifier)

    with gr.Blocks(title=title, analytics_enabled=False, delete_cache=(SECONDS_KEPT,) * 2, fill_width=True) as page:
        state = gr.State(time_to_live=SECONDS_KEPT)
        head = gr.HTML(answers.header(title, classifier.model.memory, public_name(config.encoder_name), config.reading))
        if not shared:
            gr.HTML(f'<p class="mh-quiet">{YOURS_ALONE}</p>')
        with gr.Row():
            with gr.Column(scale=6, min_width=320):
                with gr.Row(elem_classes="mh-ask", equal_height=True):
                    question = gr.Textbox(
                        label="Ask",
                        placeholder="A text to classify",
                        lines=1,
                        max_lines=1,
                        scale=5,
                        min_width=180,
                        elem_id="mh-question",
                    )
                    ask = gr.Button("Ask", variant="primary", scale=1, min_width=80, elem_id="mh-ask")
                told = gr.HTML(elem_id="mh-answer", elem_classes="mh-card", js_on_load=ON_CLICK)
            with gr.Column(scale=6, min_width=320):
                chart = gr.Plot(label="Map of the memory", show_label=False, elem_id="mh-map", elem_classes="mh-card")
                labels_shown = gr.HTML(elem_id="mh-legend", js_on_load=ON_CLICK)
        with gr.Row():
            with gr.Column(scale=6, min_width=320, elem_classes="mh-card"):
                gr.HTML("<h2>Teach</h2>")
                lesson = gr.Textbox(label="Text", placeholder="A text it should know", lines=1, elem_id="mh-lesson")
                label = gr.Textbox(
                    label="Labels" if several else "Label",
                    info=f"A known label or a new one{', several with | between them' if several else ''}. A new "
                    "label is a new class.",
                    lines=1,
                    max_lines=1,
                    elem_id="mh-label",
                )
                kind = gr.Radio(
                    [EXAMPLE, DESCRIPTION], value=EXAMPLE, label="The text is", elem_id="mh-kind", container=False
                )
                teach = gr.Button("Teach", variant="primary", elem_id="mh-teach")
                taught = gr.HTML(elem_id="mh-taught")
                download = gr.Button("Download the memory", elem_id="mh-download")
                file = gr.DownloadButton("memory.safetensors", visible="hidden", elem_id="mh-file")
            with gr.Column(scale=6, min_width=320, elem_classes="mh-card"):
                gr.HTML("<h2>Forget</h2>")
                wanted = gr.Textbox(
                    label="Find stored examples",
                    placeholder="Words of a text, or a label",
                    lines=1,
                    max_lines=1,
                    elem_id="mh-wanted",
                )
                stored = gr.HTML(elem_id="mh-stored", js_on_load=ON_CLICK)
                forgotten = gr.HTML(elem_id="mh-forgotten")
        parts = Parts(state, head, question, told, chart, labels_shown, lesson, taught, wanted, stored, forgotten)
        events = Events(
            parts,
            begin=lambda: Session(classifier if shared else classifier.with_own_memory()),
            on_change=on_change if shared else None,
            title=title,
            examples=examples,
        )
        # by which gradio knows what to pass; written "gr.EventData" it would need gradio when it is imported
        Events.click.__annotations__["event"] = gr.EventData
        options: dict[str, Any] = {"show_progress": "hidden"}
        one_by_one: dict[str, Any] = {**options, "concurrency_limit": 1, "concurrency_id": "classifier"}
        page.load(events.load, [wanted], events.view, api_visibility="private", **one_by_one)
        page.load(None, js=ON_LOAD, api_visibility="private")
        gr.on(
            [question.submit, ask.click],
            events.ask,
            [state, question, wanted],
            [*events.view, *events.notices],
            api_name="ask",
            **one_by_one,
        )
        gr.on(
            [teach.click, lesson.submit, label.submit],
            events.teach,
            [state, lesson, label, kind, wanted],
            [*events.view, *events.notices, lesson],
            api_name="teach",
            **one_by_one,
        )
        gr.on(
            [told.click, labels_shown.click, stored.click],
            events.click,
            [state, question, wanted],
            [*events.view, *events.notices, question, wanted],
            api_visibility="private",
            **one_by_one,
        )
        wanted.change(
            events.find, [state, wanted], stored, trigger_mode="always_last", api_visibility="private", **options
        )
        download.click(events.download, [state], [file, taught], api_visibility="private", **one_by_one).success(
            None, js=START_DOWNLOAD, api_visibility="private"
        )
    return page


def launch(
    classifier: FewShotTextClassificationPipeline,
    *,
    shared: bool = True,
    title: str = TITLE,
    examples: Sequence[str] = (),
    on_change: Callable[[], None] | None = None,
    **kwargs: Any,
) -> Any:
    """Builds the page and serves it; it asks nothing of any other machine, no fonts and no scripts.

    Args:
        classifier: see `build_page`, as are `shared`, `title`, `examples` and `on_change`.
        kwargs: of `gradio.Blocks.launch`, for example `server_port` or `prevent_thread_lock`.

    Returns:
        The `gradio.Blocks` that is served.

    Raises:
        MissingExtraError: gradio or plotly is not installed.
        InvalidInputError: the classifier is a regression.
        OSError: the port is taken.
    """
    page = build_page(classifier, shared=shared, title=title, examples=examples, on_change=on_change)
    gr: Any = import_extra("gradio", "the live page", "demo")
    fonts = [gr.themes.Font(name) for name in ("system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")]
    mono = [gr.themes.Font(name) for name in ("ui-monospace", "Consolas", "monospace")]
    theme = gr.themes.Default(primary_hue="indigo", neutral_hue="zinc", font=fonts, font_mono=mono)
    look = {
        "theme": theme.set(body_text_color_subdued="*neutral_600", body_text_color_subdued_dark="*neutral_300"),
        "css_paths": Path(__file__).with_name("page.css"),
        "footer_links": ["api"],
        "ssr_mode": False,  # or it would look for Node.js
    }
    page.launch(**{**look, **kwargs})
    return page


def _warm_up(classifier: FewShotTextClassificationPipeline) -> None:
    """Does once what would make the first question wait."""
    model = classifier.model
    model.embed_texts(classifier.tokenizer, ["the first question"])
    if len(model.memory):
        model.ready_memory()
