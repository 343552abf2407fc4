"""Find a chip to serve on: the catalog first, then the chips that nobody rents (`data/local_accelerators.yaml`).

The second file has the catalog's grammar and no prices. It is read only when the catalog does not hold the name, so the
ranking of chips and clouds stays that of what can be rented.
"""

from __future__ import annotations

from functools import lru_cache

from ..errors import InputError, UnknownName
from .catalog import Catalog, load_ours
from .folders import package_folder
from .records import Accelerator
from .yamlfile import read

LOCAL_FILE = "data/local_accelerators.yaml"


def find_device(typed: str, catalog: Catalog) -> Accelerator:
    """Return the accelerator that `typed` means.

    Raises:
        UnknownName: neither file holds it; names the nearest of both.
        InputError: several match.
    """
    try:
        return catalog.find(typed)
    except UnknownName as rented:
        try:
            return load_local().find(typed)
        except UnknownName as local:
            close = tuple(dict.fromkeys((*rented.nearest, *local.nearest)))[:3]
            raise UnknownName("accelerator", typed, close, rented.listing) from None
    except InputError:
        raise


@lru_cache(maxsize=1)
def load_local() -> Catalog:
    """Return the chips that nobody rents, as a catalog of their own on top of ours."""
    return Catalog([load_ours(), read(package_folder() / LOCAL_FILE, name=LOCAL_FILE)])
