import assert from "node:assert/strict";
import { MeshError } from "../../src/core/errors.ts";
import type { StatusReport } from "../../src/index/mod.ts";
import { RESOURCES } from "../../src/kube/resources.ts";
import { Store } from "../../src/kube/store.ts";
import { StatusWriter, type StatusWriterOptions } from "../../src/roles/istiod/status_writer.ts";
import { tokenReviewer } from "../../src/roles/istiod/token_review.ts";
import { WorkQueue } from "../../src/roles/istiod/work_queue.ts";
import { Logger } from "../../src/telemetry/logger.ts";
import { eventually } from "../support/eventually.ts";
import { status, WatchApi } from "../support/watch_api.ts";

const quiet = new Logger("test", { sink: { write: () => {} } });
const STATUS = "/apis/security.istio.io/v1/namespaces/default/authorizationpolicies/p/status";

function report(reason: string, extra: Partial<StatusReport> = {}): StatusReport {
  return {
    kind: "AuthorizationPolicy",
    namespace: "default",
    name: "p",
    generation: 2,
    fieldManager: "istio-ambient-ztunnel-policy",
    condition: { type: "ZtunnelAccepted", status: "True", reason, message: "m" },
    ...extra,
  };
}

function sourcesOf(policies: Store): StatusWriterOptions["sources"] {
  const { authorizationPolicies, services, serviceEntries, workloadEntries } = RESOURCES, none = new Store();
  return {
    AuthorizationPolicy: { store: policies, type: authorizationPolicies },
    Service: { store: none, type: services },
    ServiceEntry: { store: none, type: serviceEntries },
    WorkloadEntry: { store: none, type: workloadEntries },
  };
}

/** Runs a writer over one policy until `check` holds. */
async function write(api: WatchApi, object: any, reports: StatusReport[], check: () => void): Promise<void> {
  using client = api.client();
  const policies = new Store();
  if (object) policies.set({ metadata: { namespace: "default", name: "p" }, ...object });
  const writer = new StatusWriter({
    client,
    logger: quiet,
    sources: sourcesOf(policies),
    now: () => Date.parse("2026-01-01T00:00:00.123Z"),
  });
  writer.report(reports);
  const stop = new AbortController(), done = writer.lead(stop.signal);
  await eventually(check);
  stop.abort();
  await done;
}

Deno.test("StatusWriter applies a condition to the status, as its own field manager", async () => {
  await using api = await WatchApi.start();
  api.intercept = () => Response.json({});
  await write(api, {}, [report("Stale"), report("Accepted")], () => assert.equal(api.requests.length, 1));
  const [{ method, path, query, contentType, body }] = api.requests;
  assert.deepEqual([method, path, contentType], ["PATCH", STATUS, "application/apply-patch+yaml"]);
  assert.deepEqual([query.get("fieldManager"), query.get("force")], ["istio-ambient-ztunnel-policy", "true"]);
  assert.deepEqual(body, {
    apiVersion: "security.istio.io/v1",
    kind: "AuthorizationPolicy",
    metadata: { namespace: "default", name: "p" },
    status: {
      observedGeneration: "2",
      conditions: [{
        type: "ZtunnelAccepted",
        status: "True",
        reason: "Accepted",
        message: "m",
        observedGeneration: "2",
        lastTransitionTime: "2026-01-01T00:00:00Z",
      }],
    },
  });
});

Deno.test("StatusWriter writes nothing where the object says it already, and keeps the time of an unchanged state", async () => {
  await using api = await WatchApi.start();
  api.intercept = () => Response.json({});
  const condition = {
    ...report("Accepted").condition,
    observedGeneration: 2,
    lastTransitionTime: "2025-05-05T05:05:05Z",
  };
  const old = { status: { conditions: [condition] } };
  await write(
    api,
    old,
    [report("Accepted"), report("Accepted", { name: "gone" })],
    () => assert.equal(api.requests.length, 0),
  );
  await write(api, old, [report("UnsupportedValue")], () => assert.equal(api.requests.length, 1));
  assert.equal(api.requests[0].body.status.conditions[0].lastTransitionTime, "2025-05-05T05:05:05Z");
});

