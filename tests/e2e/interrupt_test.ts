import assert from "node:assert/strict";
import { selfCommand } from "../../src/core/self.ts";
import { isRunning, readRunState } from "../../src/cluster/layout.ts";
import { NO_CLUSTER, TestHome } from "../support/cluster.ts";
import { eventually } from "../support/eventually.ts";

/** Ctrl-C in a terminal reaches the whole foreground process group, `up` and whatever it has started. */
for (const presses of [1, 2]) {
  Deno.test({
    name: `Ctrl-C${presses > 1 ? ", pressed twice," : ""} ends a cluster in the foreground and everything of it${
      NO_CLUSTER ? ` (ignored: ${NO_CLUSTER})` : ""
    }`,
    ignore: NO_CLUSTER !== undefined,
    fn: async () => {
      const home = new TestHome(), layout = home.layout("interrupted");
      const args = ["up", "--name=interrupted", "--mesh=none", "--samples=none"];
      // setsid makes the group; the process is its leader, so its id names the group.
      const up = new Deno.Command("setsid", { args: selfCommand(args), env: home.env, stdout: "null", stderr: "null" })
        .spawn();
      try {
        const state = await eventually(async () => {
          const state = readRunState(layout);
          assert.ok(state?.ready, "the cluster is not ready");
          return state;
        }, 30_000);
        for (let i = 0; i < presses; i++) {
          await new Deno.Command("sh", { args: ["-c", `kill -s INT -- -${up.pid}`] }).output();
        }
        await up.status;
        await eventually(async () => {
          assert.ok(!isRunning(state.enginePid, state.engineStartTime), "the engine still runs");
        }, 20_000);
        if (presses === 1) {
          assert.equal(readRunState(layout), undefined);
          assert.doesNotMatch(await Deno.readTextFile(home.kubeconfig), /ambientd-interrupted/);
        }
      } finally {
        home.close();
      }
    },
  });
}
