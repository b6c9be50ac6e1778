"""The services that stores are tested against."""

from __future__ import annotations

from tests.services.fixtures import (
    database_url,
    faulty_s3,
    postgres,
    s3,
    s3_url,
    serial_s3,
    serial_s3_url,
)

__all__ = ["database_url", "faulty_s3", "postgres", "s3", "s3_url", "serial_s3", "serial_s3_url"]
