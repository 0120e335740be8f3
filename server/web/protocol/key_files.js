/**
 * SPEC 3.4: a key as a JSON object, in a file or a browser's store. The caller sets file modes and prevents
 * overwriting.
 */
import { canonical, decodeBase64url, encodeBase64url, readObject } from "./encoding.js";
import { must, refuse } from "./errors.js";
import { check, kidText, oneOf, optional, text } from "./json_object.js";
import { routeKey, sealKey, signingKey } from "./key_pairs.js";
import { lockSecret, deriveKeys, unlockSecret } from "./passphrases.js";

/** @typedef {import("./encoding.js").Bytes} Bytes */
/** @typedef {import("./key_pairs.js").SecretKey} SecretKey */
/** @typedef {"signing" | "seal" | "route"} Kind */

/** @type {Record<Kind, (secret: Bytes) => SecretKey | Promise<SecretKey>>} */
const KINDS = { signing: signingKey, seal: sealKey, route: routeKey };

/**
 * Write a key file, locked if there is a passphrase (SPEC 3.4).
 * @param {Kind} kind
 * @param {SecretKey} key
 * @param {string} [phrase]
 * @returns {Promise<Bytes>}
 */
export async function writeKeyFile(kind, key, phrase) {
  const { kid, secret } = key;
  if (phrase === undefined) return canonical({ kind, kid, secret: encodeBase64url(secret) });
  const salt = crypto.getRandomValues(new Uint8Array(16));
  const { lock } = await deriveKeys(phrase, salt);
  return canonical({
    kind,
    kid,
    salt: encodeBase64url(salt),
    locked: await lockSecret(lock, secret, `${kind}/${kid}`),
  });
}

/**
 * Read the key in a file; throws `key.wrong_kind`, `key.locked`, `key.wrong_passphrase` or `key.malformed` (SPEC 3.4).
 * @param {Uint8Array} bytes
 * @param {Kind} kind
 * @param {string} [phrase]
 * @returns {Promise<SecretKey>}
 */
export async function readKeyFile(bytes, kind, phrase) {
  const file = readObject(bytes);
  const optionalText = optional(text);
  check(
    file,
    {
      kind: oneOf(...Object.keys(KINDS)),
      kid: kidText,
      secret: optionalText,
      salt: optionalText,
      locked: optionalText,
    },
    "key.malformed",
  );
  must(file.kind === kind, "key.wrong_kind");
  const key = await KINDS[kind](
    file.secret === undefined ? await unlocked(file, phrase) : decodeBase64url(file.secret),
  );
  must(key.kid === file.kid, "key.malformed", "not the secret of this kid");
  return key;
}

/**
 * @param {import("./encoding.js").JsonObject} file
 * @param {string} [phrase]
 */
async function unlocked(file, phrase) {
  must(file.salt !== undefined && file.locked !== undefined, "key.malformed");
  if (phrase === undefined) return refuse("key.locked");
  const { lock } = await deriveKeys(phrase, decodeBase64url(file.salt));
  return unlockSecret(lock, file.locked, `${file.kind}/${file.kid}`);
}
