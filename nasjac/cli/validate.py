"""nasjac validate: picks of a stored study are trained briefly."""

from __future__ import annotations

from dataclasses import dataclass

from nasjac.cli.call import Answer, Call, answer, given_names, plain
from nasjac.cli.search import StudyConfig, stopped
from nasjac.foundation.errors import InputError
from nasjac.searching.options import Chosen
from nasjac.searching.stored_studies import validate


@dataclass(frozen=True)
class Config(StudyConfig):
    """The options of nasjac validate. `space`, `score` and `sampler` are the study's own; one given confirms that it may be
    run.
    """

    study: str = "???"


def run(call: Call) -> Answer | int:
    """Train the picks, then write the study's report; return an exit code where a signal has stopped that."""
    _check_confirmed()
    config, choices = call.config, call.choices
    options = call.values(("study", "validation", "database", "device", "quiet", "trust", "out", "save"))
    options |= {group: choices[group] for group in ("space", "score") if isinstance(choices.get(group), str)}
    found = validate(
        **options,
        dataset=call.chosen_or_none("dataset"),
        sampler=None if config.sampler is None else Chosen(choices["sampler"], None, plain(config.sampler)),
        trainer=call.chosen("trainer"),
    )
    if found.signal is not None:
        return stopped(call, found.study, found.signal)
    assert found.page is not None, "the command line asks for one"
    return answer(found.page.text, found.page.summary)


def _check_confirmed() -> None:
    """Refuse options beside a name that confirms one of the study's, which keeps its own."""
    for name in given_names():
        group, dot, _ = name.partition(".")
        if dot and group in ("space", "score"):
            rule = f"be left out, for the {group} of a study keeps the options that it was searched with"
            raise InputError(f"`{name}` must {rule}, got it on the command line")
