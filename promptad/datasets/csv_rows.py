"""Comma-separated text with a header, read strictly: a damaged file is an error that names file and line."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence

from promptad.user_error import UserError

Row = tuple[int, dict[str, str]]
"""The number of a row's last line, from 1, and its fields by column."""


class CSVError(UserError):
    """Text that is not a table with the required columns; the message names the file and, if possible, the line."""


def csv_rows(content: bytes, where: str, columns: Sequence[str]) -> list[Row]:
    """The rows of UTF-8 text, with or without a byte order mark; ``where`` is its name in messages.

    Fields are stripped. Columns other than ``columns`` are left out; a row that is too short has empty fields.

    Raises:
        CSVError: another encoding, a quote that is not closed, a field that is too long, columns that are missing or
            there twice, or a row with more fields than the header.
    """
    reader = csv.reader(io.StringIO(_text(content, where), newline=""), strict=True)
    found: list[Row] = []
    header: list[str] | None = None
    try:
        for fields in reader:
            if not fields:
                continue
            stripped = [field.strip() for field in fields]
            if header is None:
                header = stripped
                _check_header(header, where, columns)
                continue
            if len(fields) > len(header):
                raise CSVError(
                    f"{where} must have {len(header)} fields in a line, as its header has, but line "
                    f"{reader.line_num} has {len(fields)}: put fields with commas into double quotes"
                )
            row = dict(zip(header, stripped, strict=False))
            found.append((reader.line_num, {column: row.get(column, "") for column in columns}))
    except csv.Error as error:
        raise CSVError(f"{where} must be comma-separated text, but line {reader.line_num} is not: {error}") from error
    if header is None:
        raise CSVError(f"{where} must begin with the columns {','.join(columns)}, but it is empty")
    return found


def _text(content: bytes, where: str) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise CSVError(f"{where} must be UTF-8 text, but is UTF-16: save it as UTF-8")
    if (place := content.find(b"\0")) >= 0:
        line = content[:place].count(b"\n") + 1
        raise CSVError(f"{where} must be text, but line {line} holds a null byte: write the file again")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise CSVError(
            f"{where} must be UTF-8 text, but line {line} holds the byte {content[error.start]:#04x}, which is none: "
            "save it as UTF-8"
        ) from error


def _check_header(header: list[str], where: str, columns: Sequence[str]) -> None:
    if absent := [column for column in columns if column not in header]:
        raise CSVError(f"{where} must have the columns {','.join(columns)}, but lacks {','.join(absent)}")
    counts = Counter(header)
    if twice := [column for column in columns if counts[column] > 1]:
        raise CSVError(f"{where} must have each column once, but has {','.join(twice)} twice")
