import assert from "node:assert/strict";
import { targetFromEnvironment } from "../../src/kube/kubeconfig.ts";
import { inClusterTarget, tokenFile } from "../../src/kube/target.ts";
import { credentialPlugin } from "../../src/kube/credential_plugin.ts";

async function withFiles(files: Record<string, string>, test: (dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "ambientd-kubeconfig-" });
  try {
    for (const [name, text] of Object.entries(files)) await Deno.writeTextFile(`${dir}/${name}`, text);
    await test(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

const env = (values: Record<string, string>) => (name: string) => values[name];

const FULL = `
apiVersion: v1
kind: Config
current-context: first
contexts:
  - {name: first, context: {cluster: a, user: token, namespace: apps}}
  - {name: second, context: {cluster: b, user: certificate}}
  - {name: file, context: {cluster: a, user: file}}
  - {name: as, context: {cluster: a, user: as}}
  - {name: lost, context: {cluster: nowhere}}
  - {name: insecure, context: {cluster: insecure}}
  - {name: no-server, context: {cluster: no-server}}
  - {name: anonymous, context: {cluster: a}}
clusters:
  - {name: a, cluster: {server: "https://a:6443/", certificate-authority-data: ${btoa("CA-A")}}}
  - {name: b, cluster: {server: "https://b", certificate-authority: ca.pem}}
  - {name: insecure, cluster: {server: "https://c", insecure-skip-tls-verify: true}}
  - {name: no-server, cluster: {}}
users:
  - {name: token, user: {token: secret}}
  - {name: certificate, user: {client-certificate: cert.pem, client-key-data: ${btoa("KEY")}}}
  - {name: file, user: {tokenFile: token, token: ignored}}
  - {name: as, user: {token: t, as: bob, as-groups: [g]}}
`;

Deno.test("targetFromEnvironment resolves contexts, files beside the kubeconfig, and credentials", async () => {
  await withFiles({ config: FULL, "ca.pem": "CA-B", "cert.pem": "CERT", token: "from-file\n" }, async (dir) => {
    const load = (context?: string) => targetFromEnvironment({ kubeconfig: `${dir}/config`, context, env: env({}) });
    const first = await load();
    assert.deepEqual([first.server, first.caPem, first.token, first.namespace], [
      "https://a:6443",
      "CA-A",
      "secret",
      "apps",
    ]);
    const second = await load("second");
    assert.deepEqual([second.caPem, second.clientCertPem, second.clientKeyPem], ["CA-B", "CERT", "KEY"]);
    const { token } = await load("file");
    assert.equal(typeof token === "function" && await token(), "from-file");
    assert.deepEqual((await load("as")).impersonate, { user: "bob", groups: ["g"], uid: undefined });
    assert.equal((await load("anonymous")).token, undefined);
  });
});

Deno.test("targetFromEnvironment says what is wrong with a kubeconfig", async () => {
  await withFiles({ config: FULL, text: "just text", broken: "a: [", empty: "" }, async (dir) => {
    const table: [file: string, context: string | undefined, message: RegExp][] = [
      ["config", "none", /has no context named "none"/],
      ["config", "lost", /has no cluster named "nowhere"/],
      ["config", "insecure", /sets insecure-skip-tls-verify/],
      ["config", "no-server", /has no server URL/],
      ["config", "second", /cannot read certificate-authority of the kubeconfig/],
      ["text", undefined, /its top level is not a map/],
      ["broken", undefined, /cannot read the kubeconfig ".*broken"/],
      ["empty", undefined, /has no current context/],
      ["missing", undefined, /cannot read the kubeconfig ".*missing"/],
    ];
    for (const [file, context, message] of table) {
      await assert.rejects(
        targetFromEnvironment({ kubeconfig: `${dir}/${file}`, context, env: env({}) }),
        { code: "invalid_kubeconfig", message },
      );
    }
    await assert.rejects(targetFromEnvironment({ env: env({ HOME: dir }) }), {
      message: /cannot find a kubeconfig at ".*\/\.kube\/config"; start a cluster, or name the file with --kubeconfig/,
    });
  });
});

Deno.test("targetFromEnvironment merges the files of KUBECONFIG, the first to name something wins", async () => {
  const one = "clusters: [{name: c, cluster: {server: 'https://one'}}]\nusers: [{name: u, user: {token: one}}]";
  const two = "current-context: x\ncontexts: [{name: x, context: {cluster: c, user: u}}]\n" +
    "clusters: [{name: c, cluster: {server: 'https://two'}}]\nusers: [{name: u, user: {token: two}}]";
  await withFiles({ one, two }, async (dir) => {
    const KUBECONFIG = `${dir}/one:${dir}/missing:${dir}/two`;
    const target = await targetFromEnvironment({ env: env({ KUBECONFIG }) });
    assert.deepEqual([target.server, target.token], ["https://one", "one"]);
  });
});

Deno.test("inClusterTarget reads the service account and follows its files", async () => {
  await withFiles({ "ca.crt": "CA", token: "one", namespace: "istio-system\n" }, async (dir) => {
    const variables = env({ KUBERNETES_SERVICE_HOST: "fd00::1", KUBERNETES_SERVICE_PORT: "6443" });
    const target = await inClusterTarget(variables, dir);
    assert.deepEqual([target.server, target.caPem, target.namespace], ["https://[fd00::1]:6443", "CA", "istio-system"]);
    await Deno.writeTextFile(`${dir}/ca.crt`, "CA2");
    assert.equal((await target.reload!()).caPem, "CA2");
    await Deno.remove(`${dir}/ca.crt`);
    await assert.rejects(inClusterTarget(variables, dir), { message: /cannot read the service account of this pod/ });
  });
  await assert.rejects(inClusterTarget(env({})), { message: /KUBERNETES_SERVICE_HOST is not set/ });
});

Deno.test("tokenFile reads a rotated token and outlives the moment when there is none", async () => {
  await withFiles({ token: "one\n" }, async (dir) => {
    let now = 0;
    const token = tokenFile(`${dir}/token`, () => now);
    assert.equal(await token(), "one");
    await Deno.writeTextFile(`${dir}/token`, "two");
    assert.equal(await token(), "one", "kept for a while");
    now += 11_000;
    assert.equal(await token(), "two");
    await Deno.remove(`${dir}/token`);
    now += 11_000;
    assert.equal(await token(), "two");
    await assert.rejects(tokenFile(`${dir}/token`)(), { code: "invalid_kubeconfig" });
  });
});

Deno.test("credentialPlugin asks the plugin once, again when its token ends, and names what failed", async () => {
  await withFiles({ count: "" }, async (dir) => {
    const plugin = (status: object) => ({
      command: "sh",
      args: ["-c", `echo x >> ${dir}/count; echo '${JSON.stringify({ status })}'`],
    });
    const variables = env({ PATH: Deno.env.get("PATH")! });
    const calls = async () => (await Deno.readTextFile(`${dir}/count`)).length / 2;
    const lasting = credentialPlugin(plugin({ token: "t", expirationTimestamp: "2999-01-01T00:00:00Z" }), variables);
    assert.deepEqual(await Promise.all([lasting(), lasting()]), ["t", "t"]);
    await lasting();
    assert.equal(await calls(), 1);
    const ended = credentialPlugin(plugin({ token: "t", expirationTimestamp: "2000-01-01T00:00:00Z" }), variables);
    await ended();
    await ended();
    assert.equal(await calls(), 3);
    await assert.rejects(credentialPlugin(plugin({}), variables)(), { message: /it printed no status.token/ });
    const missing = { command: "/no/such/plugin", installHint: "get it there" };
    await assert.rejects(credentialPlugin(missing, variables)(), {
      message: /cannot get credentials from "\/no\/such\/plugin" \(get it there\)/,
    });
  });
});
