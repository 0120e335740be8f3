"""The database tables, continued from migrations.py: form versions, rollouts, rule tables, recordings, tokens,
published statistics.

A migration that has run on any server must not be edited; add a new one below. No column may hold an answer.
"""

from __future__ import annotations

import json

from sqlite_utils import Database

from server.database.migrations import migrations

__all__ = ["migrations"]


@migrations()
def versions(db: Database) -> None:
    """Form versions from draft to retired; replaces the table of published bundles. Triggers protect a version from
    approval on."""
    db.executescript("""
    create table versions (
      id integer primary key autoincrement,
      form text not null,
      version text not null,
      channel text not null check (channel in ('training', 'field')),
      sha text not null unique,
      state text not null check (state in ('draft', 'in_review', 'approved', 'published', 'closing', 'retired')),
      author text not null,
      reviewer text not null default '',
      indicator_set text not null default '',
      policy text not null default '',
      validated text not null default '',
      reason text not null default '',
      created integer not null,
      changed integer not null,
      body blob not null,
      source blob,
      unique (form, version, channel)
    ) strict;
    insert into versions (form, version, channel, sha, state, author, created, changed, body)
      select form, version, channel, sha, 'published', published_by, published, published, body
      from bundles order by published, sha;
    drop table bundles;
    create trigger versions_stay before update of form, version, channel, sha, author, source, indicator_set, policy
      on versions when old.state <> 'draft'
      begin select raise(abort, 'a version that left its author is never changed'); end;
    create trigger versions_signed before update of body, reviewer on versions
      when old.state not in ('draft', 'in_review') and (new.reviewer <> old.reviewer
        or substr(new.body, 1, instr(new.body, x'0a')) <> substr(old.body, 1, instr(old.body, x'0a')))
      begin select raise(abort, 'an approved version is never changed, but for signatures that are renewed'); end;
    create trigger versions_remain before delete on versions when old.state <> 'draft'
      begin select raise(abort, 'only a draft is thrown away'); end;
    create table trials (
      id integer primary key autoincrement,
      version integer not null references versions on delete cascade,
      outcome text not null,
      tier text not null,
      queue_kinds text not null,
      fired integer not null,
      at integer not null,
      by text not null
    ) strict;
    """)


@migrations()
def rollouts(db: Database) -> None:
    """Which ring of tablets gets which version, newest first; and which tablets could not use a version."""
    db.executescript("""
    create table rollouts (
      id integer primary key autoincrement,
      version integer not null references versions,
      regions text,
      devices text,
      share_permille integer,
      state text not null check (state in ('planned', 'live', 'halted', 'ended')),
      starts integer not null,
      since integer,
      reason text not null default '',
      created integer not null,
      created_by text not null
    ) strict;
    create index rollouts_by_state on rollouts (state);
    create table refusals (
      sha text not null,
      dev text not null references devices,
      code text not null,
      at integer not null,
      primary key (sha, dev)
    ) strict, without rowid;
    """)
    _roll_out_what_is_in_use(db)


def _roll_out_what_is_in_use(db: Database) -> None:
    """Insert the rings of the manifest in force as rows. Every later manifest is made from these rows."""
    newest = "select body, received from documents where kind = 'manifest' order by number desc limit 1"
    for body, received in db.execute(newest).fetchall():
        forms = json.loads(body.partition(b"\n")[0])["forms"]
        for entry in (entry for entries in forms.values() for entry in reversed(entries)):
            regions, devices = (entry.get(name) for name in ("regions", "devices"))
            db.execute(
                "insert into rollouts (version, regions, devices, share_permille, state, starts, since, created,"
                " created_by) select id, ?, ?, ?, 'live', ?, ?, ?, author from versions where sha = ?",
                [
                    regions and " ".join(regions),
                    devices and " ".join(devices),
                    entry.get("share_permille"),
                    *(received, received, received, entry["sha"]),
                ],
            )


@migrations()
def rule_tables(db: Database) -> None:
    """Indicator sets and policies that authors published, and recordings by their hash. Neither ever changes."""
    db.executescript("""
    create table rule_tables (
      kind text not null check (kind in ('indicator_set', 'policy')),
      name text not null,
      family text not null,
      body text not null,
      published integer not null,
      published_by text not null,
      primary key (kind, name)
    ) strict, without rowid;
    create trigger rule_tables_stay before update on rule_tables
      begin select raise(abort, 'a published table is never changed'); end;
    create trigger rule_tables_remain before delete on rule_tables
      begin select raise(abort, 'a published table is never removed'); end;
    create table media (
      sha256 text primary key,
      type text not null,
      body blob not null
    ) strict;
    """)


@migrations()
def tokens(db: Database) -> None:
    """Tokens with which a person's own programs use the publishing endpoints. Only the hash is stored."""
    db.executescript("""
    create table tokens (
      id text primary key,
      token_hash blob not null unique,
      person text not null references people,
      label text not null,
      roles text not null,
      created integer not null,
      expires integer not null,
      used integer,
      revoked integer
    ) strict;
    """)


@migrations()
def published_statistics(db: Database) -> None:
    """Published statistics: periods, and their figures, which never change. Cells by form version are deleted.

    The cells of other facts stay, and are published with the next period.
    """
    db.executescript("""
    delete from statistics_cells
      where dimension not in ('outcome', 'region', 'sex', 'age_band', 'sector', 'lang');
    create table statistics_periods (
      mode text not null check (mode in ('training', 'field')),
      first_month text not null,
      last_month text not null check (last_month >= first_month),
      total integer,
      published integer not null,
      primary key (mode, first_month)
    ) strict, without rowid;
    create table statistics_figures (
      mode text not null,
      first_month text not null,
      fact text not null,
      value text not null,
      figure text not null check (figure in ('< 11', 'hidden') or cast(figure as integer) >= 11),
      primary key (mode, first_month, fact, value),
      foreign key (mode, first_month) references statistics_periods (mode, first_month)
    ) strict, without rowid;
    create trigger statistics_periods_stay before update on statistics_periods
      begin select raise(abort, 'a published period is never changed'); end;
    create trigger statistics_periods_remain before delete on statistics_periods
      begin select raise(abort, 'a published period is never removed'); end;
    create trigger statistics_figures_stay before update on statistics_figures
      begin select raise(abort, 'a published figure is never changed'); end;
    create trigger statistics_figures_remain before delete on statistics_figures
      begin select raise(abort, 'a published figure is never removed'); end;
    """)


@migrations()
def openly_counted_months(db: Database) -> None:
    """Close the months that an older server counted, without tables. Each signed-in person could read their counts.

    Tables of the same people by other rules would give small counts back. Later arrivals count in the next month.
    """
    db.executescript("""
    insert into statistics_periods (mode, first_month, last_month, total, published)
      select mode, min(month), max(month), null, coalesce((select max(at) from audit), 0)
      from statistics_cells group by mode;
    delete from statistics_cells;
    """)


@migrations()
def promised_numbers(db: Database) -> None:
    """The number up to which a chain was complete before rows of it were lost (SPEC 11.3, rule 10); 0 = none were."""
    db.execute("alter table chains add column promised integer not null default 0")
