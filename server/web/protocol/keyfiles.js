/**
 * SPEC 3.4: the JSON object in which a key lies in a file or a browser's store. Modes and overwriting are for who owns
 * the storage.
 */
import { canonical, decode, encode, readObject } from "./encoding.js";
import { must, refuse } from "./errors.js";
import { check, id128, oneOf, optional, text } from "./forms.js";
import { routeKey, sealKey, signingKey } from "./keys.js";
import { lockSecret, passphraseKeys, unlockSecret } from "./passphrases.js";

/** @typedef {import("./encoding.js").Bytes} Bytes */
/** @typedef {import("./keys.js").SecretKey} SecretKey */
/** @typedef {"signing" | "seal" | "route"} Kind */

/** @type {Record<Kind, (secret: Bytes) => SecretKey | Promise<SecretKey>>} */
const KINDS = { signing: signingKey, seal: sealKey, route: routeKey };

/**
 * A key file, locked if a passphrase is given (SPEC 3.4).
 * @param {Kind} kind
 * @param {SecretKey} key
 * @param {string} [phrase]
 * @returns {Promise<Bytes>}
 */
export async function writeKeyFile(kind, key, phrase) {
  const { kid, secret } = key;
  if (phrase === undefined) return canonical({ kind, kid, secret: encode(secret) });
  const salt = crypto.getRandomValues(new Uint8Array(16));
  const { lock } = await passphraseKeys(phrase, salt);
  return canonical({ kind, kid, salt: encode(salt), locked: await lockSecret(lock, secret, `${kind}/${kid}`) });
}

/**
 * The key in a file; `key.wrong_kind`, `key.locked`, `key.wrong_passphrase`, `key.malformed` (SPEC 3.4).
 * @param {Uint8Array} bytes
 * @param {Kind} kind
 * @param {string} [phrase]
 * @returns {Promise<SecretKey>}
 */
export async function readKeyFile(bytes, kind, phrase) {
  const file = readObject(bytes);
  const perhaps = optional(text);
  check(
    file,
    { kind: oneOf(...Object.keys(KINDS)), kid: id128, secret: perhaps, salt: perhaps, locked: perhaps },
    "key.malformed",
  );
  must(file.kind === kind, "key.wrong_kind");
  const key = await KINDS[kind](file.secret === undefined ? await unlocked(file, phrase) : decode(file.secret));
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
  const { lock } = await passphraseKeys(phrase, decode(file.salt));
  return unlockSecret(lock, file.locked, `${file.kind}/${file.kid}`);
}
