/**
 * SPEC 3.1 and 3.3: keys, their ids, and the words that people compare. Secrets are plain bytes here; a caller must
 * lock them before it stores them (SPEC 3.2).
 */
import { MLKEM768X25519 } from "@noble/post-quantum/hybrid.js";
import { wordlist } from "@scure/bip39/wordlists/spanish.js";
import { isUsableCoordinate, isUsableLatticeKey, isUsablePoint } from "./curve_points.js";
import { concat, decodeBase64url, digest, encodeBase64url } from "./encoding.js";
import { must } from "./errors.js";

/** @typedef {import("./encoding.js").Bytes} Bytes */
/** @typedef {{kid: string, bytes: Bytes}} PublicKey */
/** @typedef {PublicKey & {secret: Bytes}} SecretKey the public half, and 32 bytes that open or sign */

// PKCS #8 of RFC 8410, which stands before the 32 secret bytes. The byte in the middle tells the two curves apart.
const PKCS8 = { Ed25519: 0x70, X25519: 0x6e };

/**
 * Return the id of a public key (SPEC 3.1).
 * @param {Uint8Array} bytes
 * @returns {string}
 */
export const keyId = (bytes) => encodeBase64url(digest(bytes).subarray(0, 16));

/**
 * Make a public key from its bytes: 32, or 1,216 of a keyring (SPEC 3.1).
 * @param {Bytes} bytes
 * @param {number} [length]
 * @returns {PublicKey}
 */
export function publicKey(bytes, length = 32) {
  must(bytes.length === length, "key.malformed");
  return { kid: keyId(bytes), bytes };
}

/**
 * Make a public key of 32 bytes from base64url (SPEC 3.1).
 * @param {string} text
 * @returns {PublicKey}
 */
export const parsePublicKey = (text) => publicKey(decodeBase64url(text));

/**
 * Make the public half of another party's route key from base64url (SPEC 3.1).
 * @param {string} text
 * @returns {PublicKey}
 */
export function parseRouteKey(text) {
  const key = parsePublicKey(text);
  must(isUsableCoordinate(key.bytes), "key.malformed");
  return key;
}

/**
 * Make a keyring's public key from its 1,216 bytes (SPEC 3.1).
 * @param {Bytes} bytes
 * @returns {PublicKey}
 */
export function sealPublicKey(bytes) {
  const key = publicKey(bytes, 1216);
  must(isUsableLatticeKey(bytes) && isUsableCoordinate(bytes.subarray(1184)), "key.malformed");
  return key;
}

/**
 * Make a public signing key from base64url, as in documents (SPEC 3.1).
 * @param {string} text
 * @returns {PublicKey}
 */
export function parseVerifyKey(text) {
  const key = parsePublicKey(text);
  must(isUsablePoint(key.bytes), "key.malformed");
  return key;
}

/**
 * Make a signing key from its secret (SPEC 3.1).
 * @param {Bytes} secret
 * @returns {Promise<SecretKey>}
 */
export const signingKey = (secret) => curveKey("Ed25519", secret, "sign");

/**
 * Make a route key from its secret (SPEC 3.1).
 * @param {Bytes} secret
 * @returns {Promise<SecretKey>}
 */
export const routeKey = (secret) => curveKey("X25519", secret, "deriveBits");

/**
 * Make a keyring's or member's seal key from its seed (SPEC 3.1).
 * @param {Bytes} seed
 * @returns {SecretKey}
 */
export function sealKey(seed) {
  must(seed.length === 32, "key.malformed");
  return { ...publicKey(Uint8Array.from(MLKEM768X25519.getPublicKey(seed)), 1216), secret: seed };
}

/**
 * Draw a new secret for one of the three functions above (SPEC 3.1).
 * @returns {Bytes} 32 random bytes, for one of the three above
 */
export const generateSecret = () => crypto.getRandomValues(new Uint8Array(32));

/**
 * Return the WebCrypto key for signing.
 * @param {SecretKey} key
 * @returns {Promise<CryptoKey>}
 */
export const signingCryptoKey = (key) => importSecret("Ed25519", key.secret, "sign");

/**
 * Return the six words that people compare by voice (SPEC 3.3).
 * @param {Uint8Array} publicBytes of a signing key
 * @returns {string[]}
 */
export function sixWords(publicBytes) {
  const bits = Array.from(digest(publicBytes).subarray(0, 9), (byte) => byte.toString(2).padStart(8, "0")).join("");
  return [0, 1, 2, 3, 4, 5].map((at) => wordlist[parseInt(bits.slice(at * 11, at * 11 + 11), 2)].normalize("NFC"));
}

/**
 * @param {"Ed25519" | "X25519"} curve
 * @param {Bytes} secret
 * @param {KeyUsage} use
 * @returns {Promise<SecretKey>}
 */
async function curveKey(curve, secret, use) {
  must(secret.length === 32, "key.malformed");
  const { x } = await crypto.subtle.exportKey("jwk", await importSecret(curve, secret, use));
  return { ...parsePublicKey(/** @type {string} */ (x)), secret };
}

/**
 * @param {"Ed25519" | "X25519"} curve
 * @param {Bytes} secret
 * @param {KeyUsage} use
 * @returns {Promise<CryptoKey>}
 */
function importSecret(curve, secret, use) {
  const head = Uint8Array.of(0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, PKCS8[curve], 4, 0x22, 4, 0x20);
  return crypto.subtle.importKey("pkcs8", concat(head, secret), curve, true, [use]);
}
