"""What diagnose, prescribe, theory, grow and prune return: an object that prints as text and is written as JSON."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from nasjac.architecture.spec import Spec
from nasjac.foundation.atomic_files import replace_folder

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

#: the metadata of a result's field whose own fields are fields of the result's JSON
FLAT = {"flat": True}


@dataclass(frozen=True, repr=False)
class Result(ABC):
    """The base of every result; its `repr` is its text.

    Args:
        files: The files that were written, by name; empty where none were.
    """

    files: Mapping[str, Path] = field(default_factory=dict, kw_only=True)

    @abstractmethod
    def as_text(self) -> str:
        """Return what a person reads."""

    def entries(self) -> Iterator[tuple[str, object]]:
        """Yield the names and values of the JSON object: every field, and the files in the end where there are any."""
        yield from ((name, value) for name, value in entries_of(self) if name != "files")
        if self.files:
            yield "files", [str(path) for path in self.files.values()]

    def to_json(self) -> dict[str, Any]:
        """Return everything that was found, as `json.dumps` takes it."""
        return {name: jsonable(value) for name, value in self.entries()}

    def written(
        self, folder: str | Path, figures: Mapping[str, bytes], name: str | None = None, earlier: Collection[str] = ()
    ) -> Self:
        """Write figures, and JSON under `name`, into a folder at once; return the result with its files.

        Args:
            folder: May be there already.
            figures: The content of each figure's file by its name.
            name: The name of the JSON file; none is written without it.
            earlier: Files of an earlier result of the same kind, which go.

        Raises:
            InputError: The folder cannot be written.
        """
        files = dict(figures)
        if name is not None:
            files = {name: (json.dumps(self.to_json(), indent=1, allow_nan=False) + "\n").encode(), **files}
        replace_folder(folder, files, earlier=earlier)
        return replace(self, files={file: Path(folder) / file for file in files})

    def __repr__(self) -> str:
        return self.as_text()

    def _files(self, what: str) -> list[str]:
        """The last line of a text: where the files are."""
        return [f"{what}: {', '.join(map(str, self.files.values()))}"] if self.files else []


def entries_of(value: DataclassInstance) -> Iterator[tuple[str, object]]:
    """Yield the names and values of a dataclass's fields; of a field that is `FLAT` those of its own fields."""
    for entry in fields(value):
        part = getattr(value, entry.name)
        yield from entries_of(part) if entry.metadata == FLAT else ((entry.name, part),)


def jsonable(value: object) -> Any:
    """Return a value as `json.dumps` takes it: a dataclass as its fields, a Spec as its content, a tuple as a list."""
    if isinstance(value, Spec):
        return value.content
    if isinstance(value, Result):
        return value.to_json()
    if is_dataclass(value) and not isinstance(value, type):
        return {name: jsonable(part) for name, part in entries_of(value)}
    if isinstance(value, Mapping):
        return {name: jsonable(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(part) for part in value]
    return value
