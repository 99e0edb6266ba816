-- Database and logins of pdvault, to be run once by a DBA on PostgreSQL 15 or newer:
--
--   psql --no-psqlrc --set ON_ERROR_STOP=1 --file deploy/postgres/roles.sql postgres
--
-- The logins get no password here, so that none stands in a file or a history. Give each one:
--
--   psql postgres --command '\password pdvault_owner'      (and so on)
--
-- Tables and their rights are for `pdvault migrate`; docs/storage.md explains who may do what.

-- Owns database and tables; `pdvault migrate` alone logs in as this one.
create role pdvault_owner login nosuperuser nocreatedb nocreaterole noreplication nobypassrls;

-- The service: stores and reads values, adds to the audit log, can't read or change it.
create role pdvault_service login nosuperuser nocreatedb nocreaterole noreplication nobypassrls;

-- Reads the audit log for auditors, and nothing else.
create role pdvault_audit_reader login nosuperuser nocreatedb nocreaterole noreplication nobypassrls;

-- Gives the audit log's entries their places in its tree; can change neither entries nor values.
create role pdvault_sequencer login nosuperuser nocreatedb nocreaterole noreplication nobypassrls;

-- Turns keys and erases; can neither read nor change the audit log.
create role pdvault_custodian login nosuperuser nocreatedb nocreaterole noreplication nobypassrls;

create database pdvault owner pdvault_owner template template0 encoding 'UTF8';
revoke all on database pdvault from public;
grant connect on database pdvault to pdvault_service, pdvault_audit_reader, pdvault_sequencer,
    pdvault_custodian;
