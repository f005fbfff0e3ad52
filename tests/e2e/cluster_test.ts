import assert from "node:assert/strict";
import { EXIT_USAGE } from "../../src/core/usage.ts";
import { KubeClient } from "../../src/roles/ctl/kube.ts";
import { NO_CLUSTER, TestCluster, TestHome } from "../support/cluster.ts";
import { eventually } from "../support/eventually.ts";

const because = NO_CLUSTER ? ` (ignored: ${NO_CLUSTER})` : "";
const ignore = NO_CLUSTER !== undefined;

/** One line, no stack: what a person is to read. */
function isPlain(text: string): void {
  assert.doesNotMatch(text, /\n\s+at /, `a stack is shown:\n${text}`);
}

function freePort(): number {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  listener.close();
  return port;
}

Deno.test("unknown flags and values are usage errors that name them", async () => {
  const home = new TestHome();
  try {
    const cases: [string[], RegExp][] = [
      [["up", "--nope"], /unknown option '--nope'/],
      [["up", "--nodes=none"], /--nodes "none"/],
      [["up", "--mesh=sidecar"], /sidecar/],
      [["up", "--name=Not_A_Name"], /Not_A_Name/],
      [["up", "extra"], /extra/],
      [["down", "--nope"], /--nope/],
      [["nosuchrole"], /"nosuchrole"/],
    ];
    for (const [args, message] of cases) {
      const { code, stderr } = await home.cli(args);
      assert.equal(code, EXIT_USAGE, `${args.join(" ")} ended with ${code}: ${stderr}`);
      assert.match(stderr, message);
      isPlain(stderr);
    }
  } finally {
    home.close();
  }
});

Deno.test("a corrupt data directory is named, kept as it is, and nothing is left running", async () => {
  const home = new TestHome();
  try {
    const layout = home.layout("broken");
    await Deno.mkdir(layout.dataDir, { recursive: true });
    const garbage = "this is not a database, but somebody may still want it ".repeat(200);
    await Deno.writeTextFile(`${layout.dataDir}/state.db`, garbage);
    const { code, stdout, stderr } = await home.cli(["up", "--name=broken", "--mesh=none", "--samples=none"]);
    assert.notEqual(code, 0);
    assert.match(stdout + stderr, /state\.db/);
    isPlain(stderr);
    assert.equal(await Deno.readTextFile(`${layout.dataDir}/state.db`), garbage);
    const contexts = await Deno.readTextFile(home.kubeconfig).catch(() => "");
    assert.doesNotMatch(contexts, /ambientd-broken/);
  } finally {
    home.close();
  }
});

Deno.test({
  name: `a cluster holds its name and its port, keeps its state over a restart, and leaves nothing behind${because}`,
  ignore,
  fn: async (t) => {
    const published = freePort();
    const flags = [`--publish=${published}:kubernetes:443`];
    const cluster = await TestCluster.start({ nodes: 1, mesh: "none", samples: "none", flags });
    const { home, name } = cluster;
    let closed = false;
    try {
      await t.step("a second `up` of the same name is refused", async () => {
        for (const extra of [[], ["--detach"]]) {
          const { code, stderr } = await home.cli(["up", `--name=${name}`, "--mesh=none", "--samples=none", ...extra]);
          assert.notEqual(code, 0);
          assert.match(stderr, new RegExp(`cluster "${name}" is running already`));
          isPlain(stderr);
        }
        assert.ok(cluster.alive);
      });

      await t.step("a port in use is named", async () => {
        for (
          const flag of [`--api-port=${cluster.state.apiPort}`, `--publish=${cluster.state.apiPort}:kubernetes:443`]
        ) {
          const { code, stderr } = await home.cli(["up", "--name=other", "--mesh=none", "--samples=none", flag]);
          assert.notEqual(code, 0);
          assert.match(stderr, new RegExp(`127\\.0\\.0\\.1:${cluster.state.apiPort}`));
          isPlain(stderr);
        }
      });

      await t.step("a published Service is reached from the host", async () => {
        const client = new KubeClient({ ...cluster.client.target, server: `https://127.0.0.1:${published}` });
        try {
          assert.equal((await client.list("v1", "Node")).length, 1);
        } finally {
          client.close();
        }
      });

      await t.step("a second cluster of another name runs beside it", async () => {
        await using beside = await TestCluster.start({ nodes: 1, mesh: "none", samples: "none" });
        assert.equal((await beside.client.list("v1", "Node")).length, 1);
        assert.equal((await cluster.client.list("v1", "Node")).length, 1);
        assert.notEqual(beside.state.apiPort, cluster.state.apiPort);
      });

      await t.step("state survives a crash of `up` and the next start", async () => {
        await cluster.apply([{
          apiVersion: "v1",
          kind: "ConfigMap",
          metadata: { name: "keepsake", namespace: "default" },
          data: { key: "value" },
        }]);
        Deno.kill(cluster.state.pid, "SIGKILL");
        await eventually(() => assert.ok(!cluster.alive));
        const { code, stdout, stderr } = await home.cli([
          "up",
          "--detach",
          `--name=${name}`,
          "--nodes=1",
          "--mesh=none",
          "--samples=none",
        ]);
        assert.equal(code, 0, stdout + stderr);
        const client = home.client(name);
        try {
          assert.equal((await client.get("v1", "ConfigMap", "default", "keepsake"))?.data.key, "value");
        } finally {
          client.close();
        }
      });

      await t.step("`down` ends every process and removes the context", async () => {
        closed = true;
        await home.cli(["down", `--name=${name}`]);
        assert.deepEqual(cluster.processes(), []);
        assert.doesNotMatch(await Deno.readTextFile(home.kubeconfig), new RegExp(`ambientd-${name}`));
        const { code, stdout } = await home.cli(["down", `--name=${name}`]);
        assert.equal(code, 0);
        assert.match(stdout, /is not running/);
      });
    } finally {
      if (!closed) await home.cli(["down", `--name=${name}`]);
      cluster.client.close();
      home.close();
    }
  },
});
