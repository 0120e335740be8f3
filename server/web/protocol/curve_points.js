/**
 * SPEC 3.1 and 4.1: encodings of Ed25519 points that are refused as a public key or as the R of a signature. For a key
 * of small order, anyone can make a signature without a secret.
 */
import { hex } from "./encoding.js";

const FIELD = 2n ** 255n - 19n;
const Y_BITS = 2n ** 255n - 1n;

// The y of the eight points whose order divides 8, as bytes; orders 1, 2, 4, 8 and 8.
const SMALL_ORDER_Y = new Set(
  [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
  ].map((bytes) => littleEndian(Uint8Array.from(/** @type {string[]} */ (bytes.match(/../g)), (two) => parseInt(two, 16)))),
);

/**
 * Whether 32 bytes are not refused: y is below 2^255 - 19 and not that of a point of small order.
 * @param {Uint8Array} encoding
 * @returns {boolean}
 */
export function isUsablePoint(encoding) {
  const y = littleEndian(encoding) & Y_BITS;
  return y < FIELD && !SMALL_ORDER_Y.has(y);
}

/** @param {Uint8Array} bytes */
function littleEndian(bytes) {
  return BigInt(`0x${hex(bytes.slice().reverse())}`);
}
