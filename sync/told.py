"""What the tablet tells the person who holds it, as values; made by sync.tablet, shown by `chaski device`."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sync.kept import Told
from sync.transport import Traffic

REVOKED = (
    "esta tableta fue retirada y no toma entrevistas nuevas. Lo que guarda no se pierde: sincronice y luego entréguela"
    " a la administración"
)
WIPED = (
    "esta tableta fue borrada por orden y no tiene formularios. Lo que falta entregar no se pierde: sincronice. Para"
    " volver a usarla pida permiso a la administración y tráigalos de nuevo (pull)"
)
WIPING = (
    "se ordenó borrar esta tableta y el borrado no está completo: algo no se pudo quitar. Lo que falta entregar no se"
    " pierde: sincronice y luego entréguela a la administración"
)
COPIED = "otra tableta habla con la llave de esta: es una copia o fue copiada. Avise a la administración"


@dataclass(frozen=True)
class OnBoard:
    """A form version in use on the tablet."""

    form: str
    version: str
    title: str
    channel: str
    sha: str


@dataclass(frozen=True)
class Pulled:
    """What a pull found: the numbers held now, the forms in use, the names of what is new."""

    certified: bool
    trust: int = 0
    registry: int = 0
    manifest: int = 0
    forms: tuple[OnBoard, ...] = ()
    updated: tuple[str, ...] = ()


@dataclass(frozen=True)
class Result:
    """What the form suggests and tells the interviewer to do, by language; for after the interview only."""

    outcome: str
    tier: str
    guidance: Mapping[str, str]


@dataclass(frozen=True)
class Screened:
    """One screening sealed into the outbox; its result is never shown by itself."""

    jti: str
    form: str
    sha: str
    keyring: str
    seq: int
    result: Result = field(repr=False)


@dataclass(frozen=True)
class Receipted:
    """The server's word on one screening; `code` says why a rejected one was not stored."""

    jti: str
    outcome: str
    code: str


@dataclass(frozen=True)
class SyncReport:
    """What one sync did: receipts and events in the order they came, `waiting` envelopes still on board only.

    `updated` names the documents that are new on board; `old` says that the trust on board is past its date. The last
    four are as in `Status`.
    """

    requests: int
    sent: int
    receipts: tuple[Receipted, ...]
    events: tuple[Told, ...]
    updated: tuple[str, ...]
    waiting: int
    purged: int
    traffic: Traffic
    old: bool
    revoked: bool
    wiping: bool
    wiped: bool
    copied: bool


@dataclass(frozen=True)
class Status:
    """Where the tablet stands, from what is on board alone; all empty where no tablet was enrolled.

    `revoked`: it takes no new screening any more. `wiping`: a wipe is not complete, and is tried again at each opening
    and sync. `wiped`: it takes none until somebody pulls forms. `copied`: somebody else has spoken with its key.
    """

    dev: str = ""
    words: tuple[str, ...] = ()
    url: str = ""
    certified: bool = False
    label: str = ""
    region: str = ""
    trust: int = 0
    registry: int = 0
    manifest: int = 0
    forms: tuple[OnBoard, ...] = ()
    waiting: int = 0
    receipted: int = 0
    rejected: int = 0
    drafts: int = 0
    events: tuple[Told, ...] = ()
    old: bool = False
    revoked: bool = False
    wiping: bool = False
    wiped: bool = False
    copied: bool = False


def warnings(told: Status | SyncReport) -> tuple[str, ...]:
    """Return what the person must know of this tablet before she goes on with it."""
    known = (
        (told.revoked, REVOKED),
        (told.wiping, WIPING),
        (told.wiped and not told.revoked, WIPED),
        (told.copied, COPIED),
    )
    return tuple(f"{text[0].upper()}{text[1:]}." for is_so, text in known if is_so)
