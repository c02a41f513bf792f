"""The private part of Ray that this project calls, named here and nowhere else: Ray may move it in any release."""

from __future__ import annotations

import importlib

import ray

from promptad.user_error import UserError

MODULE, NAME = "ray._private.services", "get_ray_address_from_environment"


class RayPartsError(UserError):
    """A Ray without a part that this project calls."""


def cluster_of_this_machine() -> str | None:
    """HOST:PORT of the cluster that runs on this machine, or None.

    Ray's own ``address="auto"`` raises if there is none, and starts nothing if one has just died. With this check
    first, the study can report which of the two happened.

    Raises:
        RayPartsError: this Ray no longer has the function.
    """
    try:
        find = getattr(importlib.import_module(MODULE), NAME)
    except (ImportError, AttributeError) as error:
        raise RayPartsError(
            f"ray {ray.__version__} lacks {MODULE}.{NAME}, which finds this machine's cluster: install a version that "
            'has it, pip install "ray[tune]>=2.55,<3", or name the cluster, --address HOST:PORT'
        ) from error
    found: str | None = find(None, None)
    return found
