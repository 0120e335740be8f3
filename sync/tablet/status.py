"""What the tablet tells the person who holds it, as values; made by sync.tablet.client, shown by `chaski device`."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sync.exchange.transport import Traffic
from sync.tablet.outbox_records import StatusUpdate

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
OLD = (
    "lo que esta tableta sabe de quién puede firmar es antiguo. Nada se detiene: siga trabajando y sincronice cuando"
    " pueda"
)
COPIED = "otra tableta habla con la llave de esta: es una copia o fue copiada. Avise a la administración"


@dataclass(frozen=True)
class FormInUse:
    """A form version in use on the tablet; `left_out` says in Spanish which languages it is not in, and why."""

    form: str
    version: str
    title: str
    channel: str
    sha: str
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class RefusedForm:
    """A form version that the manifest names and this tablet does not take: `code` says why.

    `in_use` is the version it works with meanwhile, empty where it has none. It is the same one where a version on
    board would not be taken any more.
    """

    form: str
    sha: str
    code: str
    in_use: str

    def __str__(self) -> str:
        why = _WHY.get(self.code, _WHY[""])
        if self.in_use == self.sha:
            return f"{self.form}: {why}. Siga trabajando con esta versión y sincronice cuando pueda: llegará otra"
        rest = "Siga trabajando con la versión anterior" if self.in_use else "Todavía no se puede usar este formulario"
        return f"{self.form}: no se tomó la versión nueva, porque {why}. {rest}; se intentará de nuevo"


_WHY = {
    "signed.too_few": "le falta la firma de una persona que hoy pueda firmar",
    "bundle.one_person": "la firmó una sola persona",
    "bundle.demo_trust": "es para el campo, y esta tableta es de una demostración",
    "bundle.unusable": "esta tableta no la entiende: hay que actualizar el programa",
    "form.unknown": "el servidor no la tiene",
    "": "lo que llegó no es lo que se firmó",
}


@dataclass(frozen=True)
class PullResult:
    """What a pull found: the numbers held now, the forms in use, the names of what is new, what was refused."""

    certified: bool
    trust: int = 0
    registry: int = 0
    manifest: int = 0
    forms: tuple[FormInUse, ...] = ()
    updated: tuple[str, ...] = ()
    refused: tuple[RefusedForm, ...] = ()
    recordings_missing: int = 0


@dataclass(frozen=True)
class SuggestedResult:
    """What the form suggests and tells the interviewer to do, by language; for after the interview only."""

    outcome: str
    tier: str
    guidance: Mapping[str, str]


@dataclass(frozen=True)
class ScreeningResult:
    """One screening sealed into the outbox; its result is never shown by itself."""

    jti: str
    form: str
    sha: str
    keyring: str
    seq: int
    result: SuggestedResult = field(repr=False)


@dataclass(frozen=True)
class ScreeningReceipt:
    """The server's word on one screening; `code` says why a rejected one was not stored."""

    jti: str
    outcome: str
    code: str


@dataclass(frozen=True)
class SyncReport:
    """What one sync did: receipts and events in the order they came, `waiting` envelopes still on board only.

    `updated` names the documents that are new on board; `old` says that the trust on board is past its date. The last
    six are as in `Status`.
    """

    requests: int
    sent: int
    receipts: tuple[ScreeningReceipt, ...]
    events: tuple[StatusUpdate, ...]
    updated: tuple[str, ...]
    waiting: int
    purged: int
    traffic: Traffic
    old: bool
    revoked: bool
    wiping: bool
    wiped: bool
    copied: bool
    refused: tuple[RefusedForm, ...] = ()
    recordings_missing: int = 0


@dataclass(frozen=True)
class TabletStatus:
    """Where the tablet stands, from what is on board alone; all empty where no tablet was enrolled.

    `revoked`: it takes no new screening any more. `wiping`: a wipe is not complete, and is tried again at each opening
    and sync. `wiped`: it takes none until somebody pulls forms. `copied`: somebody else has spoken with its key.
    `refused`: form versions that it does not take. `recordings_missing` come with a later sync, and stop nothing.
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
    forms: tuple[FormInUse, ...] = ()
    waiting: int = 0
    receipted: int = 0
    rejected: int = 0
    drafts: int = 0
    events: tuple[StatusUpdate, ...] = ()
    old: bool = False
    revoked: bool = False
    wiping: bool = False
    wiped: bool = False
    copied: bool = False
    refused: tuple[RefusedForm, ...] = ()
    recordings_missing: int = 0


def warnings(report: TabletStatus | SyncReport | PullResult) -> tuple[str, ...]:
    """Return what the person must know of this tablet before she goes on with it."""
    known = () if isinstance(report, PullResult) else _tablet_warnings(report)
    texts = [*known, *map(str, report.refused)]
    return tuple(f"{text[0].upper()}{text[1:]}." for text in texts)


def _tablet_warnings(report: TabletStatus | SyncReport) -> tuple[str, ...]:
    known = (
        (report.revoked, REVOKED),
        (report.wiping, WIPING),
        (report.wiped and not report.revoked, WIPED),
        (report.copied, COPIED),
        (report.old, OLD),
    )
    return tuple(text for is_so, text in known if is_so)
