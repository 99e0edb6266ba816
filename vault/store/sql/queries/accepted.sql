-- name: newest_accepted
-- What the newest accepted bundle reveals.
select number, digest, reach from policy_accepted order by number desc limit 1;

-- name: was_accepted
-- Whether a bundle was accepted before.
select exists (select from policy_accepted where digest = $1);

-- name: accept_bundle
-- Makes a bundle the newest accepted one, unless another took that place.
insert into policy_accepted (number, digest, reach, request_id) values ($1, $2, $3, $4)
on conflict do nothing
returning number;
