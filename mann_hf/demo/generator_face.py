"""The page of a model that generates: a text, and the stored pairs behind each of its tokens."""

from typing import Any

from ..pipelines import GENERATION_TASK, MemoryAugmentedGenerationPipeline
from . import pair_answers
from .bounds import typed_text
from .boxes import clickable, question_box, stored_entries, teaching, text_box
from .face import PAGE_FACES, PageFace
from .pair_events import PairEvents, PairParts
from .pair_session import PairSession


@PAGE_FACES.register("generator")
class GeneratorFace(PageFace):
    """Models that generate texts from pairs of a source and a target."""

    kind = MemoryAugmentedGenerationPipeline
    named = GENERATION_TASK
    title = "A text generator with a memory"
    parts, events, session = PairParts, PairEvents, PairSession

    def __init__(self, pipeline: MemoryAugmentedGenerationPipeline) -> None:
        self.pipeline = pipeline

    def read(self, given: str) -> str:
        return typed_text(given)

    def warm_up(self) -> None:
        self.pipeline.model.ready_search()
        self.pipeline("the first question", max_new_tokens=1)

    def head(self, title: str) -> str:
        return pair_answers.header(title, self.pipeline.model.memory, self.pipeline.model.config)

    def above(self, gr: Any) -> tuple[Any, ...]:
        with gr.Column(scale=6, min_width=320):
            question, ask = question_box(gr, self._line, "A text to answer")
            answer = clickable(gr, "mh-answer", elem_classes="mh-card")
        with gr.Column(scale=6, min_width=320):
            behind = clickable(gr, "mh-behind", elem_classes="mh-card")
        return question, ask, answer, behind

    def below(self, gr: Any) -> tuple[Any, ...]:
        with gr.Column(scale=6, min_width=320, elem_classes="mh-card"):
            gr.HTML("<h2>Teach</h2>")
            source = text_box(gr, "Source", "A text that will be asked", "mh-source")
            target = text_box(gr, "Target", "What it should answer", "mh-target")
            lesson = (source, target, *teaching(gr))
        return *lesson, *stored_entries(gr, "Find stored pairs", "Words of a source or a target")

    def _line(self, gr: Any, label: str, placeholder: str, elem_id: str, max_length: int, **options: Any) -> Any:
        return gr.Textbox(
            label=label, placeholder=placeholder, elem_id=elem_id, max_length=max_length, lines=1, **options
        )
