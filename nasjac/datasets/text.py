"""text: any text file, as characters or bytes; each is to be foretold from those before it."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from nasjac.architecture.fields import check_choice
from nasjac.datasets.data import Data
from nasjac.datasets.files import read_bytes
from nasjac.foundation import arguments
from nasjac.foundation.errors import InputError
from nasjac.kinds.transformer.spec import MOST_CONTEXT

LEVELS = ("character", "byte")
#: windows of a block; every tenth block is for validation
WINDOWS, EVERY = 10, 10


@dataclass(frozen=True)
class Text:
    """A text in windows of `context` ids, with the next id of each for its label.

    The text is cut into blocks of 10 windows and one id, the label of the last: blocks share nothing, and within one the
    windows follow each other without gap. Every tenth block is for validation. What is left after the last whole block
    is not used.

    `path`     file of UTF-8 text (bytes: any file); null: the help topics of the Python that runs this, half a million
               characters of English, which CPython 3.11 to 3.13 carry as `pydoc_data.topics`, a little other in each
    `level`    character: the vocabulary is the file's characters, sorted; byte: it is the 256 bytes, whatever the file
    `context`  ids of a window
    `limit`    ids that are used, from the start of the file (null: all); the vocabulary is the whole file's
    """

    name: ClassVar[str] = "text"
    path: str | None = None
    level: str = "character"
    context: int = 32
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.path is not None:
            arguments.instance("dataset.path", self.path, (str, os.PathLike), "a path")
        check_choice("dataset.level", self.level, LEVELS)
        arguments.whole("dataset.context", self.context, 2, MOST_CONTEXT)
        if self.limit is not None:
            arguments.whole("dataset.limit", self.limit, 1)

    def load(self) -> Data:
        """Return nine training windows or more for one of validation. InputError: no text, a short one, one letter."""
        source = "the help topics of Python" if self.path is None else self.path
        ids, vocabulary = self._ids(help_topics() if self.path is None else read_bytes(self.path, "dataset.path"), source)
        used, block = len(ids) if self.limit is None else min(self.limit, len(ids)), WINDOWS * self.context + 1
        ids = ids[:used]
        if len(ids) < EVERY * block:
            rule = f"at least {EVERY * block} {self.level}s ({EVERY} blocks of {WINDOWS} contexts of {self.context})"
            cut = "" if self.limit is None else f", `dataset.limit` {self.limit}"
            raise InputError(f"`dataset.path` must hold {rule}, got {len(ids)} in {source}{cut}")
        if (ids == ids[0]).all():
            raise InputError(f"`dataset.path` must hold different {self.level}s, got {len(ids)} equal ones in {source}")
        blocks = ids[: len(ids) // block * block].view(-1, block)
        valid = torch.arange(len(blocks)) % EVERY == EVERY - 1
        return Data(*self._windows(blocks[~valid]), *self._windows(blocks[valid]), vocabulary)

    def _windows(self, blocks: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs and labels [n, context] of whole blocks of ids."""
        return blocks[:, :-1].reshape(-1, self.context), blocks[:, 1:].reshape(-1, self.context)

    def _ids(self, content: bytes | bytearray, source: str) -> tuple[Tensor, int]:
        """The ids [n] int64 of a file's content, and the size of the vocabulary."""
        if self.level == "byte":
            return torch.from_numpy(np.frombuffer(content, dtype=np.uint8).astype(np.int64)), 256
        if kind := _foreign(content):
            raise InputError(
                f"`dataset.path` must hold UTF-8 text, got {kind} in {source}; `dataset.level` byte takes any file"
            )
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError as error:
            where = f"byte {content[error.start]:#04x} at offset {error.start} in {source}"
            raise InputError(
                f"`dataset.path` must hold UTF-8 text, got {where}; `dataset.level` byte takes any file"
            ) from error
        points = np.frombuffer(text.encode("utf-32-le"), dtype="<u4")  # order of code points is order of characters
        there = np.zeros(sys.maxunicode + 1, dtype=np.int64)
        there[points] = 1  # sorting them, as numpy.unique does, would take several times the memory
        return torch.from_numpy((there.cumsum() - 1)[points]), int(there.sum())


def help_topics() -> bytes:
    """Return the texts of Python's help(), by their names, as UTF-8. InputError: Python comes without them."""
    try:
        from pydoc_data.topics import topics  # some distributions leave it out
    except ImportError as error:
        rule = "the path of a text file where Python comes without pydoc_data.topics, the default text"
        raise InputError(f"`dataset.path` must be {rule}, got null") from error
    return "\n".join(topics[name] for name in sorted(topics)).encode()


def _foreign(content: bytes | bytearray) -> str | None:
    """What the content is that is no UTF-8 although it may decode as such: two bytes a character."""
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "UTF-16"
    start = content[:2000]
    even, odd = (2 * places.count(0) > len(places) > 0 for places in (start[::2], start[1::2]))
    return "what looks like UTF-16, most of its every second bytes being 0," if even != odd else None
