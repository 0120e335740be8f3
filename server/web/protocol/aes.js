/**
 * AES-256-GCM with the tag at the end, by WebCrypto: for locked secrets (SPEC 3.2) and screenings (SPEC 8.1 step 4).
 * Failures are the caller's to name.
 */

/** @typedef {import("./encoding.js").Bytes} Bytes */

/**
 * Ciphertext and tag (SPEC 3.2, 8.1).
 * @param {Bytes} key 32 bytes
 * @param {Bytes} iv 12 bytes, never used twice with this key
 * @param {Bytes} plaintext
 * @param {Bytes} aad
 * @returns {Promise<Bytes>}
 */
export async function aesSeal(key, iv, plaintext, aad) {
  const algorithm = { name: "AES-GCM", iv, additionalData: aad };
  return new Uint8Array(await crypto.subtle.encrypt(algorithm, await aesKey(key, "encrypt"), plaintext));
}

/**
 * Plaintext; throws whatever WebCrypto throws when the tag is wrong (SPEC 3.2, 8.3).
 * @param {Bytes} key
 * @param {Bytes} iv
 * @param {Bytes} ciphertext with its tag
 * @param {Bytes} aad
 * @returns {Promise<Bytes>}
 */
export async function aesOpen(key, iv, ciphertext, aad) {
  const algorithm = { name: "AES-GCM", iv, additionalData: aad };
  return new Uint8Array(await crypto.subtle.decrypt(algorithm, await aesKey(key, "decrypt"), ciphertext));
}

/**
 * @param {Bytes} key
 * @param {KeyUsage} use
 */
const aesKey = (key, use) => crypto.subtle.importKey("raw", key, "AES-GCM", false, [use]);
