/**
 * Answers questions from standard input, one JSON object a line, `{"do", "given"}`: those of SPEC 15, and `write_...`
 * for what a tablet or a person writes. For tests/test_sync_second_implementation.py.
 */
import { createInterface } from "node:readline";
import { decode, encode, utf8 } from "./encoding.js";
import { writeEnrolment, writeInvitation } from "./enrolment.js";
import { REQUEST, RESPONSE, writeMessage } from "./exchange.js";
import { readKeyFile, writeKeyFile } from "./keyfiles.js";
import { drawSecret, publicKey, sealKey, signingKey } from "./keys.js";
import { wrapSeed } from "./members.js";
import { drawPassphrase } from "./passphrases.js";
import { sealEnvelope } from "./seal.js";
import { writeDocument } from "./signed.js";
import { answer } from "./vectors.js";

const text = (bytes) => new TextDecoder().decode(bytes);
const signing = (secret) => signingKey(decode(secret));

async function message({ members, key }, typ) {
  const { body, signature } = await writeMessage(members, typ, await signing(key));
  return { body: encode(body), signature };
}

const WRITE = {
  write_envelope: async ({ instance, bucket, route, counters, keyring, route_key, device }) =>
    sealEnvelope({
      instance: utf8(instance),
      bucket,
      route,
      counters,
      keyring: publicKey(decode(keyring), 1216),
      routeKey: publicKey(decode(route_key)),
      device: await signing(device),
    }),
  write_document: async ({ value, typ, keys }) =>
    text(await writeDocument(value, typ, await Promise.all(keys.map(signing)))),
  write_invitation: (given) => writeInvitation(given),
  write_enrolment: async ({ code }) => text(await writeEnrolment(code, await signingKey(drawSecret()))),
  draw_passphrase: () => drawPassphrase(),
  write_request: (given) => message(given, REQUEST),
  write_response: (given) => message(given, RESPONSE),
  write_wrap: ({ seed, member_key, keyring, epoch, member_id }) =>
    wrapSeed(decode(seed), { keyring, epoch, member: member_id }, publicKey(decode(member_key), 1216)),
  write_key_file: async ({ seed, phrase }) => text(await writeKeyFile("seal", sealKey(decode(seed)), phrase)),
  read_key_file: async ({ file, kind, phrase }) => encode((await readKeyFile(utf8(file), kind, phrase)).secret),
};

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await answer(JSON.parse(line), WRITE)));
}
