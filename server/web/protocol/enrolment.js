/** SPEC 5.5: how a tablet comes in: an invitation, a request signed by its own key, a registrar's certificate. */
import { decode, encode } from "./encoding.js";
import { must, orRefuse } from "./errors.js";
import { check, hashForm, id128, integer, matching, publicKey, region } from "./forms.js";
import { kidOf, namedKey } from "./keys.js";
import { readDocument, requireSigners, writeDocument } from "./signed.js";

/** @typedef {import("./encoding.js").Bytes} Bytes */
/** @typedef {{address: string, code: string, pin: string}} Invitation */
/** @typedef {{dev: string, key: string, region: string, label: string, number: number, issued: number}} Certificate */

export const ENROLMENT = "chaski-1/enrolment+jws";
export const CERTIFICATE = "chaski-1/device+jws";
const LARGEST_REQUEST = 4 * 1024;
const INVITATION = /^chaski:1\?u=([^&]*)&c=([^&]*)&r=([^&]*)$/;
const CODE = matching(/^[A-Za-z0-9_-]{8,64}$/);

/**
 * What a QR code or a typed line says (SPEC 5.5 step 1).
 * @param {string} text
 * @returns {Promise<Invitation>}
 */
export function readInvitation(text) {
  return orRefuse(() => {
    const [address, code, pin] = /** @type {RegExpMatchArray} */ (text.match(INVITATION)).slice(1).map(decodeURIComponent);
    const { protocol, hostname } = new URL(address);
    must(["http:", "https:"].includes(protocol) && hostname && CODE(code) && hashForm(pin), "enrolment.bad_invitation");
    return { address, code, pin };
  }, "enrolment.bad_invitation");
}

/**
 * The line for a QR code (SPEC 5.5 step 1).
 * @param {Invitation} invitation
 * @returns {string}
 */
export const writeInvitation = ({ address, code, pin }) =>
  `chaski:1?u=${encodeURIComponent(address)}&c=${encodeURIComponent(code)}&r=${encodeURIComponent(pin)}`;

/**
 * A tablet's request (SPEC 5.5 step 2).
 * @param {string} code
 * @param {import("./keys.js").SecretKey} device
 * @returns {Promise<Bytes>}
 */
export const writeEnrolment = (code, device) => writeDocument({ code, key: encode(device.bytes) }, ENROLMENT, [device]);

/**
 * Accept a tablet's request: signed by the key it names (SPEC 5.5 step 2).
 * @param {Bytes} bytes
 * @returns {Promise<{code: string, key: import("./keys.js").PublicKey}>}
 */
export async function acceptEnrolment(bytes) {
  must(bytes.length <= LARGEST_REQUEST, "signed.too_large");
  const document = readDocument(bytes);
  check(document.value, { code: CODE, key: publicKey });
  const key = namedKey(document.value.key);
  await requireSigners(document, ENROLMENT, [key]);
  return { code: document.value.code, key };
}

/**
 * Accept a certificate, as the tablet `dev` (SPEC 5.5 step 4).
 * @param {Bytes} bytes
 * @param {import("./trust.js").Trust} trust
 * @param {string} dev
 * @returns {Promise<Certificate>}
 */
export async function acceptCertificate(bytes, trust, dev) {
  const document = readDocument(bytes);
  await requireSigners(document, CERTIFICATE, trust.registrars);
  const value = /** @type {Certificate} */ (document.value);
  check(value, { dev: id128, key: publicKey, region, label: matching(/^\P{Cc}{0,80}$/u), number: integer(1), issued: integer() });
  must(value.dev === dev && value.dev === kidOf(decode(value.key)), "enrolment.wrong_device");
  return value;
}
