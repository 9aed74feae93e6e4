"""The error of whoever uses nasjac, told apart from a fault in nasjac."""

from __future__ import annotations


class InputError(ValueError):
    """Something that nasjac was given breaks a rule: an option, an argument, a file, a row of a database.

    The message is one sentence that names the rule, the value and the choices. The command line prints the message alone
    and exits with 2. Any other exception is a fault, of nasjac or of a module that a user brought, and keeps its traceback.
    """
