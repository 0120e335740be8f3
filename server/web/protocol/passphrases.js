/**
 * SPEC 3.2: six words that open a person's secrets on her own machine. `lock` must never leave it; only `auth` is sent.
 */
import { expand } from "@noble/hashes/hkdf.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { wordlist } from "@scure/bip39/wordlists/spanish.js";
import { argon2id } from "hash-wasm";
import { aesOpen, aesSeal } from "./aes.js";
import { concat, decodeBase64url, encodeBase64url, utf8 } from "./encoding.js";
import { must, orRefuse } from "./errors.js";

/** @typedef {import("./encoding.js").Bytes} Bytes */
/** @typedef {{auth: Bytes, lock: Bytes}} PassphraseKeys */

/**
 * Draw six random words of the Spanish list (SPEC 3.2).
 * @returns {string}
 */
export function generatePassphrase() {
  // 65,536 is a multiple of 2,048, so the remainder is as random as the number.
  const numbers = crypto.getRandomValues(new Uint16Array(6));
  return Array.from(numbers, (number) => wordlist[number % wordlist.length].normalize("NFC")).join(" ");
}

/**
 * Normalize a passphrase: no accents, no capitals, one blank between words (SPEC 3.2).
 * @param {string} phrase
 * @returns {string}
 */
export const normalizePhrase = (phrase) =>
  phrase.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase().split(/\s+/u).filter(Boolean).join(" ");

/**
 * Derive the two keys of a passphrase; by design this takes time and 64 MiB (SPEC 3.2).
 * @param {string} phrase
 * @param {Uint8Array} salt 16 bytes
 * @returns {Promise<PassphraseKeys>}
 */
export async function deriveKeys(phrase, salt) {
  must(salt.length === 16, "key.malformed", "salt");
  const password = utf8(normalizePhrase(phrase));
  must(password.length > 0, "key.wrong_passphrase", "empty");
  const cost = { memorySize: 64 * 1024, iterations: 3, parallelism: 1, hashLength: 32 };
  const master = await argon2id({ password, salt, ...cost, outputType: "binary" });
  const part = (/** @type {string} */ info) => Uint8Array.from(expand(sha256, master, utf8(info), 32));
  return { auth: part("chaski-1/auth"), lock: part("chaski-1/lock") };
}

/**
 * Lock a secret for a purpose (SPEC 3.2).
 * @param {Bytes} lock
 * @param {Bytes} secret
 * @param {string} purpose `<kind>/<kid>` for a person's key
 * @returns {Promise<string>}
 */
export async function lockSecret(lock, secret, purpose) {
  const nonce = crypto.getRandomValues(new Uint8Array(12));
  return encodeBase64url(concat(nonce, await aesSeal(lock, nonce, secret, utf8(purpose))));
}

/**
 * Unlock a secret, or throw `key.wrong_passphrase` (SPEC 3.2).
 * @param {Bytes} lock
 * @param {string} locked
 * @param {string} purpose
 * @returns {Promise<Bytes>}
 */
export function unlockSecret(lock, locked, purpose) {
  const bytes = decodeBase64url(locked);
  return orRefuse(() => aesOpen(lock, bytes.slice(0, 12), bytes.slice(12), utf8(purpose)), "key.wrong_passphrase");
}
