# What pdvault's custody (the `[custody]` section of its configuration) may do in OpenBao or Vault: make a
# tenant's root key, rotate it, rewrap what it wraps and retire its old versions. It can neither wrap
# nor unwrap a data key, nor export a root key.
# Trimming cannot be undone: the service lets it happen only with the approval of two custodians,
# and once no row and no backup needs the old version.

path "transit/keys" {
  capabilities = ["list"]
}

# Make, read, rotate, configure and trim: a policy path has its wildcard at the end only, so
# one rule covers pdv-NAME, .../rotate, .../config and .../trim, and the parameters draw the line:
# no `exportable`, no `allow_plaintext_backup`, no `deletion_allowed`, so that a key can be deleted only
# after an administrator of OpenBao allowed it, for that key, by hand. Make keys with
# derived=true; the service refuses any other.
path "transit/keys/pdv-*" {
  capabilities = ["create", "read", "update", "delete"]

  allowed_parameters = {
    "type"                   = ["aes256-gcm96"]
    "derived"                = [true, "true"]
    "convergent_encryption"  = [false, "false"]
    "min_decryption_version" = []
    "min_encryption_version" = []
    "min_available_version"  = []
  }
}

# New wrapping of the stored keys under the newest version; no key comes out of it.
path "transit/rewrap/pdv-*" {
  capabilities = ["update"]
}

path "auth/token/lookup-self" {
  capabilities = ["read"]
}

path "auth/token/renew-self" {
  capabilities = ["update"]
}

path "auth/token/revoke-self" {
  capabilities = ["update"]
}

# Approvals are signed (the key is ed25519, not exportable).
path "transit/sign/pdv-custody" {
  capabilities = ["update"]
}

# Keys of backups: each backup has one of its own, wrapped by this.
path "transit/encrypt/pdv-backup" {
  capabilities = ["update"]
}

path "transit/decrypt/pdv-backup" {
  capabilities = ["update"]
}
