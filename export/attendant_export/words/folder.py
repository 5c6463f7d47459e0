"""Reads the words of a model folder: what transformers' fast tokenizer does with the folder is what a bundle does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from attendant.bundle import DEFAULT_TEMPLATE
from tokenizers import Tokenizer

from attendant_export.errors import TokenizerError
from attendant_export.source.folder import SourceFolder
from attendant_export.words.agreement import check_agreement, disagreements
from attendant_export.words.chat import checked_templates
from attendant_export.words.loading import is_unsaid, load_tokenizer, of_tokenizer_json
from attendant_export.words.sentencepiece import convert, is_sentencepiece


@dataclass(frozen=True)
class Words:
    """The words of a folder.

    Attributes:
        tokenizer_json: content of the bundle's tokenizer.json, which neither pads nor truncates.
        special_tokens: by name, e.g. ``bos_token``; what chat templates see. None where nobody says.
        chat_templates: jinja sources by name; ``default`` is the one for conversations that name none.
        cleans_up: whether decoded text loses the spaces before punctuation and English contractions.
        warnings: what of the folder is not served as it says, one sentence each.
    """

    tokenizer_json: str
    special_tokens: Mapping[str, str] | None = None
    chat_templates: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    cleans_up: bool = False


def words_of(words: Words | str, chat_template: str | None = None) -> Words:
    """``words``, or the content of a tokenizer.json with a default chat template as such."""
    if isinstance(words, Words):
        return words
    return Words(words, chat_templates={} if chat_template is None else {DEFAULT_TEMPLATE: chat_template})


def read_words(folder: SourceFolder, *, generates: bool = True) -> Words:
    """The words of ``folder``, tried on texts and conversations with the tokenizer that transformers makes of it.

    Args:
        generates: whether the model writes text: then decoding, too, has to agree.

    Raises:
        TokenizerError: there is no tokenizer, it cannot be read, or tokenizer.json cannot hold what it does.
        TemplateError: a chat template cannot be rendered as transformers renders it.
    """
    tokenizer, failure = load_tokenizer(folder)
    warnings: list[str] = []
    has_file = folder.has("tokenizer.json")
    if tokenizer is not None and tokenizer.is_fast and not (has_file and is_unsaid(folder)):
        content = _plain(tokenizer.backend_tokenizer.to_str())
        check_agreement(tokenizer, Tokenizer.from_str(content), folder.path, decodes=generates)
    elif has_file:
        other, tokenizer = tokenizer, of_tokenizer_json(folder)
        content = _plain(tokenizer.backend_tokenizer.to_str())
        warnings += _against_other(other, content, failure)
    elif is_sentencepiece(folder):
        content = convert(folder)
        warnings += _converted(tokenizer, content, folder)
    else:
        raise TokenizerError(_missing(folder, tokenizer, failure))
    if tokenizer is None:
        return Words(content)
    if not tokenizer.chat_template:
        tokenizer.chat_template = _processors_template(folder)
    templates, told = checked_templates(tokenizer)
    names, cleans_up = dict(tokenizer.special_tokens_map), _cleans_up(tokenizer)
    return Words(content, names, templates, (*warnings, *told), cleans_up)


def _processors_template(folder: SourceFolder) -> Any:
    """The chat template that a processor of images has in a file of its own, or None."""
    files = (folder.json(name, missing_ok=True) for name in ("chat_template.json", "processor_config.json"))
    return next((file["chat_template"] for file in files if file.get("chat_template")), None)


def _plain(content: str) -> str:
    """A tokenizer.json that neither pads nor truncates, which the server does, openly."""
    found = json.loads(content)
    found["truncation"] = found["padding"] = None
    return json.dumps(found, ensure_ascii=False)


def _against_other(other: Any, content: str, failure: str) -> list[str]:
    """What is to be said of a tokenizer.json beside what transformers would make of the folder."""
    if other is None:
        return [f"transformers does not load the folder's tokenizer ({failure}): tokenizer.json is served as it is"]
    text = next(disagreements(other, Tokenizer.from_str(content), decodes=False), None)
    if text is None:
        return []
    return [
        f"tokenizer.json is served as it is; transformers' {type(other).__name__} makes other tokens of some texts, "
        f"e.g. of {text!r}"
    ]


def _converted(slow: Any, content: str, folder: SourceFolder) -> list[str]:
    """What is to be said of a conversion of ours.

    Raises:
        TokenizerError: it does not do what transformers' slow tokenizer does, characters that the model does not know
            apart: of these, the slow ones look whole runs up among the pieces of the other language.
    """
    if slow is None:
        return []
    made = Tokenizer.from_str(content)
    unknown = made.token_to_id("<unk>")
    unlike = list(disagreements(slow, made, decodes=False))
    if any(unknown not in made.encode(text).ids for text in unlike):
        check_agreement(slow, made, folder.path, decodes=False)
    if not unlike:
        return []
    return [f"unknown characters become <unk>, which not all of them do in transformers, e.g. in {unlike[0]!r}"]


def _missing(folder: SourceFolder, slow: Any, failure: str) -> str:
    if slow is not None:
        return (
            f"{folder.path} has no tokenizer.json, and its {type(slow).__name__} is none that can be made one: "
            "put the tokenizer.json of a fast tokenizer beside it"
        )
    return f"{folder.path} has no tokenizer.json, and its other files do not make one ({failure})"


def _cleans_up(tokenizer: Any) -> bool:
    """Whether transformers changes the spaces of decoded text; it leaves those of BPE alone."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    forced = getattr(tokenizer, "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output", False)
    is_bpe = type(getattr(backend, "model", None)).__name__ == "BPE"
    return bool(tokenizer.clean_up_tokenization_spaces) and (forced or not is_bpe)
