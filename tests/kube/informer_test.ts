import assert from "node:assert/strict";
import { type Change, Informer, type KubeObject, RESOURCES } from "../../src/kube/mod.ts";
import { Logger } from "../../src/telemetry/logger.ts";
import { eventually } from "../support/eventually.ts";
import { status, WatchApi } from "../support/watch_api.ts";

const PODS = "/api/v1/pods", POLICIES = "/apis/security.istio.io/v1/authorizationpolicies";
const pod = (name: string, extra: object = {}) => ({ metadata: { namespace: "default", name }, ...extra });

class Recorder implements AsyncDisposable {
  readonly seen: string[] = [];
  readonly lines: string[] = [];
  readonly informer: Informer;
  readonly #client;

  constructor(api: WatchApi, options: { type?: typeof RESOURCES.pods; optional?: boolean; fast?: boolean } = {}) {
    this.#client = api.client({ idleCheckMs: 50, timeoutMs: 1_000 });
    this.informer = new Informer({
      client: this.#client,
      type: options.type ?? RESOURCES.pods,
      optional: options.optional,
      logger: new Logger("kube", { sink: { write: (line) => this.lines.push(line) } }),
      timing: { absentPollMs: 20, retryMs: 20, retryMaxMs: 100 },
    });
    this.informer.onChange((changes) => this.seen.push(...changes.map(show)));
    this.informer.start();
  }

  get names(): string[] {
    return [...this.informer.store.keys()].sort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.informer.stop();
    this.#client.close();
  }
}

const show = ({ type, object }: Change<KubeObject>) => `${type} ${object.metadata.name}`;

Deno.test("Informer lists, then follows added, modified and deleted objects", async () => {
  await using api = await WatchApi.start(PODS);
  api.set(PODS, pod("a"));
  await using recorder = new Recorder(api);
  await recorder.informer.synced;
  assert.deepEqual(recorder.seen, ["added a"]);
  await eventually(() => assert.equal(api.watches.size, 1));
  api.set(PODS, pod("b"));
  api.set(PODS, pod("a", { spec: { nodeName: "n" } }));
  api.delete(PODS, pod("b"));
  await eventually(() => assert.deepEqual(recorder.seen.slice(1), ["added b", "updated a", "deleted b"]));
  assert.equal(recorder.informer.store.get("default/a")?.spec.nodeName, "n");
  const late: string[] = [];
  recorder.informer.onChange((changes) => late.push(...changes.map(show)));
  assert.deepEqual(late, ["added a"], "who asks later hears of what there is");
  const [watch] = [...api.watches];
  assert.equal(watch.query.get("allowWatchBookmarks"), "true");
});

Deno.test("Informer reads long lists page by page", async () => {
  await using api = await WatchApi.start(PODS);
  for (let i = 0; i < 1201; i++) api.set(PODS, pod(`p${i}`));
  await using recorder = new Recorder(api);
  await recorder.informer.synced;
  assert.equal(recorder.informer.store.size, 1201);
  assert.equal(api.count("GET", PODS, false), 3);
});

Deno.test("KubeClient.list() starts over in one piece when a page has expired", async () => {
  await using api = await WatchApi.start(PODS);
  for (let i = 0; i < 700; i++) api.set(PODS, pod(`p${i}`));
  api.intercept = ({ query }) => query.has("continue") ? status(410, "Expired", "the token is too old") : undefined;
  using client = api.client();
  assert.equal((await client.list(RESOURCES.pods)).items.length, 700);
  assert.equal(api.requests.at(-1)!.query.has("limit"), false);
});

Deno.test("Informer goes on from its last event after a broken watch, without listing again", async () => {
  await using api = await WatchApi.start(PODS);
  await using recorder = new Recorder(api);
  await recorder.informer.synced;
  for (let round = 0; round < 3; round++) {
    await eventually(() => assert.equal(api.watches.size, 1));
    api.cut();
    api.set(PODS, pod(`p${round}`));
    await eventually(() => assert.equal(recorder.informer.store.size, round + 1));
  }
  assert.equal(api.count("GET", PODS, false), 1);
  assert.deepEqual(recorder.seen, ["added p0", "added p1", "added p2"]);
});

Deno.test("Informer watches from the last bookmark", async () => {
  await using api = await WatchApi.start(PODS);
  await using recorder = new Recorder(api);
  await recorder.informer.synced;
  await eventually(() => assert.equal(api.watches.size, 1));
  api.expire();
  api.bookmark(PODS);
  // The bookmark has to arrive before the watch is broken.
  api.set(PODS, pod("after"));
  await eventually(() => assert.deepEqual(recorder.names, ["default/after"]));
  api.cut();
  await eventually(() => assert.equal(api.watches.size, 1));
  assert.equal(api.count("GET", PODS, false), 1, "no list was needed");
});

Deno.test("Informer lists again when its version has expired, and reports exactly the difference", async () => {
  await using api = await WatchApi.start(PODS);
  for (const name of ["same", "changed", "gone", "remade"]) api.set(PODS, pod(name));
  await using recorder = new Recorder(api);
  await recorder.informer.synced;
  recorder.seen.length = 0;
  await eventually(() => assert.equal(api.watches.size, 1));
  api.set(PODS, pod("changed", { spec: {} }), { silent: true });
  api.delete(PODS, pod("gone"), { silent: true });
  api.delete(PODS, pod("remade"), { silent: true });
  api.set(PODS, pod("remade"), { silent: true });
  api.set(PODS, pod("new"), { silent: true });
  api.expire();
  api.cut();
  await eventually(() =>
    assert.deepEqual([...recorder.seen].sort(), [
      "added new",
      "added remade",
      "deleted gone",
      "deleted remade",
      "updated changed",
    ])
  );
  assert.equal(api.count("GET", PODS, false), 2);
});

