import assert from "node:assert/strict";
import type { IncomingMessage } from "node:http";
import { CONFIG_MAPS, pod, PODS, TestServer } from "./support.ts";

const CONFIGS = "/api/v1/namespaces/default/configmaps";

/** The lines of a watch, read as they come. */
class Watch {
  readonly #events: AsyncIterator<any>;
  readonly response: IncomingMessage;

  private constructor(response: IncomingMessage) {
    this.response = response;
    this.#events = lines(response);
  }

  static async open(test: TestServer, query: string, headers: Record<string, string> = {}): Promise<Watch> {
    return new Watch(await test.open("GET", `${CONFIGS}?watch=true&${query}`, { headers }));
  }

  async next(): Promise<any> {
    const { value, done } = await this.#events.next();
    return done ? undefined : value;
  }

  /** `TYPE name` of the next events. */
  async take(count: number): Promise<string[]> {
    const taken: string[] = [];
    for (let i = 0; i < count; i++) {
      const { type, object } = await this.next();
      taken.push(`${type} ${object.metadata.name ?? ""}`.trim());
    }
    return taken;
  }

  close(): void {
    this.response.destroy();
  }
}

async function* lines(response: IncomingMessage): AsyncGenerator<any> {
  let rest = "";
  for await (const chunk of response) {
    const parts = (rest + new TextDecoder().decode(chunk)).split("\n");
    rest = parts.pop()!;
    for (const part of parts) yield JSON.parse(part);
  }
}

function make(test: TestServer, name: string, labels: Record<string, string> = {}): string {
  return test.api.create(CONFIG_MAPS, {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name, namespace: "default", labels },
  }).metadata.resourceVersion!;
}

Deno.test("a watch without revision shows what exists first; one with shows what came after it", async () => {
  await using test = await TestServer.start();
  const at = make(test, "a");
  const fresh = await Watch.open(test, "");
  assert.deepEqual(await fresh.take(1), ["ADDED a"]);
  make(test, "b");
  test.api.patch(CONFIG_MAPS, "default", "a", "merge", { data: { x: "y" } });
  test.api.delete(CONFIG_MAPS, "default", "b");
  assert.deepEqual(await fresh.take(3), ["ADDED b", "MODIFIED a", "DELETED b"]);
  const since = await Watch.open(test, `resourceVersion=${at}`);
  assert.deepEqual(await since.take(3), ["ADDED b", "MODIFIED a", "DELETED b"]);
  fresh.close();
  since.close();
});

Deno.test("selectors turn changes into ADDED and DELETED as objects come into view and leave it", async () => {
  await using test = await TestServer.start();
  make(test, "a", { app: "x" });
  const watch = await Watch.open(test, "labelSelector=app%3Dx");
  assert.deepEqual(await watch.take(1), ["ADDED a"]);
  test.api.patch(CONFIG_MAPS, "default", "a", "merge", { metadata: { labels: { app: "y" } } });
  const left = await watch.next();
  assert.equal(left.type, "DELETED");
  assert.equal(left.object.metadata.labels.app, "x", "as it was when last seen");
  test.api.patch(CONFIG_MAPS, "default", "a", "merge", { metadata: { labels: { app: "x" } } });
  assert.deepEqual(await watch.take(1), ["ADDED a"]);
  watch.close();
});

Deno.test("a revision that is no longer known answers 410 Expired in the stream", async () => {
  await using test = await TestServer.start();
  for (let i = 0; i < 4100; i++) {
    make(test, "c");
    test.api.delete(CONFIG_MAPS, "default", "c");
  }
  const watch = await Watch.open(test, "resourceVersion=50");
  const { type, object } = await watch.next();
  assert.equal(type, "ERROR");
  assert.equal(object.code, 410);
  assert.equal(object.reason, "Expired");
  assert.equal(await watch.next(), undefined);
});

Deno.test("timeoutSeconds ends a watch, with a bookmark where asked", async () => {
  await using test = await TestServer.start();
  const watch = await Watch.open(test, "allowWatchBookmarks=true&timeoutSeconds=1");
  const { type, object } = await watch.next();
  assert.equal(type, "BOOKMARK");
  assert.equal(object.kind, "ConfigMap");
  assert.ok(Number(object.metadata.resourceVersion) > 1);
  assert.equal(await watch.next(), undefined);
});

Deno.test("sendInitialEvents marks the end of the initial list", async () => {
  await using test = await TestServer.start();
  make(test, "a");
  const watch = await Watch.open(
    test,
    "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true",
  );
  assert.deepEqual(await watch.take(1), ["ADDED a"]);
  const { type, object } = await watch.next();
  assert.equal(type, "BOOKMARK");
  assert.equal(object.metadata.annotations["k8s.io/initial-events-end"], "true");
  watch.close();
  assert.equal((await test.call("GET", `${CONFIGS}?watch=true&sendInitialEvents=true`)).code, 422);
});

Deno.test("watches come as tables and as metadata alone", async () => {
  await using test = await TestServer.start();
  make(test, "a");
  const table = await Watch.open(test, "", { accept: "application/json;as=Table;v=v1;g=meta.k8s.io" });
  const first = await table.next();
  assert.equal(first.object.kind, "Table");
  assert.equal(first.object.columnDefinitions.length, 3);
  make(test, "b");
  assert.deepEqual((await table.next()).object.columnDefinitions, [], "columns come once");
  table.close();
  const partial = await Watch.open(test, "", {
    accept: "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
  });
  assert.equal((await partial.next()).object.kind, "PartialObjectMetadata");
  partial.close();
});

Deno.test("closing the server ends its watches", async () => {
  const test = await TestServer.start();
  const watch = await Watch.open(test, "");
  const ended = watch.next().catch(() => undefined);
  await test[Symbol.asyncDispose]();
  assert.equal(await ended, undefined);
});

Deno.test("200 pods that churn reach ten watches completely and in order", async () => {
  await using test = await TestServer.start();
  const open = async () => {
    const response = await test.open("GET", "/api/v1/pods?watch=true");
    const seen: number[] = [];
    let deleted = 0;
    for await (const { type, object } of lines(response)) {
      seen.push(Number(object.metadata.resourceVersion));
      if (type === "DELETED" && ++deleted === 200) break;
    }
    response.destroy();
    return seen;
  };
  const watches = Array.from({ length: 10 }, open);
  for (let i = 0; i < 200; i++) {
    const created = test.api.create(PODS, pod(`p${i}`));
    test.api.update(PODS, { ...created, status: { ...created.status, phase: "Running" } }, { subresource: "status" });
    if (i % 20 === 0) await new Promise((resolve) => setTimeout(resolve, 0));
  }
  for (let i = 0; i < 200; i++) test.api.delete(PODS, "default", `p${i}`, { gracePeriodSeconds: 0 });
  for (const seen of await Promise.all(watches)) {
    assert.ok(seen.length >= 400 || seen.length >= 200);
    // Apart from the initial list, which is by name, revisions only grow.
    const changes = seen.slice(-200);
    assert.deepEqual(changes, changes.toSorted((a, b) => a - b));
  }
});