Deno.test("StatusWriter takes the other writer's condition back when a policy changes sides", async () => {
  await using api = await WatchApi.start();
  api.intercept = () => Response.json({});
  const old = { status: { conditions: [{ type: "WaypointAccepted", status: "False" }, { type: "Foreign" }] } };
  await write(api, old, [report("Accepted")], () => assert.equal(api.requests.length, 2));
  assert.deepEqual(api.requests.map(({ query, body }) => [query.get("fieldManager"), "status" in body]), [
    ["istio-ambient-waypoint-policy", false],
    ["istio-ambient-ztunnel-policy", true],
  ]);
});

Deno.test("StatusWriter tries again after a failure, and lets go of what is gone", async () => {
  await using api = await WatchApi.start();
  api.intercept = () => api.requests.length === 1 ? status(500, "InternalError", "not now") : Response.json({});
  await write(api, {}, [report("Accepted")], () => assert.equal(api.requests.length, 2));
  api.requests.length = 0;
  api.intercept = () => status(404, "NotFound", "gone");
  await write(api, {}, [report("Accepted")], () => assert.equal(api.requests.length, 1));
});

Deno.test("WorkQueue works on each key once, lets failures wait for the others, and stops at once", async () => {
  const queue = new WorkQueue(), stop = new AbortController(), worked: string[] = [], failures: string[] = [];
  for (const key of ["a", "b", "a", "c"]) queue.add(key);
  const done = queue.run(stop.signal, (key) => {
    worked.push(key);
    if (key === "a" && worked.length === 1) return Promise.reject(new Error("no"));
    return Promise.resolve();
  }, (key) => failures.push(key));
  await eventually(() => assert.deepEqual(worked, ["a", "b", "c", "a"]));
  assert.deepEqual(failures, ["a"]);
  queue.add("late");
  await eventually(() => assert.equal(worked.at(-1), "late"));
  stop.abort();
  await done;
});

/** A token whose claims end at `exp` seconds. */
const jwt = (exp: number) => `e30.${btoa(JSON.stringify({ exp })).replaceAll("=", "")}.sig`;

Deno.test("tokenReviewer keeps good answers for a few seconds, never past the token's end, and bad ones not at all", async () => {
  await using api = await WatchApi.start();
  using client = api.client();
  let now = 1_000_000, good = true;
  api.intercept = ({ body }) =>
    Response.json({
      status: good
        ? { authenticated: true, audiences: body.spec.audiences, user: { username: "u" } }
        : { authenticated: false },
    });
  const review = tokenReviewer(client, () => now), audiences = ["istio-ca"];
  const [one, two] = await Promise.all([review(jwt(2_000), audiences), review(jwt(2_000), audiences)]);
  assert.deepEqual([one?.username, two, api.requests.length], ["u", one, 1], "asked once for both");
  good = false;
  assert.ok(await review(jwt(2_000), audiences));
  assert.equal(await review(jwt(2_000), ["other"]), undefined, "another audience is another question");
  now += 6_000;
  assert.equal(await review(jwt(2_000), audiences), undefined, "believed for a few seconds only");
  good = true;
  assert.ok(await review(jwt(1_007), audiences));
  now += 1_500;
  good = false;
  assert.equal(await review(jwt(1_007), audiences), undefined, "not past its end");
  good = true;
  assert.ok(await review(jwt(2_000), audiences), "a refusal is not remembered");
});

Deno.test("tokenReviewer wants an API that says whom the token is for", async () => {
  await using api = await WatchApi.start();
  using client = api.client();
  const table: [answer: object, good: boolean][] = [
    [{ authenticated: true, audiences: ["istio-ca"] }, true],
    [{ authenticated: true }, false],
    [{ authenticated: true, audiences: ["https://kubernetes.default.svc"] }, false],
    [{ authenticated: false, audiences: ["istio-ca"] }, false],
    [{}, false],
  ];
  for (const [answer, good] of table) {
    api.intercept = () => Response.json({ status: answer });
    assert.equal(await tokenReviewer(client)("x.y.z", ["istio-ca"]) !== undefined, good, JSON.stringify(answer));
  }
  api.intercept = () => status(403, "Forbidden", "you may not review tokens");
  await assert.rejects(tokenReviewer(client)("x.y.z", ["istio-ca"]), MeshError);
});
