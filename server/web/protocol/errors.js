/**
 * ProtocolError, the one exception of the protocol; its `code` is one of SPEC 14. The modules of this folder throw
 * nothing else on purpose.
 */

export class ProtocolError extends Error {
  /**
   * @param {string} code one of SPEC 14
   * @param {string} [detail] for a log; never shown to people, never a secret
   * @param {Record<string, any>} [members] further members of a problem (SPEC 12)
   */
  constructor(code, detail, members) {
    super(detail ? `${code}: ${detail}` : code);
    this.name = "ProtocolError";
    this.code = code;
    this.members = members;
  }
}

/**
 * Refuse with a code of SPEC 14.
 * @param {string} code
 * @param {string} [detail]
 * @returns {never}
 */
export function refuse(code, detail) {
  throw new ProtocolError(code, detail);
}

/**
 * Refuse with `code` unless the condition holds (SPEC 14).
 * @param {unknown} condition
 * @param {string} code
 * @param {string} [detail]
 * @returns {asserts condition}
 */
export function must(condition, code, detail) {
  if (!condition) refuse(code, detail);
}

/**
 * Await an operation that may throw its own error (cryptography, a parser); then refuse with `code` (SPEC 14).
 * @template T
 * @param {() => T | Promise<T>} attempt
 * @param {string} code
 * @returns {Promise<T>}
 */
export async function orRefuse(attempt, code) {
  try {
    return await attempt();
  } catch {
    return refuse(code);
  }
}
