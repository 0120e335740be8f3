/**
 * Runs every vector of sync/vectors (SPEC 15) against this implementation: `node run_vectors.mjs [folder]`. Exit code 0
 * only if all agree.
 */
import { readdirSync, readFileSync } from "node:fs";
import { doVector } from "./vectors.js";

const folder = process.argv[2] ?? new URL("../../../sync/vectors/", import.meta.url).pathname;
const names = readdirSync(folder).filter((name) => name.endsWith(".json"));
const wrong = [];
for (const name of names) {
  const vector = JSON.parse(readFileSync(`${folder}/${name}`, "utf8"));
  const said = await doVector(vector);
  if (said !== "") wrong.push(`${name}: ${said}`);
}
console.log([...wrong, `${names.length - wrong.length} of ${names.length} vectors`].join("\n"));
process.exitCode = wrong.length || !names.length ? 1 : 0;
