"""What the JSON files beside exported models may hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from distnorm.encoders.processor import SETTINGS
from distnorm.encoders.prompts import check_templates
from distnorm.errors import DistnormError
from distnorm.system.files import plain_errors
from distnorm.system.schema import (
    Form,
    anything,
    either,
    flag,
    list_of,
    number,
    optional,
    parse,
    record,
    table,
    text,
    whole,
)

__all__ = ["check_tokenizer", "read_settings"]

# Beyond these the libraries ask for all of the memory, and end the process.
_MOST_TOKENS, _LONGEST_TEXT = 1 << 24, 1 << 20

_token = optional(either(text, record({}, {"content": text})))
_longest = optional(number(1))
_FILES = {
    "config": record(
        {},
        {
            "max_position_embeddings": _longest,
            "text_config": optional(record({}, {"max_position_embeddings": _longest})),
        },
    ),
    "distnorm": record(
        {},
        {
            "model_id": optional(text),
            "temperature": optional(number(1e-6, 1e6)),
            "prompts": optional(list_of(text)),
            "max_tokens": optional(whole(1, _LONGEST_TEXT)),
            "padding": optional(text),
            "pad_token": _token,
            "pooling": optional(text),
        },
    ),
    "preprocessor_config": SETTINGS,
    "sentence_bert_config": record({}, {"max_seq_length": optional(whole(1, _LONGEST_TEXT))}),
    "tokenizer_config": record({}, {"model_max_length": _longest, "pad_token": _token}),
}
_POOLING = table(optional(either(flag, text, number())))
_MODULES = optional(list_of(table(anything)))


def read_settings(folder: Path) -> tuple[dict[str, dict[str, Any]], Any]:
    """Settings by the file's name, empty where it is not there, and the list of modules.

    Raises
    ------
    DistnormError
        For a file that is no JSON, or a value that means nothing.
    """
    settings = {name: _read(folder / f"{name}.json", form) for name, form in _FILES.items()}
    check_templates(settings["distnorm"].get("prompts") or ())
    settings["pooling"] = _read(folder / "1_Pooling" / "config.json", _POOLING)
    return settings, _read(folder / "modules.json", _MODULES) or None


def _read(file: Path, form: Form) -> Any:
    if not file.is_file():
        return {}
    with plain_errors(file):
        content = file.read_bytes()
    return parse(content, form, file=str(file), remedy="save it again")


def check_tokenizer(file: Path) -> None:
    """Raise for numbers of tokens that are none, or too large for the library that reads them."""
    with plain_errors(file):
        content = file.read_bytes()
    entries = parse(content, table(anything), file=str(file), remedy="save it again")
    model, added = entries.get("model"), entries.get("added_tokens")
    words = model.get("vocab") if isinstance(model, dict) else None
    numbers = list(words.values()) if isinstance(words, dict) else []
    numbers += [
        e.get("id") if isinstance(e, dict) else None
        for e in (added if isinstance(added, list) else ())
    ]
    for found in numbers:
        if not isinstance(found, int) or not 0 <= found < _MOST_TOKENS:
            raise DistnormError(
                f"{str(file)!r} with {str(found)[:40]} for the number of a token",
                f"whole numbers below {_MOST_TOKENS}",
                "save the tokenizer again",
            )
