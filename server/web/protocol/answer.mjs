/**
 * Answers questions from standard input, one JSON object a line, `{"do", "given"}`: the `do` values of SPEC 15, and
 * `write_...` for documents that a tablet or a person writes. tests/test_sync_second_implementation.py runs it.
 */
import { createInterface } from "node:readline";
import { decodeBase64url, encodeBase64url, utf8 } from "./encoding.js";
import { writeEnrolmentRequest, writeInvitation } from "./enrolment.js";
import { REQUEST, RESPONSE, writeMessage } from "./messages.js";
import { readKeyFile, writeKeyFile } from "./key_files.js";
import { generateSecret, publicKey, sealKey, signingKey } from "./key_pairs.js";
import { wrapSeed } from "./keyring_seeds.js";
import { generatePassphrase } from "./passphrases.js";
import { sealEnvelope } from "./seal.js";
import { writeDocument } from "./signed.js";
import { answer } from "./vectors.js";

const text = (bytes) => new TextDecoder().decode(bytes);
const signing = (secret) => signingKey(decodeBase64url(secret));

async function message({ members, key }, typ) {
  const { body, signature } = await writeMessage(members, typ, await signing(key));
  return { body: encodeBase64url(body), signature };
}

const WRITE = {
  write_envelope: async ({ instance, context, bucket, route, counters, keyring, route_key, device }) =>
    sealEnvelope({
      instance: utf8(instance),
      context,
      bucket,
      route,
      counters,
      keyring: publicKey(decodeBase64url(keyring), 1216),
      routeKey: publicKey(decodeBase64url(route_key)),
      device: await signing(device),
    }),
  write_document: async ({ value, typ, keys }) =>
    text(await writeDocument(value, typ, await Promise.all(keys.map(signing)))),
  write_invitation: (given) => writeInvitation(given),
  write_enrolment: async ({ code }) => text(await writeEnrolmentRequest(code, await signingKey(generateSecret()))),
  draw_passphrase: () => generatePassphrase(),
  write_request: (given) => message(given, REQUEST),
  write_response: (given) => message(given, RESPONSE),
  write_wrap: ({ seed, member_key, keyring, epoch, member_id }) =>
    wrapSeed(
      decodeBase64url(seed),
      { keyring, epoch, member: member_id },
      publicKey(decodeBase64url(member_key), 1216),
    ),
  write_key_file: async ({ seed, phrase }) => text(await writeKeyFile("seal", sealKey(decodeBase64url(seed)), phrase)),
  read_key_file: async ({ file, kind, phrase }) =>
    encodeBase64url((await readKeyFile(utf8(file), kind, phrase)).secret),
};

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await answer(JSON.parse(line), WRITE)));
}
