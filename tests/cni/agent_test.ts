// The agent against real namespaces and a real ZDS connection; only the Kubernetes API is played.

import assert from "node:assert/strict";
import { readConfig } from "../../src/core/config.ts";
import { MeshError } from "../../src/core/errors.ts";
import { type PodHandler, type PodInfo, runZdsClient } from "../../src/inpod/mod.ts";
import { Reactor } from "../../src/net/mod.ts";
import { hasRedirect } from "../../src/redirect/mod.ts";
import { type ClusterView, CniAgent } from "../../src/roles/cni/agent.ts";
import { hasProxiedSockets } from "../../src/roles/cni/capture.ts";
import { CNI_SETTINGS } from "../../src/roles/cni/config.ts";
import { type AgentPod, DEFAULT_SELECTORS, type Labels, REDIRECTION } from "../../src/roles/cni/enablement.ts";
import { libc } from "../../src/sys/libc.ts";
import { Logger } from "../../src/telemetry/logger.ts";
import { Registry } from "../../src/telemetry/metrics.ts";
import { eventually } from "../support/eventually.ts";
import { CAN_NETNS, type LabPod, NetLab } from "../support/netns.ts";
import { dial, EchoServer } from "../support/tcp.ts";

const AMBIENT = { "istio.io/dataplane-mode": "ambient" };

/** Objects that tests change, and what the agent wrote to them. */
class FakeCluster implements ClusterView {
  readonly objects = new Map<string, AgentPod>();
  readonly labels = new Map<string, Labels>();
  readonly writes: string[] = [];
  agent: CniAgent | undefined;

  pod(key: string): AgentPod | undefined {
    return this.objects.get(key);
  }
  pods(): Iterable<AgentPod> {
    return this.objects.values();
  }
  namespaceLabels(name: string): Labels {
    return this.labels.get(name) ?? {};
  }
  annotate(pod: AgentPod, value: string | null): Promise<void> {
    const key = `${pod.metadata.namespace}/${pod.metadata.name}`;
    this.writes.push(`${key} ${value}`);
    const current = this.objects.get(key);
    if (current?.metadata.uid === pod.metadata.uid) {
      const annotations = { ...current.metadata.annotations };
      if (value === null) delete annotations[REDIRECTION];
      else annotations[REDIRECTION] = value;
      this.put({ ...current, metadata: { ...current.metadata, annotations } });
    }
    return Promise.resolve();
  }
  put(pod: AgentPod): void {
    const key = `${pod.metadata.namespace}/${pod.metadata.name}`;
    this.objects.set(key, pod);
    this.agent?.podChanged(key);
  }
  delete(key: string): void {
    this.objects.delete(key);
    this.agent?.podChanged(key);
  }
  label(namespace: string, labels: Labels): void {
    this.labels.set(namespace, labels);
    this.agent?.namespaceChanged(namespace);
  }
  annotation(key: string): string | undefined {
    return this.objects.get(key)?.metadata.annotations?.[REDIRECTION];
  }
}

class Ztunnel implements PodHandler {
  readonly pods = new Set<string>();
  readonly log: string[] = [];
  refuse = false;
  readonly stop = new AbortController();
  done: Promise<void> = Promise.resolve();
  /** Looks around when a pod is handed over. */
  onAdd: (() => Promise<void>) | undefined;
  async add(uid: string, info: PodInfo, netns: number): Promise<void> {
    libc.close(netns);
    if (this.refuse) throw new Error("no room");
    await this.onAdd?.();
    this.pods.add(uid);
    this.log.push(`add ${info.namespace}/${info.name}/${info.serviceAccount}`);
  }
  remove(uid: string): void {
    this.pods.delete(uid);
    this.log.push(`remove ${uid}`);
  }
  retain(named: ReadonlySet<string>): void {
    this.log.push(`retain ${named.size}`);
    for (const uid of this.pods) if (!named.has(uid)) this.pods.delete(uid);
  }
}

interface Scene {
  lab: NetLab;
  cluster: FakeCluster;
  zdsPath: string;
  lines: string[];
  start(): Promise<CniAgent>;
  ztunnel(): Ztunnel;
  /** Makes a pod that runs, in namespace "shop". */
  pod(name: string, extra?: Partial<AgentPod["metadata"]>): Promise<LabPod>;
}

