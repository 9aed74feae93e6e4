"""The results database: one file that several processes may write, a batch of trials at a time."""

from __future__ import annotations

from nasjac.store.runs import Runs
from nasjac.store.trials import Trials
from nasjac.store.validations import Validations


class Store(Trials, Validations, Runs):
    """A results database, opened: `with Store("nasjac.db") as store: store.frame("leaderboard")`.

    Writers wait up to 30 s for one another. Each writing method is one transaction, so a killed process leaves whole
    batches. A network that an earlier version stored under another key than it has today keeps that key (`stored_key`):
    what is recorded under today's key goes there, and both are found. Measurements and validations recorded between
    `begin_run` and `finish_run` are marked as made by that run.

    Args:
        url: The path of a file, or sqlite:///path. The file is made if it is not there, unless `read_only`.
        read_only: Whether nothing is to be written, neither into the file nor beside it.
        mounts: The table of mounts, or the file that holds it: databases on network file systems are refused.
        trust: Whether to take a database whose tables, views or triggers are not those that nasjac makes.

    Returns:
        Of `with`: the Store itself, which is closed at the end of the block.

    Raises:
        InputError: The file cannot be opened, is another program's, or has a newer or a foreign schema
            (`nasjac.store.database.connect`). Every method raises it for what SQLite refuses, and for rows that hold in a
            column what is not of its type.
    """
