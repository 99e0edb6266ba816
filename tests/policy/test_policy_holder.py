"""Reloading: swapped whole or not at all."""

import threading
from pathlib import Path

import pytest

from tests.support.frozen_clock import FrozenClock
from tests.support.policies import principal_of
from vault.model import TenantId, View
from vault.policy import BundleError, BundleHolder

LAST = '@id("late")\nforbid (principal, action == Action::"reveal_full", resource);\n'


def first_view(holder: BundleHolder) -> View:
    bundle = holder.current
    caller = principal_of(bundle, "shop/shipping")
    return bundle.decide_reveal(
        caller, "delivery", "phone", View.UNSPECIFIED, tenant=TenantId("demo-shop"), consented=False
    ).view


def test_a_broken_folder_can_not_begin(folder: Path) -> None:
    (folder / "guardrails.cedar").write_text("half a fil")
    with pytest.raises(BundleError):
        BundleHolder(folder, clock=FrozenClock())


def test_unchanged(folder: Path) -> None:
    holder = BundleHolder(folder, clock=FrozenClock())
    before = holder.loaded
    assert (before.bundle, False) == holder.reload()
    assert before is holder.loaded


def test_changed(folder: Path) -> None:
    clock = FrozenClock()
    holder = BundleHolder(folder, clock=clock)
    before = holder.loaded
    assert View.FULL is first_view(holder)
    with (folder / "acts.cedar").open("a") as file:
        file.write(LAST)
    fresh, is_changed = holder.reload()
    assert is_changed
    assert fresh is holder.current
    assert before.bundle.digest != fresh.digest
    assert clock.unix_ns() == holder.loaded.at_unix_ns
    assert View.MASKED is first_view(holder)


@pytest.mark.parametrize("name", ["guardrails.cedar", "callers.yaml", "vault.cedarschema"])
def test_broken_keeps_the_old_one(folder: Path, name: str) -> None:
    holder = BundleHolder(folder, clock=FrozenClock())
    before = holder.loaded
    whole = (folder / name).read_bytes()
    for broken in (b"", whole[: len(whole) // 3], whole + b"\xff", whole + b'"'):
        (folder / name).write_bytes(broken)
        with pytest.raises(BundleError):
            holder.reload()
        assert before is holder.loaded
        assert View.FULL is first_view(holder)
    (folder / name).unlink()
    with pytest.raises(BundleError):
        holder.reload()
    assert before is holder.loaded
    (folder / name).write_bytes(whole)
    assert (before.bundle, False) == holder.reload()


def test_reload_from_many_threads(folder: Path) -> None:
    holder = BundleHolder(folder, clock=FrozenClock())
    with (folder / "acts.cedar").open("a") as file:
        file.write(LAST)
    changes: list[bool] = []
    threads = [
        threading.Thread(target=lambda: changes.append(holder.reload()[1])) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [False, False, False, True] == sorted(changes)
