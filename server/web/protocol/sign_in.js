/**
 * SPEC 5.9: staff sign-in. The server proves itself first; the person's `auth` never travels, only a proof that she
 * knows it, which is worth nothing for any other challenge.
 */
import { hmac } from "@noble/hashes/hmac.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { decodeBase64url, encodeBase64url } from "./encoding.js";
import { must } from "./errors.js";
import { check, integer, kidText, matching, sha256Hex, text } from "./json_object.js";
import { readDocument, requireSigners } from "./signed.js";

/** @typedef {import("./encoding.js").Bytes} Bytes */
/** @typedef {{document: import("./signed.js").Document, salt: Bytes, authSalt: Bytes}} Challenge */

export const SESSION = "chaski-1/session+jws";

/**
 * Draw a nonce, which no server can have signed before (SPEC 5.9).
 * @returns {string}
 */
export const newNonce = () => encodeBase64url(crypto.getRandomValues(new Uint8Array(32)));

/**
 * Accept a challenge: a server of the trust signed it for this very sign-in (SPEC 5.9).
 * @param {Bytes} bytes
 * @param {import("./trust.js").Trust} trust
 * @param {{nonce: string, url: string, login: string}} asked `url` is the origin that the client dialled
 * @returns {Promise<Challenge>}
 */
export async function acceptChallenge(bytes, trust, asked) {
  const document = readDocument(bytes);
  await requireSigners(document, SESSION, trust.servers);
  const { value } = document;
  check(value, {
    nonce: matching(/^[A-Za-z0-9_-]{43}$/),
    url: text,
    login: text,
    trust: sha256Hex,
    at: integer(),
    salt: kidText,
    auth_salt: kidText,
  });
  const challenge = { document, salt: decodeBase64url(value.salt), authSalt: decodeBase64url(value.auth_salt) };
  must(value.nonce === asked.nonce && value.login === asked.login, "session.wrong_challenge");
  must(value.url === asked.url, "session.wrong_address");
  must(value.trust === trust.document.hash, "session.other_trust");
  return challenge;
}

/**
 * Prove `auth` for one challenge (SPEC 5.9).
 * @param {Bytes} auth 32 bytes, of deriveKeys
 * @param {Challenge} challenge
 * @returns {string}
 */
export function prove(auth, { document, authSalt }) {
  const mask = hmac(sha256, hmac(sha256, authSalt, auth), document.payload);
  return encodeBase64url(Uint8Array.from(auth, (byte, at) => byte ^ mask[at]));
}
