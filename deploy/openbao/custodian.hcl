# What a key custodian may do in OpenBao or Vault: make a tenant's root key, rotate it, and
# retire its old versions. A custodian can neither wrap nor unwrap a key, nor export or delete one.
# Raising min_decryption_version and trimming cannot be undone: two custodians, and only
# once no row needs the old version.

path "transit/keys" {
  capabilities = ["list"]
}

# Make, read, rotate, configure and trim: a policy path has its wildcard at the end only, so
# one rule covers pdv-NAME, .../rotate, .../config and .../trim, and the parameters draw the line:
# no `exportable`, no `allow_plaintext_backup`, no `deletion_allowed`. Make keys with
# derived=true; the service refuses any other.
path "transit/keys/pdv-*" {
  capabilities = ["create", "read", "update"]

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
