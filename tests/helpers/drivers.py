"""Drivers that ran somewhere else."""

from datetime import UTC, datetime, timedelta
from typing import Any

from study.records.driver_record import Process


def elsewhere(**age: float) -> dict[str, Any]:
    then = (datetime.now(UTC) - timedelta(**age)).isoformat(timespec="seconds")
    return {"process": Process(host="other", number=1, boot="b", start="1"), "heartbeat": then, "started": then}
