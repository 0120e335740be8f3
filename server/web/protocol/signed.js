/**
 * SPEC 4: detached JWS, bare signatures, and documents with several signatures. The callers decide which keys may sign.
 */
import { FlattenedSign, flattenedVerify } from "jose";
import { isUsablePoint } from "./curve_points.js";
import { canonical, concat, decodeBase64url, encodeBase64url, hash, readObject, same, utf8 } from "./encoding.js";
import { must, orRefuse } from "./errors.js";
import { signingCryptoKey } from "./key_pairs.js";

/** @typedef {import("./encoding.js").Bytes} Bytes */
/** @typedef {import("./key_pairs.js").PublicKey} PublicKey */
/** @typedef {import("./key_pairs.js").SecretKey} SecretKey */
/** @typedef {{kid: string, header: string, signature: string}} Jws header and signature as base64url */
/** @typedef {import("./encoding.js").JsonObject} JsonObject */
/** @typedef {{bytes: Bytes, payload: Bytes, value: JsonObject, hash: string, lines: string[]}} Document */

const ALG = "Ed25519";
const LARGEST = 4 * 1024 * 1024;
const MOST_SIGNATURES = 16;
const LF = 0x0a;

/**
 * Sign a payload with a detached JWS (SPEC 4.1).
 * @param {Bytes} payload
 * @param {string} typ
 * @param {SecretKey} key
 * @returns {Promise<string>}
 */
export async function sign(payload, typ, key) {
  const header = { alg: ALG, kid: key.kid, typ };
  const jws = await new FlattenedSign(payload).setProtectedHeader(header).sign(await signingCryptoKey(key));
  return `${jws.protected}..${jws.signature}`;
}

/**
 * Return only the signature, for places where kid and typ are known (SPEC 4.2).
 * @param {Bytes} payload
 * @param {string} typ
 * @param {SecretKey} key
 * @returns {Promise<string>}
 */
export async function signBare(payload, typ, key) {
  return (await sign(payload, typ, key)).split("..")[1];
}

/**
 * Make the first checks of SPEC 4.1, up to the canonical header.
 * @param {string} text
 * @param {string} typ the one that is due
 * @returns {Jws}
 */
export function parseJws(text, typ) {
  const parts = text.split(".");
  must(parts.length === 3 && parts[1] === "", "signed.malformed");
  const [header, , signature] = parts;
  const headerBytes = decodeBase64url(header);
  const members = readObject(headerBytes);
  const names = Object.keys(members).sort().join();
  must(decodeBase64url(signature).length === 64, "signed.malformed", "length of the signature");
  must(names === "alg,kid,typ", "signed.forbidden_header");
  must(members.alg === ALG, "signed.wrong_alg");
  must(members.typ === typ, "signed.wrong_typ");
  must(typeof members.kid === "string" && same(canonical(members), headerBytes), "signed.malformed", "header");
  return { kid: members.kid, header, signature };
}

/**
 * Verify a JWS by a known key, or refuse with `code` (SPEC 4.1).
 * @param {Bytes} payload
 * @param {Jws} jws
 * @param {PublicKey} key
 * @param {string} [code]
 * @returns {Promise<void>}
 */
export async function verify(payload, jws, key, code = "signed.bad_signature") {
  await orRefuse(async () => {
    // jose decodes leniently, so only the canonical spelling of the signature may reach it.
    const bytes = decodeBase64url(jws.signature);
    must(isUsablePoint(bytes.subarray(0, 32)), code);
    const signature = encodeBase64url(bytes);
    const flattened = { protected: jws.header, payload: encodeBase64url(payload), signature };
    const verifier = await crypto.subtle.importKey("raw", key.bytes, ALG, false, ["verify"]);
    await flattenedVerify(flattened, verifier, { algorithms: [ALG] });
  }, code);
}

/**
 * Verify a bare signature by a known key, or refuse with `code` (SPEC 4.2).
 * @param {Bytes} payload
 * @param {string} signature
 * @param {string} typ
 * @param {PublicKey} key
 * @param {string} code
 * @returns {Promise<void>}
 */
export async function verifyBare(payload, signature, typ, key, code) {
  await verify(payload, { kid: key.kid, header: jwsHeader(key.kid, typ), signature }, key, code);
}

/**
 * Return the only header that a kid and a typ may have, as base64url (SPEC 4.1).
 * @param {string} kid
 * @param {string} typ
 * @returns {string}
 */
export const jwsHeader = (kid, typ) => encodeBase64url(canonical({ alg: ALG, kid, typ }));

/**
 * Write a document from an object and sign it (SPEC 4.3).
 * @param {import("./encoding.js").JsonObject} value
 * @param {string} typ
 * @param {SecretKey[]} keys
 * @returns {Promise<Bytes>}
 */
export async function writeDocument(value, typ, keys) {
  const payload = canonical(value);
  const lines = await Promise.all(keys.map((key) => sign(payload, typ, key)));
  return concat(payload, ...lines.map((line) => utf8(`\n${line}`)));
}

/**
 * Parse a document; nothing is verified yet (SPEC 4.3).
 * @param {Bytes} bytes
 * @returns {Document}
 */
export function readDocument(bytes) {
  must(bytes.length <= LARGEST, "signed.too_large");
  const end = bytes.indexOf(LF);
  must(end >= 0 && bytes.subarray(end).every((byte) => byte < 0x80), "signed.malformed", "no signature, or not ASCII");
  const payload = bytes.slice(0, end);
  const lines = new TextDecoder().decode(bytes.subarray(end + 1)).split("\n");
  must(lines.length <= MOST_SIGNATURES, "signed.malformed", "too many signatures");
  const value = readObject(payload);
  must(same(canonical(value), payload), "signed.not_canonical");
  return { bytes, payload, value, hash: hash(payload), lines };
}

/**
 * Require `threshold` distinct keys of a set (SPEC 4.3).
 * @param {Document} document
 * @param {string} typ
 * @param {PublicKey[]} keys
 * @param {number} [threshold]
 * @returns {Promise<Set<string>>} the kids of those of the set who signed
 */
export async function requireSigners(document, typ, keys, threshold = 1) {
  const known = new Map(keys.map((key) => [key.kid, key]));
  const signers = new Set();
  for (const jws of document.lines.map((line) => parseJws(line, typ))) {
    const key = known.get(jws.kid);
    if (!key) continue;
    await verify(document.payload, jws, key);
    signers.add(jws.kid);
  }
  must(signers.size >= threshold, "signed.too_few");
  return signers;
}

/**
 * Refuse a lower number, and another payload under the same number (SPEC 4.5).
 * @param {Document} document
 * @param {Document | null} held
 */
export function requireNotOlder(document, held) {
  if (!held) return;
  must(document.value.number >= held.value.number, "document.rolled_back");
  must(document.value.number > held.value.number || document.hash === held.hash, "document.same_number");
}