function scenario(name: string, test: (scene: Scene) => Promise<void>): void {
  const why = CAN_NETNS ? "" : " (ignored: network namespaces cannot be made here)";
  Deno.test({
    name: `agent: ${name}${why}`,
    ignore: !CAN_NETNS,
    fn: async () => {
      const dir = await Deno.makeTempDir();
      const lab = await NetLab.create();
      const cluster = new FakeCluster(), netns = new Map<string, string>();
      const agents: CniAgent[] = [], ztunnels: Ztunnel[] = [], lines: string[] = [];
      const logger = new Logger("cni", { sink: { write: (line) => lines.push(line) } });
      const config = readConfig(CNI_SETTINGS, (key) => ({ ZTUNNEL_UDS_ADDRESS: `${dir}/zds.sock` })[key]);
      const scan = () => Promise.resolve(new Map([...netns].map(([uid, path]) => [uid, { path, inode: 0 }])));
      try {
        await test({
          lab,
          cluster,
          lines,
          zdsPath: config.zdsPath,
          async start() {
            const agent = new CniAgent({
              config,
              firewall: "nftables",
              probes: undefined,
              enablement: { selectors: DEFAULT_SELECTORS, excludeNamespaces: ["kube-system"] },
              cluster,
              finder: {
                scan,
                find: (uid) => {
                  const path = netns.get(uid);
                  return path
                    ? Promise.resolve({ path, inode: 0 })
                    : Promise.reject(new MeshError("netns_not_found", `no process of "${uid}"`));
                },
              },
              logger,
              registry: new Registry(),
            });
            agents.push(agent);
            cluster.agent = agent;
            await agent.start();
            return agent;
          },
          ztunnel() {
            const ztunnel = new Ztunnel();
            ztunnels.push(ztunnel);
            const { signal } = ztunnel.stop;
            ztunnel.done = runZdsClient({ path: config.zdsPath, handler: ztunnel, logger: logger.child("zt"), signal });
            return ztunnel;
          },
          async pod(podName, extra = {}) {
            const pod = await lab.pod(podName);
            netns.set(`uid-${podName}`, pod.path);
            cluster.put({
              metadata: { uid: `uid-${podName}`, name: podName, namespace: "shop", ...extra },
              spec: { nodeName: "n", serviceAccountName: "sa" },
              status: { phase: "Running", podIP: pod.ip },
            });
            return pod;
          },
        });
      } catch (thrown) {
        console.error(lines.join("\n"));
        throw thrown;
      } finally {
        for (const ztunnel of ztunnels) {
          ztunnel.stop.abort();
          await ztunnel.done;
        }
        for (const agent of agents) await agent.stop();
        lab.close();
        await Deno.remove(dir, { recursive: true });
      }
    },
  });
}

scenario("a labelled namespace's pods join, an unlabelled one's leave", async (s) => {
  const agent = await s.start(), ztunnel = s.ztunnel();
  const pods = [await s.pod("a"), await s.pod("b")];
  await s.pod("out", { labels: { "istio.io/dataplane-mode": "none" } });
  await eventually(() => assert.ok(agent.settled && agent.ztunnels === 1));
  assert.deepEqual(s.cluster.writes, []);

  s.cluster.label("shop", AMBIENT);
  await eventually(() => assert.deepEqual([...ztunnel.pods].sort(), ["uid-a", "uid-b"]));
  await eventually(() => assert.equal(s.cluster.annotation("shop/a"), "enabled"));
  await eventually(() => assert.equal(s.cluster.annotation("shop/b"), "enabled"));
  for (const pod of pods) assert.equal(await hasRedirect(pod.path, "nftables"), true);
  assert.ok(ztunnel.log.includes("add shop/a/sa"));

  s.cluster.label("shop", {});
  await eventually(() => assert.equal(ztunnel.pods.size, 0));
  await eventually(() => assert.equal(s.cluster.annotation("shop/a") ?? s.cluster.annotation("shop/b"), undefined));
  // Nothing proxied is open, so nothing stays behind.
  for (const pod of pods) await eventually(async () => assert.equal(await hasRedirect(pod.path, "nftables"), false));
});

