"""The policies of a state folder: a copy of the shipped ones, for the user to edit.

A copy in every case, also when running from a checkout: edits survive an upgrade, and
trying something out leaves the checkout as it was.
"""

import shutil
from pathlib import Path

import vault
from vault.embedded.files import make_folder, sync_folder

_SCHEMA = "vault.cedarschema"


def shipped_policies() -> Path:
    """Where the policies of this release lie: in the checkout, or in the installed package."""
    package = Path(vault.__file__).parent
    checkout = package.parent / "policies"
    return checkout if (checkout / _SCHEMA).exists() else package / "default_policies"


def state_policies(state: Path) -> Path:
    """`policies` of a state folder; the first time, copied there as a whole or not at all."""
    folder = state / "policies"
    if folder.exists():
        return folder
    draft = state / "policies.new"
    shutil.rmtree(draft, ignore_errors=True)
    # Contents without permissions: the folder is closed to others, like all of the state.
    shutil.copytree(shipped_policies(), draft, copy_function=shutil.copyfile)
    for path in (draft, *draft.rglob("*")):
        if path.is_dir():
            make_folder(path)
        else:
            path.chmod(0o600)
    draft.rename(folder)
    sync_folder(state)
    return folder
