import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import type { KubeObject } from "../../../src/cluster/contracts.ts";
import { MeshError } from "../../../src/core/errors.ts";
import { StateDatabase } from "../../../src/cluster/store/database.ts";
import { deepFreeze, jsonEqual } from "../../../src/cluster/store/freeze.ts";
import { EventWindow, type StoreEvent } from "../../../src/cluster/store/history.ts";
import { ObjectStore } from "../../../src/cluster/store/store.ts";

function thing(name: string, data = "", namespace = "n"): KubeObject {
  return { apiVersion: "v1", kind: "Thing", metadata: { name, namespace }, data };
}

async function withDir(run: (dir: string) => Promise<void> | void): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "ambientd-store-" });
  try {
    await run(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

Deno.test("ObjectStore.put() gives each write the next revision and hands out frozen objects", () => {
  const store = new ObjectStore(new StateDatabase(":memory:"));
  const a = store.put("/things", thing("a"));
  const b = store.put("/things", thing("b"));
  assert.equal(Number(b.metadata.resourceVersion), Number(a.metadata.resourceVersion) + 1);
  assert.ok(Object.isFrozen(a.metadata));
  assert.equal(store.get("/things", "n", "a"), a);
  const again = store.put("/things", { ...a, data: "new" });
  assert.equal(again.data, "new");
  assert.equal(a.data, "");
  assert.equal(store.count("/things"), 2);
  store.close();
});

Deno.test("ObjectStore survives a restart with its revision, also that of a removal", async () => {
  await withDir(async (dir) => {
    const first = new ObjectStore(new StateDatabase(`${dir}/state.db`));
    first.put("/things", thing("kept", "x"));
    first.put("/things", thing("gone"));
    await first.committed();
    first.remove("/things", "n", "gone");
    const { revision } = first;
    first.close();
    const second = new ObjectStore(new StateDatabase(`${dir}/state.db`));
    assert.equal(second.revision, revision);
    assert.deepEqual([...second.values("/things")].map(({ metadata }) => metadata.name), ["kept"]);
    assert.equal(second.since("/things", revision - 1), undefined, "events before the restart are forgotten");
    assert.deepEqual(second.since("/things", revision), []);
    second.put("/things", thing("later"));
    assert.equal(second.since("/things", revision)?.length, 1);
    second.close();
  });
});

Deno.test("ObjectStore.committed() resolves after the rows are on disk", async () => {
  await withDir(async (dir) => {
    const store = new ObjectStore(new StateDatabase(`${dir}/state.db`));
    for (let i = 0; i < 100; i++) store.put("/things", thing(`t${i}`));
    await store.committed();
    const reader = new DatabaseSync(`${dir}/state.db`, { readOnly: true });
    assert.equal((reader.prepare("SELECT count(*) AS n FROM objects").get() as { n: number }).n, 100);
    reader.close();
    store.close();
  });
});

Deno.test("ObjectStore tells listeners what changed, with the object before", () => {
  const store = new ObjectStore(new StateDatabase(":memory:"));
  const seen: StoreEvent[] = [];
  const stop = store.listen("/things", (event) => seen.push(event));
  store.put("/things", thing("a"));
  store.put("/things", thing("a", "2"));
  store.put("/others", thing("a"));
  const removed = store.remove("/things", "n", "a");
  stop();
  store.put("/things", thing("b"));
  assert.deepEqual(seen.map(({ type }) => type), ["ADDED", "MODIFIED", "DELETED"]);
  assert.equal(seen[1].previous?.data, "");
  assert.equal(seen[2].object.metadata.resourceVersion, String(seen[2].revision));
  assert.equal(removed, seen[2].object);
  assert.equal(store.remove("/things", "n", "a"), undefined);
  store.close();
});

Deno.test("EventWindow.since() forgets the oldest events and says so", () => {
  const window = new EventWindow(10, 0);
  for (let revision = 1; revision <= 25; revision++) window.push({ revision, type: "ADDED", object: thing("x") });
  assert.equal(window.since(3), undefined);
  assert.deepEqual(window.since(20)?.map(({ revision }) => revision), [21, 22, 23, 24, 25]);
  assert.deepEqual(window.since(25), []);
});

Deno.test("StateDatabase names the file and the way out when it is damaged", async () => {
  await withDir(async (dir) => {
    const path = `${dir}/state.db`;
    for (
      const content of [
        "not a database at all, but long enough to look like a page ".repeat(100),
        "SQLite format 3\0" + "x".repeat(8000),
      ]
    ) {
      await Deno.writeTextFile(path, content);
      assert.throws(() => new ObjectStore(new StateDatabase(path)), (error: unknown) => {
        assert.ok(error instanceof MeshError);
        assert.equal(error.code, "STATE_CORRUPT");
        assert.match(error.message, /state\.db/);
        assert.match(error.message, /--data-dir/);
        assert.match(error.message, /remove it/);
        return true;
      });
    }
  });
});

Deno.test("StateDatabase refuses the layout of another version", async () => {
  await withDir((dir) => {
    new StateDatabase(`${dir}/state.db`).close();
    const db = new DatabaseSync(`${dir}/state.db`);
    db.exec("UPDATE meta SET value = '99' WHERE key = 'schema'");
    db.close();
    assert.throws(() => new StateDatabase(`${dir}/state.db`), { code: "STATE_VERSION" });
  });
});

Deno.test("StateDatabase says when the place cannot be written", () => {
  assert.throws(() => new StateDatabase("/proc/nowhere/state.db"), { code: "STATE_UNUSABLE" });
});

Deno.test("jsonEqual() and deepFreeze()", () => {
  assert.ok(jsonEqual({ a: 1, b: undefined }, { a: 1 }));
  assert.ok(!jsonEqual({ a: [1] }, { a: { 0: 1 } }));
  assert.ok(!jsonEqual({ a: null }, {}));
  const value = deepFreeze({ a: [{ b: 1 }] });
  assert.ok(Object.isFrozen(value.a[0]));
});
