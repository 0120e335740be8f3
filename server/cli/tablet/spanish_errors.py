"""Errors in Spanish for the inspector: why something failed on the tablet, and what to do.

The interview, `chaski device screen` and the commands of couriers call it. The errors of `sync` are written in English,
for maintainers; no English text may reach an inspector's page.
"""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Mapping

from screening_forms.engine.xform_reader import Node
from screening_forms.errors import AnswerError
from screening_forms.languages import SOURCE
from sync.errors import SyncError

_SYNC_REASONS = {
    "tablet.not_enrolled": "esta tableta todavía no está inscrita; pida una invitación a la administración",
    "tablet.not_certified": "falta aprobar esta tableta, o traer sus documentos; avise a la administración",
    "tablet.no_form": "ese formulario no está en esta tableta; revise el nombre, o sincronice",
    "tablet.incomplete": "a esta tableta le falta un documento; sincronice",
    "outbox.in_use": "otro programa está usando esta tableta; ciérrelo y empiece de nuevo",
    "outbox.gone": "la carpeta de esta tableta se movió o se cambió mientras se usaba; devuélvala y empiece de nuevo",
    "outbox.full": "el disco de esta tableta está lleno; libere espacio",
    "courier.malformed": "eso no es un archivo de mensajería, o está dañado por completo; pida otra copia",
    "courier.too_large": "el archivo de mensajería es demasiado grande; repártalo en varios",
    "courier.file_exists": "ese archivo ya existe y no se reemplaza; use otro nombre",
    "courier.in_use": "otra entrega está usando ese archivo de recibos; espere a que termine y repita la orden",
    "courier.other_server": "ninguna tableta de este archivo es de ese servidor; no se envió nada; revise la dirección",
    "receipt.other_generation": "el servidor se restauró mientras tanto; repita: lo que perdió se envía otra vez",
    "transport.bad_address": "esa dirección del servidor no sirve; revísela",
    "transport.bad_certificate": "el servidor no probó ser quien dice; no se envió nada; avise a la administración",
    "transport.unreachable": "no hay conexión con el servidor; no se envió nada; pruebe más tarde",
    "transport": "se cortó la conexión con el servidor; repita: lo que ya tiene recibo no se envía otra vez",
    "storage": "el servidor no puede guardar más ahora; repita más tarde y avise a la administración",
    "server": "el servidor no puede atender ahora; repita más tarde",
    "http": "el servidor no aceptó la petición; repita más tarde o avise a la administración",
    "draft.unopenable": "ese borrador no se puede leer; se conserva",
    "key": "la llave de esta tableta no se puede usar; avise a la administración",
    "seal": "no se pudo cifrar; avise a la administración",
    "bundle": "el formulario no se puede usar; sincronice",
}
_SPANISH_DETAILS = ("tablet.revoked", "tablet.wiped")  # sync.tablet.status writes them for the inspector.
_OTHER_SYNC_REASON = "los documentos de esta tableta no se pueden usar; sincronice, o avise a la administración"
_DISK_REASONS = {
    errno.ENOSPC: "el disco de esta tableta está lleno; libere espacio",
    errno.EDQUOT: "el disco de esta tableta está lleno; libere espacio",
    errno.EACCES: "no hay permiso para escribir en el disco",
    errno.EPERM: "no hay permiso para escribir en el disco",
    errno.EROFS: "el disco no acepta cambios",
    errno.EIO: "el disco está fallando",
    errno.ENOENT: "falta una carpeta o un archivo en el disco",
    errno.ENOTDIR: "falta una carpeta en el disco",
    errno.EEXIST: "en el disco hay un archivo en lugar de una carpeta",
}
_DAMAGED = "los datos de esta tableta están dañados; no borre nada y avise a la administración"
_DATABASE_REASONS = {
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
    sqlite3.SQLITE_FULL: _DISK_REASONS[errno.ENOSPC],
    sqlite3.SQLITE_READONLY: _DISK_REASONS[errno.EROFS],
    sqlite3.SQLITE_IOERR: _DISK_REASONS[errno.EIO],
}


def reason_in_spanish(error: Exception, nodes: Mapping[str, Node] | None = None) -> str:
    """Return the reason of an error, without a full stop. `nodes`: the form's questions, to name them by their text."""
    if isinstance(error, AnswerError):
        names = [name for name in error.question.split(", ") if name]
        labels = [(nodes[name].label.get(SOURCE) if nodes and name in nodes else "") or name for name in names]
        return ": ".join(filter(None, ("; ".join(labels), error.why))).rstrip(".")
    if isinstance(error, SyncError):
        return _sync_reason(error)
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # The other bits hold details.
        return _DATABASE_REASONS.get(code, "la memoria de esta tableta no respondió; reinicie y pruebe otra vez")
    if isinstance(error, OSError):
        return _DISK_REASONS.get(error.errno or 0, f"el disco no respondió (error {error.errno or 'sin número'})")
    return "algo falló en esta tableta; avise a la administración"


def _sync_reason(error: SyncError) -> str:
    if error.code in _SPANISH_DETAILS:
        return error.detail
    family = error.code.partition(".")[0]
    return _SYNC_REASONS.get(error.code) or _SYNC_REASONS.get(family) or _OTHER_SYNC_REASON
