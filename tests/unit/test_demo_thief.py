"""The search that the demo trusts: it finds what is there, as text and as hex digits."""

from vault.demo.thief import count


def test_counts_text_and_hex_digits_in_every_content():
    contents = [
        b"...13800008496..13800008496",
        "收货人 萧辰岚".encode(),
        b"\\xe890a7e8beb0e5b29a",  # the name as PostgreSQL prints bytes
    ]

    assert count(["13800008496", "萧辰岚"], contents) == 4


def test_a_value_of_two_orders_is_one_value():
    assert count(["13800008496", "13800008496"], [b"13800008496"]) == 1


def test_finds_nothing_where_nothing_is():
    assert count(["13800008496"], [b"138****8496", bytes(100)]) == 0
