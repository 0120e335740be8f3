/** SPEC 9: a keyring's seed, wrapped to each of its members. The server stores the wrapped seeds and never a seed. */
import { decodeBase64url, encodeBase64url, utf8 } from "./encoding.js";
import { orRefuse } from "./errors.js";
import { hpkeOpen, hpkeSeal, SEAL } from "./hpke.js";
import { recipientInfo } from "./seal.js";

/** @typedef {import("./encoding.js").Bytes} Bytes */
/** @typedef {{keyring: string, epoch: number, member: string}} Membership of SPEC 9 */

/**
 * Wrap a seed for a member (SPEC 9).
 * @param {Bytes} seed
 * @param {Membership} membership
 * @param {import("./key_pairs.js").PublicKey} memberKey her seal key
 * @returns {Promise<string>}
 */
export const wrapSeed = async (seed, membership, memberKey) =>
  encodeBase64url(await hpkeSeal(SEAL, memberKey, seed, infoOf(membership)));

/**
 * Unwrap a seed, or throw `seal.unopenable` (SPEC 9).
 * @param {string} wrapped
 * @param {Membership} membership
 * @param {import("./key_pairs.js").SecretKey} memberKey
 * @returns {Promise<Bytes>}
 */
export function unwrapSeed(wrapped, membership, memberKey) {
  const sealed = decodeBase64url(wrapped);
  return orRefuse(() => hpkeOpen(SEAL, memberKey, sealed, infoOf(membership)), "seal.unopenable");
}

/** @param {Membership} membership */
const infoOf = ({ keyring, epoch, member }) => recipientInfo(`chaski-1/wrap/${keyring}/${epoch}/${member}`);
