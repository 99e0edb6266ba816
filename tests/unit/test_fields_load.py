"""A declaration that is not wholly understood is refused, with the place of every fault."""

import pytest

from tests.support.field_types import entry, load_one, shipped
from vault.fields import FieldTypesError, ValueInvalidError, load_field_types
from vault.model import View

MASKED = {"keep_first": 1, "keep_last": 1, "mask": "*"}


def views(**lower: object) -> dict[str, object]:
    return {"full": "full", **lower}


REFUSED = [
    ({"colour": 1}, "colour"),
    ({"max_chars": ...}, "max_chars"),
    ({"max_chars": True}, "max_chars"),
    ({"max_chars": "40"}, "max_chars"),
    ({"max_chars": 0}, "max_chars"),
    ({"max_chars": 10_001}, "max_chars"),
    ({"sensitive": 1}, "sensitive"),
    ({"sensitive": "false"}, "sensitive"),
    ({"retention_days": -1}, "retention_days"),
    ({"token_prefix": "M"}, "token_prefix"),
    ({"token_prefix": "mem\n"}, "token_prefix"),
    ({"normalise": []}, "normalise"),
    ({"normalise": "text"}, "normalise"),
    ({"normalise": None}, "normalise"),
    ({"normalise": ["shout"]}, "normalise.0.shout"),
    ({"normalise": [{"text": {"x": 1}}]}, "normalise.0.text.x"),
    ({"normalise": ["phone"]}, "normalise.0.default_region"),
    ({"normalise": [{"phone": {"default_region": "XX"}}]}, "normalise.0.phone.default_region"),
    ({"normalise": [{"phone": {"default_region": ["CN"]}}]}, "normalise.0.phone.default_region"),
    ({"normalise": [{"text": {}, "upper": {}}]}, "normalise.0"),
    ({"normalise": [7]}, "normalise.0"),
    ({"validate": [{"length": {"min": 9, "max": 2}}]}, "validate.0.length"),
    ({"validate": [{"length": {"min": 1}}]}, "validate.0.length.max"),
    ({"validate": [{"length": {"min": 1, "max": 1.5}}]}, "validate.0.length.max"),
    ({"validate": [{"pattern": {"match": "(a|aa){2}"}}]}, "validate.0.pattern"),
    ({"validate": [{"pattern": {"match": "a+"}}]}, "validate.0.pattern"),
    ({"validate": [{"pattern": {"match": "a?b?c?"}}]}, "validate.0.pattern"),
    ({"validate": [{"pattern": {"match": "[z-a]"}}]}, "validate.0.pattern"),
    ({"validate": [{"pattern": {"match": "a{3,1}"}}]}, "validate.0.pattern"),
    ({"validate": [{"pattern": {"match": "a"}}], "max_chars": 257}, "max_chars"),
    ({"views": ...}, "views"),
    ({"views": None}, "views"),
    ({"views": {}}, "views"),
    ({"views": {"masked": {"masked": MASKED}}}, "views"),
    ({"views": {"masked": {"masked": MASKED}, "full": "full"}}, "views"),
    ({"views": {"full": {"masked": MASKED}}}, "views.full"),
    ({"views": views(masked="full")}, "views.masked"),
    ({"views": views(virtual="city")}, "views.virtual"),
    ({"views": views(last4="city")}, "views.last4"),
    ({"views": views(masked={"masked": {**MASKED, "mask": "ab"}})}, "views.masked.masked.mask"),
    ({"views": views(masked={"masked": {**MASKED, "mask": "7"}})}, "views.masked.masked.mask"),
    (
        {"views": views(masked={"masked": {**MASKED, "keep_first": -1}})},
        "views.masked.masked.keep_first",
    ),
    ({"views": views(masked={"masked": {**MASKED, "keep": 1}})}, "views.masked.masked.keep"),
]


@pytest.mark.parametrize(("changes", "where"), REFUSED)
def test_fault_is_named_with_its_place(changes: dict[str, object], where: str) -> None:
    with pytest.raises(FieldTypesError) as caught:
        load_one(**changes)

    assert f"field_types.member.{where}" == caught.value.path
    assert "f.yaml" in str(caught.value)


@pytest.mark.parametrize(
    "document", [None, [], "x", 1, {}, {"field_types": {}}, {"field_types": []}, {"types": {}}]
)
def test_document_of_another_shape_is_refused(document: object) -> None:
    with pytest.raises(FieldTypesError):
        load_field_types(document, file="f.yaml")


@pytest.mark.parametrize("name", ["", "A", "1a", "a-b", "a" * 33, "a\n", False, None, 7])
def test_names_are_plain(name: object) -> None:
    with pytest.raises(FieldTypesError):
        load_field_types({"field_types": {name: entry()}}, file="f.yaml")


def test_all_faults_are_found_in_one_go() -> None:
    document = {"field_types": {"a": entry(max_chars=0, sensitive=3), "b": entry(views=...)}}

    with pytest.raises(FieldTypesError) as caught:
        load_field_types(document, file="f.yaml")

    assert [keys for keys, _ in caught.value.faults] == [
        ("field_types", "a", "sensitive"),
        ("field_types", "a", "max_chars"),
        ("field_types", "b", "views"),
    ]


def test_token_prefixes_are_unique() -> None:
    with pytest.raises(FieldTypesError) as caught:
        load_field_types({"field_types": {"a": entry(), "b": entry()}}, file="f.yaml")

    assert caught.value.path == "field_types.b.token_prefix"


def test_a_shop_adds_a_type_without_code() -> None:
    passport = load_one(
        normalise=["digits", "upper"],
        validate=[{"pattern": {"match": "[EG][0-9]{8}"}}],
        views=views(masked={"masked": MASKED}),
    )

    assert passport.normalise("e1234 5678") == "E12345678"
    assert passport.views == (View.FULL, View.MASKED)
    for wrong in ("E1234567", "E123456789", "X12345678", "E１2345678\u0661"):
        with pytest.raises(ValueInvalidError):
            passport.normalise(wrong)


def test_shipped_types() -> None:
    assert {name: field_type.token_prefix for name, field_type in shipped().items()} == {
        "person_name": "nam",
        "phone": "pho",
        "postal_address": "adr",
        "resident_id": "rid",
        "bank_card": "crd",
        "email": "eml",
        "birth_date": "dob",
        "free_text": "txt",
    }
    assert {"resident_id", "bank_card"} == {
        name for name, field_type in shipped().items() if field_type.sensitive
    }
