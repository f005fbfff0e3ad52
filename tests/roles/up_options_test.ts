import assert from "node:assert/strict";
import { UsageError } from "../../src/core/usage.ts";
import { parseUpOptions } from "../../src/roles/up/options.ts";

Deno.test("parseUpOptions() gives the defaults of the documentation", () => {
  assert.deepEqual(parseUpOptions([]), {
    name: "ambient",
    nodes: 2,
    dataDir: undefined,
    kubeconfig: undefined,
    apiPort: 0,
    mesh: "ambient",
    samples: "bookinfo",
    gatewayApi: "bundled",
    publish: [],
    detach: false,
    background: undefined,
  });
});

Deno.test("parseUpOptions() reads every flag", () => {
  const options = parseUpOptions([
    "--name=two",
    "--nodes",
    "4",
    "--data-dir",
    "/d",
    "--kubeconfig=/k",
    "--mesh=none",
    "--samples=none",
    "--gateway-api=none",
    "--publish",
    "8080:web.shop:80",
    "--publish=9080:productpage:9080",
    "--detach",
    "--api-port=7443",
    "--background=80,color",
  ])!;
  assert.deepEqual(options.background, { columns: 80, color: true });
  assert.deepEqual(parseUpOptions(["--background=Infinity,plain"])!.background, { columns: Infinity, color: false });
  assert.equal(options.nodes, 4);
  assert.equal(options.mesh, "none");
  assert.equal(options.gatewayApi, "none");
  assert.equal(options.detach, true);
  assert.deepEqual(options.publish, [
    { hostPort: 8080, service: "web", namespace: "shop", port: 80 },
    { hostPort: 9080, service: "productpage", namespace: "default", port: 9080 },
  ]);
});

for (
  const [args, expected] of [
    [["--nope"], /unknown option '--nope'/],
    [["extra"], /unexpected argument|too many arguments/],
    [["--nodes", "0"], /--nodes "0"; give a number from 1 to 100/],
    [["--nodes", "two"], /--nodes "two"/],
    [["--mesh", "sidecar"], /Allowed choices are ambient, none/],
    [["--samples", "x"], /Allowed choices are bookinfo, none/],
    [["--publish", "80:web"], /--publish "80:web"; write <port>:<service>/],
    [["--publish", "99999:web:80"], /--publish "99999:web:80"/],
    [["--name", "No_Such"], /cannot use "No_Such" as a cluster name/],
    [["--data-dir", "/" + "d".repeat(120)], /too long for a Unix socket/],
  ] as [string[], RegExp][]
) {
  Deno.test(`parseUpOptions() explains what is wrong with ${args.join(" ").slice(0, 40)}`, () => {
    assert.throws(
      () => parseUpOptions(args),
      (error: unknown) => error instanceof UsageError && expected.test(error.message),
    );
  });
}
