"""The database tables: one function per migration, applied in order when the database opens. form_migrations.py
continues.

A migration that has run on any server must not be edited; add a new one instead. Tables are STRICT, times are integer
milliseconds. No column may hold an answer. A function is as long as its tables.
"""

from __future__ import annotations

import secrets

from sqlite_utils import Database, Migrations

migrations = Migrations("chaski")


@migrations()
def core(db: Database) -> None:
    """Data about the database itself, and the append-only audit chain."""
    db.executescript("""
    create table meta (name text primary key, value text not null) strict, without rowid;
    create table audit (
      number integer primary key,
      at integer not null,
      action text not null,
      actor text not null,
      subject text not null,
      detail text not null,
      prev text not null,
      hash text not null
    ) strict;
    create trigger audit_stays before update on audit begin select raise(abort, 'audit rows are never changed'); end;
    create trigger audit_remains before delete on audit begin select raise(abort, 'audit rows are never removed'); end;
    """)
    db.execute("insert into meta (name, value) values ('generation', ?)", [secrets.token_urlsafe(8)])


@migrations()
def documents(db: Database) -> None:
    """Signed documents and published bundles, as the bytes that were signed."""
    db.executescript("""
    create table documents (
      kind text not null check (kind in ('trust', 'registry', 'manifest')),
      number integer not null,
      sha256 text not null,
      body blob not null,
      received integer not null,
      primary key (kind, number)
    ) strict;
    create table bundles (
      sha text primary key,
      form text not null,
      version text not null,
      channel text not null check (channel in ('training', 'field')),
      body blob not null,
      published integer not null,
      published_by text not null,
      unique (form, version, channel)
    ) strict;
    """)


@migrations()
def devices(db: Database) -> None:
    """Tablets, their one-time enrolment codes, their chains, and the status events about their screenings."""
    db.executescript("""
    create table enrolment_codes (
      hash text primary key,
      label text not null,
      region text not null,
      created integer not null,
      created_by text not null,
      expires integer not null,
      used integer,
      dev text
    ) strict;
    create table devices (
      dev text primary key,
      key blob not null,
      label text not null,
      region text not null,
      state text not null check (state in ('pending', 'certified', 'revoked')),
      certificate blob,
      enrolled integer not null,
      certified integer,
      revoked integer,
      seen integer,
      clock_offset integer,
      trust integer not null default 0,
      registry integer not null default 0,
      manifest integer not null default 0,
      last_n integer not null default 0,
      last_request text not null default ''
    ) strict;
    create table chains (
      dev text not null references devices,
      chain text not null,
      contiguous integer not null,
      primary key (dev, chain)
    ) strict, without rowid;
    create table status_events (
      cursor integer primary key autoincrement,
      dev text not null references devices,
      envelope text not null,
      status text not null,
      at integer not null
    ) strict;
    create index status_events_by_device on status_events (dev, cursor);
    """)


@migrations()
def envelopes(db: Database) -> None:
    """Sealed screenings, and the few fields of each that the server may read (the route in SPEC)."""
    db.executescript("""
    create table envelopes (
      arrival integer primary key autoincrement,
      id text not null unique,
      dev text not null references devices,
      jti text not null,
      chain text not null,
      seq integer not null,
      kseq integer not null,
      prev text not null,
      kid text not null,
      outcome text not null check (outcome in ('stored', 'held', 'fork', 'conflict', 'quarantined')),
      body blob not null,
      size integer not null,
      received integer not null
    ) strict;
    create index envelopes_by_jti on envelopes (dev, jti);
    create index envelopes_by_seq on envelopes (dev, chain, seq);
    create table routes (
      envelope text primary key references envelopes (id),
      form text,
      sha text,
      outcome text,
      tier text,
      urgency text,
      queue_kinds text,
      province text,
      age_band text,
      sex text,
      sector text,
      consent text,
      mode text,
      lang text,
      taken text
    ) strict;
    create table rejections (
      day integer not null,
      dev text not null,
      code text not null,
      count integer not null,
      primary key (day, dev, code)
    ) strict, without rowid;
    """)


