# What the pdvault service may do in OpenBao or Vault. Nothing else: it can't make, rotate,
# export or delete keys, and `update` without `create` keeps a mistyped name from making one.

path "transit/encrypt/pdv-*" {
  capabilities = ["update"]
}

path "transit/decrypt/pdv-*" {
  capabilities = ["update"]
}

# Backups are the custodians'.
path "transit/encrypt/pdv-backup" {
  capabilities = ["deny"]
}

path "transit/decrypt/pdv-backup" {
  capabilities = ["deny"]
}

path "transit/keys/pdv-*" {
  capabilities = ["read"]
}

# The audit log's checkpoints. The key is ed25519 and not exportable; reading it, as above, gives
# its public half.
path "transit/sign/pdv-audit-log" {
  capabilities = ["update"]
}

# Its own token: is it still good, and for longer.
path "auth/token/lookup-self" {
  capabilities = ["read"]
}

path "auth/token/renew-self" {
  capabilities = ["update"]
}
