import assert from "node:assert/strict";
import { parse } from "yaml";
import { kubeconfigPath, mergeKubeconfig, removeFromKubeconfig } from "../../src/cluster/kubeconfig.ts";

const ENTRY = {
  context: "ambientd-ambient",
  server: "https://127.0.0.1:6443",
  caPem: "ca",
  clientCertPem: "cert",
  clientKeyPem: "key",
};

async function inTemp(work: (path: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir();
  try {
    await work(`${dir}/config`);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

Deno.test("mergeKubeconfig() makes a file that only its owner can read, with the context current", () =>
  inTemp(async (path) => {
    await mergeKubeconfig(path, ENTRY);
    const config = parse(await Deno.readTextFile(path));
    assert.equal(config["current-context"], "ambientd-ambient");
    assert.deepEqual(config.contexts, [{
      name: "ambientd-ambient",
      context: { cluster: "ambientd-ambient", user: "ambientd-ambient" },
    }]);
    assert.equal(config.clusters[0].cluster.server, ENTRY.server);
    assert.equal(atob(config.users[0].user["client-key-data"]), "key");
    assert.equal((await Deno.stat(path)).mode! & 0o777, 0o600);
  }));

Deno.test("mergeKubeconfig() keeps other clusters and comments, and is idempotent", () =>
  inTemp(async (path) => {
    const mine =
      "# mine\napiVersion: v1\nkind: Config\nclusters:\n- name: prod\n  cluster:\n    server: https://prod\n" +
      "contexts:\n- name: prod\n  context:\n    cluster: prod\n    user: me\nusers: []\ncurrent-context: prod\n";
    await Deno.writeTextFile(path, mine);
    await mergeKubeconfig(path, ENTRY);
    await mergeKubeconfig(path, { ...ENTRY, server: "https://127.0.0.1:7000" });
    const text = await Deno.readTextFile(path);
    const config = parse(text);
    assert.match(text, /^# mine\n/);
    assert.deepEqual(config.clusters.map((c: { name: string }) => c.name), ["prod", "ambientd-ambient"]);
    assert.equal(config.clusters[1].cluster.server, "https://127.0.0.1:7000");

    await removeFromKubeconfig(path, ENTRY.context);
    const after = parse(await Deno.readTextFile(path));
    assert.deepEqual(after.clusters.map((c: { name: string }) => c.name), ["prod"]);
    assert.deepEqual(after.users, []);
    assert.equal(after["current-context"], "");
  }));

Deno.test("removeFromKubeconfig() leaves a context that the user has chosen since", () =>
  inTemp(async (path) => {
    await mergeKubeconfig(path, ENTRY);
    await mergeKubeconfig(path, { ...ENTRY, context: "ambientd-other" });
    await removeFromKubeconfig(path, ENTRY.context);
    assert.equal(parse(await Deno.readTextFile(path))["current-context"], "ambientd-other");
    await removeFromKubeconfig(`${path}.absent`, ENTRY.context);
  }));

for (const [what, text] of [["not YAML", "a: [1"], ["a list", "- a\n- b\n"], ["a word", "hello"]]) {
  Deno.test(`mergeKubeconfig() refuses a file that is ${what} and leaves it alone`, () =>
    inTemp(async (path) => {
      await Deno.writeTextFile(path, text);
      await assert.rejects(mergeKubeconfig(path, ENTRY), { code: "invalid_kubeconfig" });
      assert.equal(await Deno.readTextFile(path), text);
    }));
}

Deno.test("kubeconfigPath() follows kubectl: flag, first of KUBECONFIG, home", () => {
  const env = (values: Record<string, string>) => (key: string) => values[key];
  assert.equal(kubeconfigPath("/x", env({ KUBECONFIG: "/a" })), "/x");
  assert.equal(kubeconfigPath(undefined, env({ KUBECONFIG: ":/a:/b", HOME: "/h" })), "/a");
  assert.equal(kubeconfigPath(undefined, env({ HOME: "/h" })), "/h/.kube/config");
});
