/**
 * The two HPKE suites of the protocol (RFC 9180, draft-ietf-hpke-pq), single shot, without aad. The callers turn its
 * errors into codes.
 */
import { KDF_SHAKE256, KEM_MLKEM768_X25519 } from "@panva/hpke-noble";
import { AEAD_AES_256_GCM, CipherSuite, KDF_HKDF_SHA256, KEM_DHKEM_X25519_HKDF_SHA256 } from "hpke";
import { concat } from "./encoding.js";

/** @typedef {import("./encoding.js").Bytes} Bytes */
/** @typedef {import("./key_pairs.js").PublicKey} PublicKey */
/** @typedef {import("./key_pairs.js").SecretKey} SecretKey */
/** @typedef {{suite: CipherSuite<any>, enc: number}} Suite and the length of what it puts before a ciphertext */

/** For screenings and keyring seeds: 0x647a, 0x0011, 0x0002 (SPEC 8.1). @type {Suite} */
export const SEAL = { suite: new CipherSuite(KEM_MLKEM768_X25519, KDF_SHAKE256, AEAD_AES_256_GCM), enc: 1120 };
/** For routes: 0x0020, 0x0001, 0x0002 (SPEC 7.2). @type {Suite} */
export const ROUTE = {
  suite: new CipherSuite(KEM_DHKEM_X25519_HKDF_SHA256, KDF_HKDF_SHA256, AEAD_AES_256_GCM),
  enc: 32,
};

/**
 * Encrypt; return enc || ciphertext (SPEC 7.2, 8.1, 9).
 * @param {Suite} suite
 * @param {PublicKey} to
 * @param {Bytes} plaintext
 * @param {Bytes} info
 * @returns {Promise<Bytes>}
 */
export async function hpkeSeal({ suite }, to, plaintext, info) {
  const sealed = await suite.Seal(await suite.DeserializePublicKey(to.bytes), plaintext, { info });
  return concat(sealed.encapsulatedSecret, sealed.ciphertext);
}

/**
 * Decrypt enc || ciphertext; throws the library's error (SPEC 7.2, 8.3, 9).
 * @param {Suite} suite
 * @param {SecretKey} by
 * @param {Bytes} sealed
 * @param {Bytes} info
 * @returns {Promise<Bytes>}
 */
export async function hpkeOpen({ suite, enc }, by, sealed, info) {
  const key = await suite.DeserializePrivateKey(by.secret, true);
  return Uint8Array.from(await suite.Open(key, sealed.slice(0, enc), sealed.slice(enc), { info }));
}
