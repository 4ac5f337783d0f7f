"""Boxes, buttons and places that the pages of all pipelines have."""

from typing import Any

from .bounds import MOST_LETTERS_SENT, MOST_LETTERS_TYPED

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
    if (button.ariaPressed) element.querySelectorAll('[aria-pressed]').forEach(one => one.ariaPressed = one === button);
    trigger('click', { ...button.dataset });
});
"""
"""When the button that was clicked is gone with its entry, the keyboard focus moves to the button in its place. Of
buttons that can be pressed, one is."""
LINE: dict[str, Any] = {"lines": 1, "max_lines": 1}


def letters(most: int) -> int:
    """`max_length` of a text box: it counts some letters as two, and one too many must arrive to be refused."""
    return 2 * (most + 1)


def text_box(gr: Any, label: str, placeholder: str, elem_id: str) -> Any:
    """A box for a text that is taught."""
    limit = letters(MOST_LETTERS_TYPED)
    return gr.Textbox(label=label, placeholder=placeholder, elem_id=elem_id, max_length=limit, lines=1)


def question_box(gr: Any, box: Any, placeholder: str) -> tuple[Any, Any]:
    """The box for a question, and its button.

    Args:
        gr: the package gradio.
        box: makes the box, as `PageInputs.box`.
        placeholder: shown in it while it is empty.
    """
    with gr.Row(elem_classes="mh-ask", equal_height=True):
        limit, size = letters(MOST_LETTERS_TYPED), {"max_lines": 1, "scale": 5, "min_width": 180}
        question = box(gr, "Ask", placeholder, "mh-question", limit, **size)
        ask = gr.Button("Ask", variant="primary", scale=1, min_width=80, elem_id="mh-ask")
    return question, ask


def clickable(gr: Any, elem_id: str, **look: Any) -> Any:
    """A place of the page with buttons."""
    return gr.HTML(elem_id=elem_id, js_on_load=ON_CLICK, **look)


def teaching(gr: Any) -> tuple[Any, Any, Any, Any]:
    """The button to teach, the place of its messages, the button to download, and the place of the file."""
    teach = gr.Button("Teach", variant="primary", elem_id="mh-teach")
    taught = gr.HTML(elem_id="mh-taught")
    download = gr.Button("Download the memory", elem_id="mh-download")
    return teach, taught, download, gr.JSON(visible="hidden", elem_id="mh-file")


def stored_entries(gr: Any, label: str, placeholder: str) -> tuple[Any, Any, Any]:
    """The search box for what is stored, its list, and the place of messages about forgetting."""
    with gr.Column(scale=6, min_width=320, elem_classes="mh-card"):
        gr.HTML("<h2>Forget</h2>")
        limit = letters(MOST_LETTERS_SENT)
        wanted = gr.Textbox(label=label, placeholder=placeholder, elem_id="mh-wanted", max_length=limit, **LINE)
        stored = clickable(gr, "mh-stored")
        forgotten = gr.HTML(elem_id="mh-forgotten")
    return wanted, stored, forgotten