@migrations()
def referrals(db: Database) -> None:
    """Queues, referrals, and the work list."""
    db.executescript("""
    create table queues (
      id text primary key,
      site text not null,
      kind text not null,
      keyring text not null,
      title text not null
    ) strict;
    create table referrals (
      id text primary key,
      envelope text not null references envelopes (id),
      queue text not null references queues,
      kind text not null,
      state text not null,
      mode text not null check (mode in ('training', 'field')),
      urgency text not null,
      mark text not null,
      opened integer not null,
      deadline integer,
      holder text,
      lease integer,
      changed integer not null,
      result text,
      unique (envelope, queue)
    ) strict;
    create index referrals_by_queue on referrals (queue, mode, state, deadline);
    create table work_items (
      id integer primary key autoincrement,
      kind text not null,
      dev text not null,
      chain text not null,
      envelope text not null,
      reason text not null,
      opened integer not null,
      closed integer,
      closed_by text
    ) strict;
    create index work_items_open on work_items (kind, dev, chain) where closed is null;
    """)


@migrations()
def people_tables(db: Database) -> None:
    """Staff: accounts, desk groups, wrapped keyrings, sessions; and the cells of the statistics."""
    db.executescript("""
    create table people (
      id text primary key,
      login text not null unique,
      name text not null,
      seal_public blob not null,
      sign_public blob not null,
      locked_seal text not null,
      locked_sign text not null,
      salt blob not null,
      auth_salt blob not null,
      auth_hash blob not null,
      created integer not null
    ) strict;
    create table person_roles (
      person text not null references people,
      role text not null
        check (role in ('coordinator', 'author', 'reviewer', 'publisher', 'registrar', 'administrator')),
      primary key (person, role)
    ) strict, without rowid;
    create table memberships (
      person text not null references people,
      desk_group text not null,
      primary key (person, desk_group)
    ) strict, without rowid;
    create table queue_groups (
      queue text not null references queues,
      desk_group text not null,
      primary key (queue, desk_group)
    ) strict, without rowid;
    create table keyring_keys (
      sha256 text primary key,
      keyring text not null,
      epoch integer not null,
      kid text not null unique,
      public blob not null,
      created integer not null,
      unique (keyring, epoch)
    ) strict;
    create table wrapped_keys (
      keyring text not null,
      epoch integer not null,
      person text not null references people,
      wrapped text not null,
      created integer not null,
      primary key (keyring, epoch, person),
      foreign key (keyring, epoch) references keyring_keys (keyring, epoch)
    ) strict, without rowid;
    create table sessions (
      token_hash blob primary key,
      person text not null references people,
      created integer not null,
      seen integer not null,
      expires integer not null
    ) strict, without rowid;
    create table sign_in_failures (
      login text not null,
      address text not null,
      at integer not null
    ) strict;
    create index sign_in_failures_recent on sign_in_failures (address, at);
    create table statistics_cells (
      mode text not null check (mode in ('training', 'field')),
      month text not null,
      dimension text not null,
      value text not null,
      count integer not null,
      primary key (mode, month, dimension, value)
    ) strict, without rowid;
    """)
    db.execute("insert into meta (name, value) values ('sign_in_pepper', ?)", [secrets.token_hex(32)])


@migrations()
def inventories(db: Database) -> None:
    """Which form version is on which tablet."""
    db.executescript("""
    create table inventories (
      dev text not null references devices,
      form text not null,
      sha text not null,
      told integer not null,
      primary key (dev, form)
    ) strict, without rowid;
    """)


@migrations()
def orders(db: Database) -> None:
    """Registrars' orders to tablets, the last order each tablet carried out, and people's decisions on work list
    items."""
    db.executescript("""
    create table orders (
      dev text not null references devices,
      number integer not null,
      kind text not null check (kind in ('revoke', 'wipe')),
      body blob not null,
      given integer not null,
      given_by text not null,
      carried_out integer,
      primary key (dev, number)
    ) strict, without rowid;
    alter table devices add column orders integer not null default 0;
    alter table work_items add column decision text;
    """)


@migrations()
def job_runs(db: Database) -> None:
    """When each job last succeeded; and an index of work list items by envelope, used when routes are erased."""
    db.executescript("""
    create table job_runs (
      name text primary key,
      at integer not null,
      done integer not null
    ) strict, without rowid;
    create index work_items_by_envelope on work_items (envelope);
    """)


@migrations()
def left_chains(db: Database) -> None:
    """The last number of a chain that its tablet reported as left (SPEC 11.3, rule 7); 0 = not reported."""
    db.executescript("""
    alter table chains add column ended integer not null default 0;
    create index work_items_by_chain on work_items (kind, dev, chain);
    """)
