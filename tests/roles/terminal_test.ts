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
    asTyped(text, { ambientd: "./scripts/ambientd", ctl: "./scripts/ambientd ctl" }),
    "./scripts/ambientd ctl version && ./scripts/ambientd up; see `./scripts/ambientd down --name a`, ./scripts/ambientd ctl, " +
      'cluster "ambientd up"',
  );
  assert.equal(
    asTyped("run `ambientd ctl install`, then `ambientd up`; /opt/ambientd ctl", {
      ambientd: "ambientd",
      ctl: "istioctl",
    }),
    "run `istioctl install`, then `ambientd up`; /opt/ambientd ctl",
  );
  assert.equal(asTyped(text, { ambientd: undefined, ctl: undefined }), text);
  assert.equal(asTyped("`ambientd up`", { ambientd: "$&x", ctl: undefined }), "`$&x up`");
});

Deno.test("bin/istioctl is ctl, and speaks of itself as istioctl where PATH finds it", async () => {
  const bin = new URL("../../bin", import.meta.url).pathname;
  const { code, stdout, stderr } = await new Deno.Command("istioctl", {
    args: ["proxy-config"],
    env: { PATH: `${bin}:${Deno.env.get("PATH")}` },
  }).output();
  const text = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  assert.match(text, /^Usage: istioctl proxy-config/m, text);
  assert.doesNotMatch(text, /ambientd ctl/);
  assert.equal(code, 0);
});

Deno.test("fittingTable() leaves columns out from the right until the rest fits", () => {
  const rows = [["NAME", "NODE", "IP"], ["sleep", "worker", "10.0.0.1"]];
  assert.deepEqual(fittingTable(rows, 80), formatTable(rows).split("\n"));
  assert.deepEqual(fittingTable(rows, 20), ["NAME    NODE", "sleep   worker"]);
  assert.deepEqual(fittingTable(rows, 2), ["NAME", "sleep"]);
});
