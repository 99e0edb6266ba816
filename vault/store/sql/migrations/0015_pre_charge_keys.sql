-- The last phase of a rotation of subjects' keys seals what was stored meanwhile, and charges the keys with it.
grant update (uses) on subject_keys to pdvault_custodian;
