import assert from "node:assert/strict";
import { NO_CLUSTER, TestHome } from "../support/cluster.ts";

Deno.test({
  name: `ambientd tour proves every step${NO_CLUSTER ? ` (ignored: ${NO_CLUSTER})` : ""}`,
  ignore: NO_CLUSTER !== undefined,
  fn: async () => {
    const home = new TestHome();
    try {
      const { code, stdout, stderr } = await home.cli(["tour"], { timeoutMs: 240_000 });
      assert.equal(code, 0, stdout + stderr);
      assert.match(stdout, /Every step is proven/);
      assert.ok(!stdout.includes("✘") && !stdout.includes("\x1b"), "no step fails, and a pipe gets no colour");
      // The tour is on a cluster of its own: the user's kubeconfig is not touched.
      await assert.rejects(Deno.stat(home.kubeconfig), Deno.errors.NotFound);
    } finally {
      home.close();
    }
  },
});
