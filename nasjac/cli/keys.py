"""Of an option that there is not: the options there are, and the nearest."""

from __future__ import annotations

import re

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, KeyValidationError

from nasjac.cli.config import SCHEMAS
from nasjac.store.database import nearest


def unknown_key(error: BaseException, cause: BaseException) -> str | None:
    """Return the sentence, or None if the error is about something else."""
    if not isinstance(cause, KeyValidationError | ConfigAttributeError | ConfigKeyError):
        return None
    parent = cause.parent_node
    if not isinstance(parent, DictConfig):
        return None
    found = re.match(r"Could not override '([^']+)'", str(error))
    key = str(cause.key)
    path = str(parent._get_full_key(None))
    name = found[1] if found else ".".join(filter(None, (path, key)))
    options = [str(option) for option in parent if path or option != "hydra"]
    verb = next((verb for verb, kind in SCHEMAS.items() if OmegaConf.get_type(parent) is kind), None)
    whose = f"nasjac {verb}" if verb and not path else path or "the configuration"
    near = nearest(key, [option for option in options if not option.startswith("_")])
    near = near.replace("did you mean ", f"did you mean {path}." if path else "did you mean ")
    own = f"; others of the class's own are given by +{name}=VALUE" if "_target_" in options and not near else ""
    shown = ", ".join(option for option in options if option != "_target_")
    return f"`{name}` must be an option of {whose}, which has {shown or 'none'}{near}{own}"