Deno.test("Informer does not storm an API that calls every version expired", async () => {
  await using api = await WatchApi.start(PODS);
  api.intercept = ({ query }) => query.get("watch") ? status(410, "Expired", "too old") : undefined;
  await using recorder = new Recorder(api);
  await recorder.informer.synced;
  await eventually(() => assert.ok(recorder.lines.length >= 4));
  // Waits double from 20 ms: each complaint stands for one list and one watch, but for the first, which is free.
  assert.ok(api.count("GET", PODS, false) <= recorder.lines.length + 2);
});

Deno.test("Informer does not storm an API that ends every watch at once", async () => {
  await using api = await WatchApi.start(PODS);
  api.intercept = ({ query }) => query.get("watch") ? new Response("") : undefined;
  await using recorder = new Recorder(api);
  await recorder.informer.synced;
  const before = performance.now();
  await eventually(() => assert.ok(api.count("GET", PODS, true) >= 6));
  // 20, 40, 80, 100, 100 ms, each spread by a half at most; a slow machine only takes longer.
  assert.ok(performance.now() - before >= 150);
});

Deno.test("Informer keeps what it has while the API fails and recovers by itself", async () => {
  await using api = await WatchApi.start(PODS);
  api.set(PODS, pod("a"));
  await using recorder = new Recorder(api);
  await recorder.informer.synced;
  await eventually(() => assert.equal(api.watches.size, 1));
  api.intercept = () => status(503, "ServiceUnavailable", "starting");
  api.cut();
  await eventually(() => assert.ok(recorder.lines.some((line) => line.includes("cannot watch"))));
  assert.deepEqual(recorder.names, ["default/a"]);
  api.set(PODS, pod("b"));
  api.intercept = undefined;
  await eventually(() => assert.deepEqual(recorder.names, ["default/a", "default/b"]));
  assert.ok(recorder.lines.some((line) => line.includes("watching again")));
});

Deno.test("Informer of an optional type waits for it, follows it, and empties itself when it goes", async () => {
  await using api = await WatchApi.start();
  await using recorder = new Recorder(api, { type: RESOURCES.authorizationPolicies, optional: true });
  await recorder.informer.synced;
  assert.equal(recorder.informer.store.size, 0);
  for (let round = 0; round < 2; round++) {
    api.define(POLICIES);
    api.set(POLICIES, pod(`p${round}`));
    await eventually(() => assert.deepEqual(recorder.names, [`default/p${round}`]));
    await eventually(() => assert.equal(api.watches.size, 1));
    api.undefine(POLICIES);
    await eventually(() => assert.deepEqual(recorder.names, []));
  }
  assert.deepEqual(recorder.seen, ["added p0", "deleted p0", "added p1", "deleted p1"]);
});

Deno.test("Informer of a required type is not synced while it is not served", async () => {
  await using api = await WatchApi.start();
  await using recorder = new Recorder(api);
  await eventually(() => assert.ok(recorder.lines.length > 0));
  assert.equal(recorder.informer.hasSynced, false);
});

Deno.test("Informer survives lines that are no events, and a handler that throws", async () => {
  await using api = await WatchApi.start(PODS);
  const garbage = ["{", "null\n", '{"type":"ERROR"}\n', '{"type":"ADDED","object":{"metadata":{}}}\n{"type":'];
  api.intercept = ({ query }) => {
    const line = query.get("watch") ? garbage.shift() : undefined;
    return line === undefined ? undefined : new Response(line);
  };
  await using recorder = new Recorder(api);
  recorder.informer.onChange(() => {
    throw new Error("a reader's mistake");
  });
  await eventually(() => assert.equal(garbage.length, 0));
  await eventually(() => assert.equal(api.watches.size, 1));
  api.set(PODS, pod("a"));
  await eventually(() => assert.ok(recorder.informer.store.has("default/a")));
});

Deno.test("KubeClient.watch() notices an API that has fallen silent for good", async () => {
  await using api = await WatchApi.start(PODS);
  await using recorder = new Recorder(api);
  await recorder.informer.synced;
  await eventually(() => assert.ok(api.count("GET", "/livez") >= 2, "it asks now and then"));
  assert.equal(api.count("GET", PODS, true), 1, "as long as there is an answer the watch stays");
  const held: (() => void)[] = [];
  api.intercept = ({ path }) =>
    path === "/livez" ? new Promise((resolve) => held.push(() => resolve(new Response("ok")))) : undefined;
  await eventually(() => assert.ok(api.count("GET", PODS, true) > 1, "then it watches anew"));
  api.intercept = undefined;
  for (const release of held) release();
});

Deno.test("Informer.stop() ends a watch, a wait and a list under way", async () => {
  await using api = await WatchApi.start(PODS);
  let release!: () => void;
  for (const state of ["watching", "listing", "waiting"]) {
    api.intercept = state === "listing"
      ? () => new Promise((resolve) => release = () => resolve(new Response("{}")))
      : state === "waiting"
      ? () => status(500, "", "")
      : undefined;
    const before = api.requests.length;
    const recorder = new Recorder(api);
    await eventually(() => assert.ok(api.requests.length > before + (state === "watching" ? 1 : 0)));
    await recorder[Symbol.asyncDispose]();
    if (state === "listing") release();
  }
});
