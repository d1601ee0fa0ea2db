"""Which organs were annotated in which case: where one was not, nobody knows whether and where it is.

Plain Python, because the workflow needs it while it is parsed.
"""

from collections.abc import Mapping
from typing import Any


def unannotated(info: Mapping[str, Any]) -> list[str]:
    """The organs of which nobody knows whether a case has them, from what its `case.json` holds."""
    return list(info.get("unannotated", ()))


def indices(info: Mapping[str, Any]) -> tuple[int, ...]:
    """The same by their indices, which stay what they are when organs are renamed."""
    unknown = unannotated(info)
    return tuple(k for k, organ in enumerate(info["organs"], start=1) if organ in unknown) if unknown else ()
