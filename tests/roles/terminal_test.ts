import assert from "node:assert/strict";
import { formatTable, wrapWords } from "../../src/core/terminal.ts";
import { fittingTable } from "../../src/roles/up/summary.ts";

Deno.test("wrapWords() breaks at spaces only", () => {
  assert.deepEqual(wrapWords("aa bb\tcc", 5), ["aa bb", "cc"]);
  assert.deepEqual(wrapWords("aa bb cc", Infinity), ["aa bb cc"]);
  assert.deepEqual(wrapWords("a-long-word b c", 3), ["a-long-word", "b c"]);
});

Deno.test("fittingTable() leaves columns out from the right until the rest fits", () => {
  const rows = [["NAME", "NODE", "IP"], ["sleep", "worker", "10.0.0.1"]];
  assert.deepEqual(fittingTable(rows, 80), formatTable(rows).split("\n"));
  assert.deepEqual(fittingTable(rows, 20), ["NAME    NODE", "sleep   worker"]);
  assert.deepEqual(fittingTable(rows, 2), ["NAME", "sleep"]);
});
