"""What a visitor gives, such as texts, which are typed, or images, which are chosen. Each has its box on the page."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from ..controllers.kinds import IMAGE, TEXT
from ..controllers.text import tokenize
from ..errors import InvalidTypeError
from ..pipelines import FewShotPipeline
from ..registry import Registry
from .bounds import MOST_BYTES_OF_FILE, sent_image, typed_text

SIDE = 1024
"""Pixels of the longer side of an image that a browser makes smaller, as its file is too large."""
PICKER = """
<label class="mh-pick">
    <input type="file" accept="image/*" aria-label="${label}">
    ${value ? `<img src="${value}" alt="The image that was chosen">` : ''}
    <span>${value ? 'Choose another image' : 'Choose an image, or drop one here'}</span>
    <span class="mh-failed" role="alert"></span>
</label>
"""
ON_PICK = f"""
const read = file => new Promise((done, fail) => {{
    const reader = new FileReader();
    reader.onload = () => done(reader.result);
    reader.onerror = fail;
    reader.readAsDataURL(file);
}});
const smaller = async (file, most = {SIDE}) => {{
    const image = await createImageBitmap(file);
    const scale = Math.min(1, most / Math.max(image.width, image.height));
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [image.width, image.height].map(side => Math.max(1, Math.round(scale * side)));
    canvas.getContext('2d').drawImage(image, 0, 0, canvas.width, canvas.height);
    const sent = canvas.toDataURL('image/jpeg', 0.9);
    return sent.length <= {MOST_BYTES_OF_FILE} ? sent : smaller(file, most / 2);
}};
const take = async file => {{
    if (!file) return;
    try {{
        props.value = await (file.size > {MOST_BYTES_OF_FILE} ? smaller(file) : read(file));
        if (element.closest('#mh-question')) trigger('submit');
    }} catch {{
        element.querySelector('.mh-failed').textContent = 'That is no image that this browser can read.';
    }}
}};
element.addEventListener('change', event => take(event.target.files?.[0]));
element.addEventListener('dragover', event => event.preventDefault());
element.addEventListener('drop', event => {{ event.preventDefault(); take(event.dataTransfer?.files?.[0]); }});
"""
"""An image goes to the server as its own file, and as a smaller picture where that is too large."""


class PageInputs(ABC):
    """The inputs of a classifier on its page: one class a modality, registered in `PAGE_INPUTS`.

    Attributes:
        noun: what one is called.
        invite: what is shown before the first question.
        described: whether a label can be taught by a description, which is a text.
        readable: whether what a memory keeps to tell inputs apart is text that people read.
    """

    noun: ClassVar[str]
    invite: ClassVar[str]
    described: ClassVar[bool] = False
    readable: ClassVar[bool] = False

    @abstractmethod
    def box(self, gr: Any, label: str, placeholder: str, elem_id: str, max_length: int, **options: Any) -> Any:
        """The component in which a visitor gives one; all but its label and id are of a text box."""

    @abstractmethod
    def read(self, given: object) -> Any:
        """What came from the browser, as the classifier takes it.

        Raises:
            InvalidInputError: there is none, it is too large or cannot be read.
        """

    @abstractmethod
    def first(self) -> Any:
        """One to warm up by."""

    def cut(self, classifier: FewShotPipeline, given: Any) -> tuple[int, int] | None:
        """The number of tokens of one, and of those that the encoder reads; None if it reads all of it."""
        return None


PAGE_INPUTS: Registry[type[PageInputs]] = Registry("modality of the page")


@PAGE_INPUTS.register(TEXT)
class TextInputs(PageInputs):
    """Texts."""

    noun = TEXT
    invite = "Type a text and press Enter"
    described = readable = True

    def box(self, gr: Any, label: str, placeholder: str, elem_id: str, max_length: int, **options: Any) -> Any:
        return gr.Textbox(
            label=label, placeholder=placeholder, elem_id=elem_id, max_length=max_length, lines=1, **options
        )

    def read(self, given: object) -> Any:
        return typed_text(given)

    def first(self) -> Any:
        return "the first question"

    def cut(self, classifier: FewShotPipeline, given: Any) -> tuple[int, int] | None:
        tokenizer, config = classifier.processing_class, classifier.model.config
        most = config.controller.max_length(config, classifier.model.encoder, tokenizer)
        (whole,) = tokenize(tokenizer, [given], max_length=None, prompt=config.prompt, lower_case=config.lower_case)
        tokens = len(whole["input_ids"])
        return (tokens, most) if most is not None and tokens > most else None


@PAGE_INPUTS.register(IMAGE)
class ImageInputs(PageInputs):
    """Images, which come as the address of their content (`data:image/png;base64,...`): no file is uploaded."""

    noun = IMAGE
    invite = "Choose an image"

    def box(self, gr: Any, label: str, placeholder: str, elem_id: str, max_length: int, **options: Any) -> Any:
        template, size = PICKER.replace("${label}", label), {name: options.get(name) for name in ("scale", "min_width")}
        return gr.HTML("", html_template=template, js_on_load=ON_PICK, elem_id=elem_id, **size)

    def read(self, given: object) -> Any:
        return sent_image(given)

    def first(self) -> Any:
        import numpy as np

        return np.zeros((8, 8, 3), np.uint8)


UNKNOWN = ", whose inputs are not registered in mann_hf.demo.PAGE_INPUTS"


def inputs_of(classifier: FewShotPipeline) -> PageInputs:
    """The inputs of a classifier.

    Raises:
        InvalidTypeError: its inputs have no box.
    """
    modality = classifier.model.config.modality
    if modality not in PAGE_INPUTS:
        raise InvalidTypeError(
            f"the page needs a pipeline few-shot-text-classification or few-shot-image-classification, not "
            f"{type(classifier).__name__} of the modality {modality!r}{UNKNOWN}."
        )
    return PAGE_INPUTS[modality]()
