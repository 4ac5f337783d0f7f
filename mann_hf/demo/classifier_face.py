"""The page of a classifier: an answer with the examples behind it, and a map of the memory."""

from typing import Any

from ..errors import InvalidInputError
from ..models.card_files import public_name
from ..pipelines import FewShotPipeline
from ..targets.kinds import targets_of
from ..wording import with_article
from . import answers
from .bounds import MOST_LETTERS_OF_NAME, MOST_LETTERS_TYPED, MOST_NAMES
from .boxes import LINE, clickable, letters, question_box, stored_entries, teaching
from .events import DESCRIPTION, EXAMPLE, Events, Parts
from .face import PAGE_FACES, PageFace
from .inputs import inputs_of
from .session import Session

BY_DIGEST = "A label, or the beginning of a digest"
"""The hint of the search box where entries hold digests, which people do not read."""


@PAGE_FACES.register("classifier")
class ClassifierFace(PageFace):
    """Classifiers of any inputs in `PAGE_INPUTS`, for one label or several."""

    kind = FewShotPipeline
    named = "few-shot-text-classification, few-shot-image-classification"
    title = "A classifier with a memory"
    parts, events, session = Parts, Events, Session
    on_load = f"""
() => {{
    document.querySelector('#mh-label input').setAttribute('list', '{answers.KNOWN_LABELS}');
    const map = document.querySelector('#mh-map');
    map.setAttribute('role', 'img');
    map.setAttribute('aria-label', 'Map of the memory: stored examples as points, coloured by label, near to others ' +
        'of like meaning, and the question as a star. The labels are listed below it.');
}}
"""

    def __init__(self, pipeline: FewShotPipeline) -> None:
        self.pipeline, self.inputs = pipeline, inputs_of(pipeline)
        self.targets = targets_of(pipeline.model.config.problem_type)
        if not self.targets.named:
            raise InvalidInputError(
                "the live page shows labels and scores, which a regression does not have: use the pipeline or "
                "`mann-hf predict`."
            )

    def read(self, given: str) -> Any:
        return self.inputs.read(given)

    def warm_up(self) -> None:
        model = self.pipeline.model
        model.embed_inputs(self.pipeline.input_processor, [self.inputs.first()])
        if len(model.memory):
            model.ready_memory()

    def head(self, title: str) -> str:
        config, noun = self.pipeline.model.config, self.inputs.noun
        encoder = public_name(config.encoder_name)
        return answers.part("header", title, self.pipeline.model.memory, encoder, config.reading, noun)

    def above(self, gr: Any) -> tuple[Any, ...]:
        with gr.Column(scale=6, min_width=320):
            question, ask = question_box(gr, self.inputs.box, "A text to classify")
            answer = clickable(gr, "mh-answer", elem_classes="mh-card")
        with gr.Column(scale=6, min_width=320):
            chart = gr.Plot(label="Map of the memory", show_label=False, elem_id="mh-map", elem_classes="mh-card")
            legend = clickable(gr, "mh-legend")
        return question, ask, answer, chart, legend

    def below(self, gr: Any) -> tuple[Any, ...]:
        inputs = self.inputs
        hint = f"Words of {with_article(inputs.noun)}, or a label" if inputs.readable else BY_DIGEST
        return *self._lesson(gr), *stored_entries(gr, "Find stored examples", hint)

    def _lesson(self, gr: Any) -> tuple[Any, ...]:
        """The boxes and buttons to teach and to download, with the places of their messages and of the file."""
        inputs, several = self.inputs, self.targets.several
        with gr.Column(scale=6, min_width=320, elem_classes="mh-card"):
            gr.HTML("<h2>Teach</h2>")
            name, limit = inputs.noun.capitalize(), letters(MOST_LETTERS_TYPED)
            lesson = inputs.box(gr, name, "A text it should know", "mh-lesson", limit)
            label = gr.Textbox(
                label="Labels" if several else "Label",
                info=f"A known label or a new one{', several with | between them' if several else ''}. A new label is "
                "a new class.",
                elem_id="mh-label",
                max_length=letters(MOST_LETTERS_OF_NAME * (MOST_NAMES if several else 1)),
                **LINE,
            )
            kinds = [EXAMPLE, DESCRIPTION] if inputs.described else [EXAMPLE]
            look: dict[str, Any] = {"elem_id": "mh-kind", "container": False, "visible": inputs.described}
            kind = gr.Radio(kinds, value=EXAMPLE, label="The text is", **look)
            return lesson, label, kind, *teaching(gr)
