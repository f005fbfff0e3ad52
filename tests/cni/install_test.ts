// The plugin's installation, and the plugin itself as a container runtime runs it.

import assert from "node:assert/strict";
import { readConfig } from "../../src/core/config.ts";
import { selfCommand } from "../../src/core/self.ts";
import { CNI_SETTINGS, type CniConfig } from "../../src/roles/cni/config.ts";
import { type AgentPod, DEFAULT_SELECTORS } from "../../src/roles/cni/enablement.ts";
import { type InstallOptions, installPlugin, uninstallPlugin } from "../../src/roles/cni/install.ts";
import { type PluginBackend, servePlugin } from "../../src/roles/cni/plugin_server.ts";
import { Logger } from "../../src/telemetry/logger.ts";
import { Registry } from "../../src/telemetry/metrics.ts";

const PRIMARY = { cniVersion: "0.3.1", name: "net", plugins: [{ type: "ptp" }, { type: "portmap" }] };

async function withDirs(test: (config: CniConfig, options: InstallOptions) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir();
  const env: Record<string, string> = {
    MOUNTED_CNI_NET_DIR: `${dir}/net.d`,
    MOUNTED_CNI_BIN_DIR: `${dir}/bin`,
    CNI_AGENT_RUN_DIR: `${dir}/run`,
  };
  await Deno.mkdir(`${dir}/net.d`);
  await Deno.mkdir(`${dir}/run`);
  const config = readConfig(CNI_SETTINGS, (name) => env[name]);
  const environment: Record<string, string> = {};
  for (const name of ["DENO_DIR", "HOME"]) if (Deno.env.get(name)) environment[name] = Deno.env.get(name)!;
  try {
    await test(config, {
      config,
      selectors: DEFAULT_SELECTORS,
      command: selfCommand(["cni"]),
      environment,
      credentials: () => Promise.resolve({ server: "https://127.0.0.1:1", caPem: "x", token: "t" }),
    });
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

async function json(path: string): Promise<any> {
  return JSON.parse(await Deno.readTextFile(path));
}

const types = (list: any): string[] => list.plugins.map((plugin: any) => plugin.type);

Deno.test("installPlugin() appends to the first configuration, once, and uninstallPlugin() takes it away", () =>
  withDirs(async (config, options) => {
    await Deno.writeTextFile(`${config.confDir}/05-broken.conflist`, "{");
    await Deno.writeTextFile(`${config.confDir}/10-net.conflist`, JSON.stringify(PRIMARY), { mode: 0o600 });
    await Deno.writeTextFile(`${config.confDir}/20-other.conflist`, JSON.stringify(PRIMARY));
    assert.equal(await installPlugin(options), 3);
    assert.equal(await installPlugin(options), 0, "what is right is not written again");
    assert.deepEqual(types(await json(`${config.confDir}/10-net.conflist`)), ["ptp", "portmap", "istio-cni"]);
    assert.deepEqual(types(await json(`${config.confDir}/20-other.conflist`)), ["ptp", "portmap"]);
    const info = await Deno.stat(`${config.confDir}/10-net.conflist`);
    assert.equal(info.mode! & 0o777, 0o600, "the mode stays");
    assert.equal((await Deno.stat(`${config.runDir}/istio-cni-kubeconfig`)).mode! & 0o777, 0o600);
    const [, , entry] = (await json(`${config.confDir}/10-net.conflist`)).plugins;
    assert.equal(entry.cni_agent_run_dir, config.runDir);
    assert.deepEqual(entry.exclude_namespaces, ["kube-system"]);

    await Deno.writeTextFile(`${config.confDir}/10-net.conflist`, JSON.stringify(PRIMARY));
    assert.equal(await installPlugin(options), 1, "drift is put right");
    await uninstallPlugin(config);
    assert.deepEqual(await json(`${config.confDir}/10-net.conflist`), PRIMARY);
    await assert.rejects(Deno.stat(`${config.binDir}/istio-cni`), Deno.errors.NotFound);
    await uninstallPlugin(config);
  }));

Deno.test("installPlugin() makes a list of a single plugin, and waits for a configuration to be there", () =>
  withDirs(async (config, options) => {
    await assert.rejects(installPlugin(options), /no usable CNI configuration/);
    await Deno.writeTextFile(`${config.confDir}/10-one.conf`, JSON.stringify({ type: "bridge", name: "b" }));
    await installPlugin(options);
    const list = await json(`${config.confDir}/10-one.conflist`);
    assert.deepEqual(types(list), ["bridge", "istio-cni"]);
    assert.equal(list.name, "k8s-pod-network");
    await assert.rejects(Deno.stat(`${config.confDir}/10-one.conf`), Deno.errors.NotFound);
  }));

interface Answer {
  code: number;
  stdout: string;
}

async function runPlugin(config: CniConfig, env: Record<string, string>, input: string): Promise<Answer> {
  const child = new Deno.Command(`${config.binDir}/istio-cni`, {
    env: { PATH: "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", ...env },
    clearEnv: true,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(input)).catch(() => {});
  await writer.close().catch(() => {});
  const { code, stdout } = await child.output();
  return { code, stdout: new TextDecoder().decode(stdout) };
}

const PREVIOUS = { cniVersion: "0.3.1", interfaces: [], ips: [{ version: "4", address: "10.1.2.3/24" }], routes: [] };
const INPUT = JSON.stringify({ cniVersion: "0.3.1", name: "net", type: "istio-cni", prevResult: PREVIOUS });
const ADD = {
  CNI_COMMAND: "ADD",
  CNI_CONTAINERID: "c",
  CNI_NETNS: "/var/run/netns/x",
  CNI_ARGS: "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=cart;K8S_POD_UID=u-1",
};

Deno.test("the installed plugin asks the agent, prints the previous result, and fails the sandbox when it must", () =>
  withDirs(async (config, options) => {
    await Deno.writeTextFile(`${config.confDir}/10-net.conflist`, JSON.stringify(PRIMARY));
    await installPlugin(options);
    const pod: AgentPod = { metadata: { uid: "u-1", name: "cart", namespace: "shop" }, spec: {} };
    const asked: string[] = [];
    let problem = "";
    const backend: PluginBackend = {
      pod: (namespace, name) => Promise.resolve(name === "cart" && namespace === "shop" ? pod : undefined),
      add: (found, path, ips) => {
        asked.push(`${found.metadata.name} ${path} ${ips}`);
        return problem === "" ? Promise.resolve(true) : Promise.reject(new Error(problem));
      },
      hostPath: (path) => path,
      findNetns: (uid) => Promise.resolve(`/found/${uid}`),
      excludeNamespaces: ["kube-system"],
    };
    const logger = new Logger("t", { sink: { write: () => {} } });
    const requests = new Registry().counter("x", "x", ["result"]);
    const server = servePlugin(`${config.runDir}/pluginevent.sock`, backend, logger, requests);
    try {
      const done = await runPlugin(config, ADD, INPUT);
      assert.equal(done.code, 0, done.stdout);
      assert.deepEqual(JSON.parse(done.stdout), PREVIOUS);
      assert.deepEqual(asked, ["cart /found/u-1 10.1.2.3"]);

      const excluded = { ...ADD, CNI_ARGS: ADD.CNI_ARGS.replace("=shop", "=kube-system") };
      assert.equal((await runPlugin(config, excluded, INPUT)).code, 0);
      const unknown = { ...ADD, CNI_ARGS: ADD.CNI_ARGS.replace("=cart", "=nobody") };
      assert.equal((await runPlugin(config, unknown, INPUT)).code, 0, "a pod that the API does not know is let go");
      const successor = { ...ADD, CNI_ARGS: ADD.CNI_ARGS.replace("=u-1", "=u-2") };
      assert.equal((await runPlugin(config, successor, INPUT)).code, 0);
      assert.equal(asked.length, 1);

      problem = "no rules today";
      const failed = await runPlugin(config, ADD, INPUT);
      assert.equal(failed.code, 1);
      assert.match(JSON.parse(failed.stdout).msg, /no rules today/);
      const garbage = await runPlugin(config, ADD, "{");
      assert.equal(garbage.code, 1);
      assert.match(JSON.parse(garbage.stdout).msg, /cannot read the network configuration/);
    } finally {
      await server.close();
    }
    assert.equal((await runPlugin(config, { ...ADD, CNI_COMMAND: "DEL" }, INPUT)).code, 0);
    const version = await runPlugin(config, { CNI_COMMAND: "VERSION" }, "{}");
    assert.ok(JSON.parse(version.stdout).supportedVersions.includes("1.0.0"));
  }));

Deno.test("Istio's own plugin protocol: POST /cmdadd", () =>
  withDirs(async (config) => {
    const asked: string[] = [];
    const backend: PluginBackend = {
      pod: () => Promise.resolve({ metadata: { uid: "u", name: "cart", namespace: "shop" }, spec: {} }),
      add: (pod, path, ips) => {
        asked.push(`${pod.metadata.name} ${path} ${ips}`);
        return Promise.resolve(true);
      },
      hostPath: () => "/proc/self/ns/net",
      findNetns: () => Promise.reject(new Error("not asked")),
      excludeNamespaces: [],
    };
    const path = `${config.runDir}/pluginevent.sock`;
    const logger = new Logger("t", { sink: { write: () => {} } });
    const server = servePlugin(path, backend, logger, new Registry().counter("x", "x", ["result"]));
    const client = Deno.createHttpClient({ proxy: { transport: "unix", path } });
    const post = async (route: string, body: string) => {
      const response = await fetch(`http://unix${route}`, { method: "POST", body, client });
      await response.text();
      return response.status;
    };
    const event = {
      Netns: "/proc/9/ns/net",
      PodName: "cart",
      PodNamespace: "shop",
      IPs: [{ Interface: 0, Address: { IP: "10.1.2.3", Mask: "////AA==" }, Gateway: "10.1.2.1" }],
    };
    assert.equal(await post("/cmdadd", JSON.stringify(event)), 200);
    assert.deepEqual(asked, ["cart /proc/self/ns/net 10.1.2.3"]);
    assert.equal(await post("/cmdadd", "{"), 400);
    assert.equal(await post("/nothing", ""), 404);
    client.close();
    await server.close();
  }));

Deno.test("the plugin waits for an agent that is being started again, and the mesh's own pods wait for nobody", () =>
  withDirs(async (config, options) => {
    await Deno.writeTextFile(`${config.confDir}/10-net.conflist`, JSON.stringify(PRIMARY));
    // A program that would show that the script gave up.
    await installPlugin({ ...options, command: ["/bin/false"] });
    const path = `${config.runDir}/pluginevent.sock`;
    await Deno.writeTextFile(path, "");
    const input = JSON.stringify({ ...JSON.parse(INPUT), name: "prevResult" });
    for (const name of ["istio-cni-node-abc", "ztunnel-abc", "istiod-7d-abc"]) {
      const own = { ...ADD, CNI_ARGS: `K8S_POD_NAMESPACE=istio-system;K8S_POD_NAME=${name}` };
      const done = await runPlugin(config, own, input);
      assert.deepEqual([done.code, JSON.parse(done.stdout)], [0, PREVIOUS]);
    }

    const waiting = runPlugin(config, ADD, INPUT);
    const fresh = `${path}.new`;
    const server = Deno.serve({ path: fresh, onListen: () => {} }, () => new Response('{"answered":true}'));
    await Deno.rename(fresh, path);
    const late = await waiting;
    await server.shutdown();
    assert.deepEqual([late.code, JSON.parse(late.stdout)], [0, { answered: true }]);
  }));

Deno.test("while the agent is away the plugin decides by itself: pods it cannot place start, its own too", () =>
  withDirs(async (config, options) => {
    await Deno.writeTextFile(`${config.confDir}/10-net.conflist`, JSON.stringify(PRIMARY));
    await installPlugin(options);
    const own = { ...ADD, CNI_ARGS: "K8S_POD_NAMESPACE=istio-system;K8S_POD_NAME=istio-cni-node-abc" };
    const done = await runPlugin(config, own, INPUT);
    assert.equal(done.code, 0, done.stdout);
    assert.deepEqual(JSON.parse(done.stdout), PREVIOUS);
    const bad = await runPlugin(config, ADD, "nonsense");
    assert.equal(bad.code, 1);
    assert.match(JSON.parse(bad.stdout).msg, /cannot read the network configuration/);
  }));
