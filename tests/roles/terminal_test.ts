import assert from "node:assert/strict";
import { asTyped } from "../../src/core/self.ts";
import { formatTable, hanging } from "../../src/core/terminal.ts";
import { fittingTable } from "../../src/roles/up/summary.ts";

Deno.test("hanging() breaks at spaces only, and only what is too long", () => {
  assert.deepEqual(hanging("aa bb\tcc", 6), ["aa bb", "  cc"]);
  assert.deepEqual(hanging("aa   bb\tcc", Infinity), ["aa   bb cc"]);
  assert.deepEqual(hanging("a-long-word b c d", 5), ["a-long-word", "  b c", "  d"]);
});

Deno.test("asTyped() names commands as the user called them, and nothing else", () => {
  const text = 'ambientd ctl version && ambientd up; see `ambientd down --name a`, ambientd ctl, cluster "ambientd up"';
  assert.equal(
    asTyped(text, "./scripts/ambientd"),
    "./scripts/ambientd ctl version && ./scripts/ambientd up; see `./scripts/ambientd down --name a`, ambientd ctl, " +
      'cluster "ambientd up"',
  );
  assert.equal(asTyped(text, undefined), text);
  assert.equal(asTyped("`ambientd up`", "$&x"), "`$&x up`");
});

Deno.test("fittingTable() leaves columns out from the right until the rest fits", () => {
  const rows = [["NAME", "NODE", "IP"], ["sleep", "worker", "10.0.0.1"]];
  assert.deepEqual(fittingTable(rows, 80), formatTable(rows).split("\n"));
  assert.deepEqual(fittingTable(rows, 20), ["NAME    NODE", "sleep   worker"]);
  assert.deepEqual(fittingTable(rows, 2), ["NAME", "sleep"]);
});
