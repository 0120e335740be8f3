/**
 * Deflate with a size limit and the exact end of the stream, for plaintexts (SPEC 8.2, 8.3) and sync bodies (SPEC 11).
 * The browser's DecompressionStream does not report where a stream ended.
 */
import {
  ZStream,
  Z_NO_FLUSH,
  Z_OK,
  Z_STREAM_END,
  zlibInflate,
  zlibInflateInit2,
  zlibInflateSetDictionary,
} from "pako";
import { concat } from "./encoding.js";
import { must } from "./errors.js";

/** @typedef {import("./encoding.js").Bytes} Bytes */
/**
 * `used`: how many bytes of the input the stream took; `whole`: whether it reached its end.
 * @typedef {{data: Bytes, used: number, whole: boolean}} Inflated
 */

export const RAW = -15;
export const GZIP = 31;
const CHUNK = 64 * 1024;

/**
 * Inflate one stream; stop with `tooLarge` past the limit (SPEC 8.3, 11).
 * @param {Bytes} input
 * @param {number} windowBits RAW or GZIP
 * @param {number} limit
 * @param {string} tooLarge code
 * @param {Bytes} [dictionary] preset dictionary of a RAW stream
 * @returns {Inflated}
 */
export function inflate(input, windowBits, limit, tooLarge, dictionary) {
  const stream = new ZStream();
  zlibInflateInit2(stream, windowBits);
  if (dictionary) zlibInflateSetDictionary(stream, dictionary);
  stream.input = input;
  stream.avail_in = input.length;
  const parts = [];
  let status;
  do {
    stream.output = new Uint8Array(CHUNK);
    stream.next_out = 0;
    stream.avail_out = CHUNK;
    status = zlibInflate(stream, Z_NO_FLUSH);
    must(stream.total_out <= limit, tooLarge);
    parts.push(stream.output.subarray(0, stream.next_out));
  } while (status === Z_OK && stream.avail_out === 0);
  return { data: concat(...parts), used: stream.total_in, whole: status === Z_STREAM_END };
}