scenario("rules stay, quietly, while a proxied connection lives, and a pod may come back meanwhile", async (s) => {
  const agent = await s.start();
  s.ztunnel();
  const pod = await s.pod("a", { labels: AMBIENT });
  await eventually(() => assert.equal(s.cluster.annotation("shop/a"), "enabled"));
  const reactor = new Reactor();
  reactor.start();
  const zt = new EchoServer(reactor, pod.netns, 15006, "zt"), app = new EchoServer(reactor, pod.netns, 80, "app");
  const outside = await s.lab.pod("outside");
  const proxied = await dial(reactor, outside.netns, pod.ip, 80);
  await proxied.until((c) => c.received === "zt");
  assert.equal(hasProxiedSockets(pod.netns), true);

  const unlabelled = s.cluster.pod("shop/a")!;
  s.cluster.put({ ...unlabelled, metadata: { ...unlabelled.metadata, labels: {} } });
  await eventually(() => assert.equal(s.cluster.annotation("shop/a"), undefined));
  const plain = await dial(reactor, outside.netns, pod.ip, 80);
  await plain.until((c) => c.received === "app");
  await proxied.echo("still");

  const relabelled = s.cluster.pod("shop/a")!;
  s.cluster.put({ ...relabelled, metadata: { ...relabelled.metadata, labels: AMBIENT } });
  await eventually(() => assert.equal(s.cluster.annotation("shop/a"), "enabled"));
  const again = await dial(reactor, outside.netns, pod.ip, 80);
  await again.until((c) => c.received === "zt");
  await proxied.echo("and still");
  assert.ok(agent.captures.get("uid-a"));
  for (const connection of [proxied, plain, again]) connection.close();
  zt.close();
  app.close();
  await reactor.stop();
});

scenario(
  "ztunnel listens before the first connection of a pod that runs is redirected, and after that of one that starts",
  async (s) => {
    const agent = await s.start(), ztunnel = s.ztunnel(), redirected: boolean[] = [];
    const pod = await s.pod("a");
    ztunnel.onAdd = async () => void redirected.push(await hasRedirect(pod.path, "nftables"));
    const running = s.cluster.pod("shop/a")!;
    s.cluster.put({ ...running, metadata: { ...running.metadata, labels: AMBIENT } });
    await eventually(() => assert.equal(s.cluster.annotation("shop/a"), "enabled"));
    assert.equal(await hasRedirect(pod.path, "nftables"), true);
    const other = await s.pod("b");
    ztunnel.onAdd = async () => void redirected.push(await hasRedirect(other.path, "nftables"));
    const starting = s.cluster.pod("shop/b")!;
    const labelled = { ...starting, metadata: { ...starting.metadata, labels: AMBIENT } };
    assert.equal(await agent.pluginAdd(labelled, other.path, [other.ip]), true);
    assert.deepEqual(redirected, [false, true]);
  },
);

scenario("rules that cannot be written leave nothing behind, in ztunnel neither", async (s) => {
  const agent = await s.start(), ztunnel = s.ztunnel();
  await s.pod("a");
  await eventually(() => assert.equal(agent.ztunnels, 1));
  const running = s.cluster.pod("shop/a")!;
  // No network namespace: neither ztunnel nor nft can do anything with it.
  await assert.rejects(agent.captures.join(running, "/proc/self/ns/uts"));
  assert.equal(agent.captures.get("uid-a"), undefined);
  assert.equal(ztunnel.pods.size, 0);
});

scenario("without ztunnel a pod is pending, and enabled once it comes", async (s) => {
  await s.start();
  const pod = await s.pod("a", { labels: AMBIENT });
  await eventually(() => assert.equal(s.cluster.annotation("shop/a"), "pending"));
  assert.equal(await hasRedirect(pod.path, "nftables"), true, "nothing leaves it unprotected meanwhile");
  s.ztunnel();
  await eventually(() => assert.equal(s.cluster.annotation("shop/a"), "enabled"));
});

scenario("a ztunnel that refuses leaves the pod pending, and it is offered again", async (s) => {
  await s.start();
  const ztunnel = s.ztunnel();
  ztunnel.refuse = true;
  await s.pod("a", { labels: AMBIENT });
  await eventually(() => assert.equal(s.cluster.annotation("shop/a"), "pending"));
  ztunnel.refuse = false;
  await eventually(() => assert.equal(s.cluster.annotation("shop/a"), "enabled"));
});

