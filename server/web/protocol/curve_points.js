/**
 * SPEC 3.1 and 4.1: encodings of Ed25519 points that are refused as a public key or as the R of a signature. For a key
 * of small order, anyone can make a signature without a secret. And those of X25519 and ML-KEM-768 to which nothing can
 * be sealed.
 */
import { hex } from "./encoding.js";

const FIELD = 2n ** 255n - 19n;
const Y_BITS = 2n ** 255n - 1n;

// The y of the eight points whose order divides 8, as bytes; orders 1, 2, 4, 8 and 8.
const SMALL_ORDER_Y = numbers(
  "0100000000000000000000000000000000000000000000000000000000000000",
  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "0000000000000000000000000000000000000000000000000000000000000000",
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
);
// The u of the points of Curve25519 and its twist whose order divides 8: any secret gives zero with them.
const SMALL_ORDER_U = numbers(
  "0000000000000000000000000000000000000000000000000000000000000000",
  "0100000000000000000000000000000000000000000000000000000000000000",
  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
  "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
);
const LATTICE_MODULUS = 3329;
const LATTICE_BYTES = 1152;

/**
 * Whether 32 bytes are not refused: y is below 2^255 - 19 and not that of a point of small order.
 * @param {Uint8Array} encoding
 * @returns {boolean}
 */
export function isUsablePoint(encoding) {
  const y = littleEndian(encoding) & Y_BITS;
  return y < FIELD && !SMALL_ORDER_Y.has(y);
}

/**
 * Whether 32 bytes are an X25519 key to seal to: u is below 2^255 - 19 and not that of a point of small order.
 * @param {Uint8Array} encoding
 * @returns {boolean}
 */
export function isUsableCoordinate(encoding) {
  const u = littleEndian(encoding) & Y_BITS;
  return u < FIELD && !SMALL_ORDER_U.has(u);
}

/**
 * Whether all numbers of an ML-KEM-768 encapsulation key, 12 bits each, are below its modulus (FIPS 203, 7.2).
 * @param {Uint8Array} encoding
 * @returns {boolean}
 */
export function isUsableLatticeKey(encoding) {
  for (let at = 0; at < LATTICE_BYTES; at += 3) {
    const triple = encoding[at] | (encoding[at + 1] << 8) | (encoding[at + 2] << 16);
    if ((triple & 0xfff) >= LATTICE_MODULUS || triple >> 12 >= LATTICE_MODULUS) return false;
  }
  return true;
}

/** @param {string[]} encodings in hexadecimal */
function numbers(...encodings) {
  const bytes = (/** @type {string} */ each) => /** @type {string[]} */ (each.match(/../g));
  return new Set(encodings.map((each) => littleEndian(Uint8Array.from(bytes(each), (two) => parseInt(two, 16)))));
}

/** @param {Uint8Array} bytes */
function littleEndian(bytes) {
  return BigInt(`0x${hex(bytes.slice().reverse())}`);
}
