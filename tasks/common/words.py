"""Tokenizers of whole words, for tasks of a small vocabulary that is known beforehand."""

from collections.abc import Iterable

from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"


def word_tokenizer(words: Iterable[str]) -> PreTrainedTokenizerFast:
    """A tokenizer that splits at white space and ends each text with `</s>`.

    Args:
        words: that it knows, sources' and targets' together; all others are `<unk>`.
    """
    vocabulary = {word: number for number, word in enumerate(dict.fromkeys([PAD, END, UNKNOWN, *words]))}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    inner.post_processor = processors.TemplateProcessing(single=f"$A {END}", special_tokens=[(END, vocabulary[END])])
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token=PAD, eos_token=END, unk_token=UNKNOWN, clean_up_tokenization_spaces=False
    )


def words_of(texts: Iterable[str]) -> list[str]:
    """The words of texts, sorted."""
    return sorted({word for text in texts for word in text.split()})
