"""Studies that searched the surroundings of a checkpoint: their networks have weights, which no leaderboard knows of."""

from __future__ import annotations

from typing import Any

from nasjac.foundation.errors import InputError

#: the part of a study's identity that says so, and the name of the measurements
AROUND = "checkpoint"


def check_of_initialization(study: str, identity: Any) -> None:
    """Refuse a study around a checkpoint where architectures without weights are meant.

    Args:
        study: Its name.
        identity: What the database says of its identity.

    Raises:
        InputError: It is one; the error says where its results are.
    """
    if isinstance(identity, dict) and AROUND in identity:
        rule = "be of architectures at initialization, which alone have a leaderboard, a validation and a report"
        out = f"its results are beside its checkpoint, and its trials in SELECT * FROM trial WHERE study = '{study}'"
        raise InputError(f"`study` must {rule}, got {study!r}, a search around a checkpoint: {out}")
