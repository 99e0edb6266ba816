"""What a database must be like before it may hold personal data: checked at every start."""

from vault.store.database import Database
from vault.store.migrate import check_migrated
from vault.store.queries import QUERIES


async def database_faults(database: Database) -> list[str]:
    """Looks at the service's own rights and at the server's settings.

    Returns:
        What is unsafe, in words; empty when all is well.

    Raises:
        VaultError: DATABASE_UNAVAILABLE, or the migrations are not this release's.
    """
    faults: list[str] = []
    async with database.connection() as connection:
        await check_migrated(connection)
        role = await connection.fetchrow(QUERIES["check_role"])
        settings = await connection.fetchrow(QUERIES["check_settings"])
    if role["has_attributes"]:
        faults.append("the service's role is a superuser or may create roles or databases")
    if role["can_create"]:
        faults.append("the service's role may create tables")
    if role["can_change_log"]:
        faults.append("the service's role may change or delete audit entries")
    if role["can_read_log"]:
        faults.append("the service's role may read the audit log; reading needs the auditors' role")
    if not role["can_add_to_log"]:
        faults.append("the service's role can't add audit entries")
    if role["can_touch_tree"]:
        faults.append("the service's role has rights on the log's tree")
    if not role["entries_become_pending"]:
        faults.append("the trigger audit_entries_pending is off: entries would never be sequenced")
    faults += [
        f"{name} is off: a commit would not be durable"
        for name in ("fsync", "full_page_writes", "synchronous_commit")
        if not settings[name]
    ]
    if settings["is_standby"]:
        faults.append("the server is a standby; consent and erasure are read from the primary only")
    return faults
