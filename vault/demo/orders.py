"""Reads a shop's order export into what the order service hands over.

Takes the columns of a Taobao export, in UTF-8 (with or without a byte order mark) or GB18030.
Whether a value is any good, the vault says: nothing is checked or changed here.
"""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

NUMBER = "订单编号"
BUYER = "买家会员名"
FIELD_TYPES: Mapping[str, str] = {
    "收货人姓名": "person_name",
    "联系手机": "phone",
    "收货地址": "postal_address",
    "清关身份证号": "resident_id",
    "退款银行卡号": "bank_card",
    "电子邮件": "email",
    "买家留言": "free_text",
}
"""Column to field type, in the order of an order's fields."""

# A parcel goes to somebody, so an order without a name is wrong; any other cell may be empty.
_REQUIRED = "收货人姓名"


class OrdersFileError(ValueError):
    """The file is no order export. The text names line and column, never a value."""


@dataclass(frozen=True, slots=True)
class OrderField:
    field_type: str
    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Order:
    """One row.

    Attributes:
        line: where it ends in the file, counted from 1; the header is line 1.
        number: the shop's order number.
        subject_ref: the buyer's account, by which the shop knows the consumer.
        fields: the cells that hold something, and the name even when it is empty.
    """

    line: int
    number: str
    subject_ref: str = field(repr=False)
    fields: tuple[OrderField, ...]


def read_orders(path: Path) -> list[Order]:
    """All orders of a file, in its order.

    Raises:
        OrdersFileError: encoding, header, or a row whose cells don't fit the header.
        OSError: the file can't be read.
    """
    return parse_orders(path.read_bytes())


def parse_orders(data: bytes) -> list[Order]:
    """As `read_orders`, from the file's bytes.

    Raises:
        OrdersFileError: as there.
    """
    rows = csv.reader(io.StringIO(_decode(data), newline=""), strict=True)
    try:
        header = next(rows, [])
        missing = [name for name in (NUMBER, BUYER, *FIELD_TYPES) if header.count(name) != 1]
        if missing:
            raise OrdersFileError(f"line 1: not exactly one column {missing[0]}")
        orders: list[Order] = []
        for cells in rows:
            if not cells:
                continue
            if len(cells) != len(header):
                raise OrdersFileError(
                    f"line {rows.line_num}: {len(cells)} cells, the header has {len(header)}"
                )
            orders.append(_order(rows.line_num, dict(zip(header, cells, strict=True))))
    except csv.Error as error:
        raise OrdersFileError(f"line {rows.line_num}: {error}") from None
    return orders


def _order(line: int, row: Mapping[str, str]) -> Order:
    for column in (NUMBER, BUYER):
        if not row[column].strip():
            raise OrdersFileError(f"line {line}: {column} is empty")
    return Order(
        line=line,
        number=row[NUMBER].strip(),
        subject_ref=row[BUYER].strip(),
        fields=tuple(
            OrderField(field_type, row[column])
            for column, field_type in FIELD_TYPES.items()
            if column == _REQUIRED or row[column].strip()
        ),
    )


def _decode(data: bytes) -> str:
    # Chinese text in GB18030 is hardly ever valid UTF-8; the other way round it often is.
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise OrdersFileError("neither UTF-8 nor GB18030")
