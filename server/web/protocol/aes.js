/**
 * AES-256-GCM by WebCrypto, with the tag at the end, for locked secrets (SPEC 3.2) and screenings (SPEC 8.1 step 4).
 * The callers turn its errors into codes.
 */

/** @typedef {import("./encoding.js").Bytes} Bytes */

/**
 * Encrypt; return ciphertext and tag (SPEC 3.2, 8.1).
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
 * Decrypt; throws WebCrypto's error when the tag is wrong (SPEC 3.2, 8.3).
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