scenario("a new agent takes over what the old one captured, and ztunnel loses nothing", async (s) => {
  const first = await s.start(), ztunnel = s.ztunnel();
  await s.pod("a", { labels: AMBIENT });
  await s.pod("b", { labels: AMBIENT });
  await eventually(() => assert.equal(ztunnel.pods.size, 2));
  await eventually(() => assert.ok(first.settled));
  await first.stop();
  // While no agent runs, one pod ends and another is taken out.
  s.cluster.agent = undefined;
  s.cluster.delete("shop/a");
  const b = s.cluster.pod("shop/b")!;
  s.cluster.put({ ...b, metadata: { ...b.metadata, labels: {} } });
  await s.start();
  await eventually(() => assert.deepEqual([...ztunnel.pods], []));
  await eventually(() => assert.equal(s.cluster.annotation("shop/b"), undefined));
});

scenario("pods that end, are deleted, or are replaced under their name are forgotten", async (s) => {
  const agent = await s.start(), ztunnel = s.ztunnel();
  for (const name of ["ends", "goes", "again"]) await s.pod(name, { labels: AMBIENT });
  await eventually(() => assert.equal(ztunnel.pods.size, 3));
  const ends = s.cluster.pod("shop/ends")!;
  s.cluster.put({ ...ends, status: { ...ends.status, phase: "Succeeded" } });
  s.cluster.delete("shop/goes");
  const again = s.cluster.pod("shop/again")!;
  s.cluster.put({ ...again, metadata: { ...again.metadata, uid: "uid-young", annotations: {} }, status: undefined });
  await eventually(() => assert.equal(ztunnel.pods.size, 0));
  await eventually(() => assert.equal(agent.captures.all().length, 0));
});

scenario("the network plugin's pods are captured before they have an address in the API", async (s) => {
  const agent = await s.start(), ztunnel = s.ztunnel();
  await eventually(() => assert.equal(agent.ztunnels, 1));
  s.cluster.labels.set("shop", AMBIENT);
  const bare = await s.lab.pod("new");
  const young: AgentPod = {
    metadata: { uid: "uid-new", name: "new", namespace: "shop" },
    spec: { nodeName: "n", serviceAccountName: "sa" },
    status: { phase: "Pending" },
  };
  s.cluster.put(young);
  assert.equal(await agent.pluginAdd(young, bare.path, [bare.ip]), true);
  assert.equal(await hasRedirect(bare.path, "nftables"), true);
  assert.ok(ztunnel.pods.has("uid-new"));
  await eventually(() => assert.equal(s.cluster.annotation("shop/new"), "enabled"));
  const other: AgentPod = { ...young, metadata: { ...young.metadata, namespace: "kube-system", labels: AMBIENT } };
  assert.equal(await agent.pluginAdd(other, bare.path, []), false);
  await assert.rejects(agent.pluginAdd(young, `${bare.path}/none`, []), /cannot open the network namespace/);
});

scenario("on uninstall every pod leaves", async (s) => {
  const agent = await s.start(), ztunnel = s.ztunnel();
  const pods = [await s.pod("a", { labels: AMBIENT }), await s.pod("b", { labels: AMBIENT })];
  await eventually(() => assert.equal(ztunnel.pods.size, 2));
  await eventually(() => assert.ok(agent.settled));
  await agent.unenrolAll();
  for (const pod of pods) assert.equal(await hasRedirect(pod.path, "nftables"), false);
  assert.equal(ztunnel.pods.size, 0);
  assert.equal(s.cluster.annotation("shop/a") ?? s.cluster.annotation("shop/b"), undefined);
});

scenario("many pods at once are all captured", async (s) => {
  const agent = await s.start(), ztunnel = s.ztunnel();
  await eventually(() => assert.equal(agent.ztunnels, 1));
  for (let i = 0; i < 25; i++) await s.pod(`p${i}`);
  s.cluster.label("shop", AMBIENT);
  await eventually(() => assert.equal(ztunnel.pods.size, 25), 30_000);
  await eventually(() => assert.ok(agent.settled));
  for (let i = 0; i < 25; i++) assert.equal(s.cluster.annotation(`shop/p${i}`), "enabled");
});
