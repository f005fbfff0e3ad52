// The console as it runs: a Kubernetes API and a proxy's metrics over real sockets, asked by HTTP as a browser does.

import assert from "node:assert/strict";
import { refusal as refusalOf } from "../../src/console/guard.ts";
import { readQuery } from "../../src/console/server.ts";
import { RESOURCES } from "../../src/kube/mod.ts";
import { eventually } from "../support/eventually.ts";
import { consoleLab } from "./lab.ts";
import { connections } from "./support.ts";

const HOSTS: readonly [host: string, allowed: boolean, extra?: string[]][] = [
  ["localhost:20001", true],
  ["127.0.0.1:20001", true],
  ["[::1]:20001", true],
  ["10.1.2.3", true],
  ["kiali", true],
  ["kiali.istio-system:20001", true],
  ["kiali.istio-system.svc", true],
  ["kiali.istio-system.svc.cluster.local:20001", true],
  ["evil.example.com", false],
  ["evil.com", false],
  ["kiali.istio-system.svc.evil.com", false],
  ["localhost.evil.com", false],
  ["kiali.example.com", true, ["kiali.example.com"]],
  ["kiali.example.com", true, ["*"]],
];

for (const [host, allowed, extra = []] of HOSTS) {
  Deno.test(`refusal(): Host ${host}${extra.length > 0 ? ` with CONSOLE_HOSTS=${extra}` : ""} is ${allowed ? "answered" : "refused"}`, () => {
    assert.equal(refusalOf(new Request(`http://${host}/kiali/`), extra)?.status, allowed ? undefined : 421);
  });
}

Deno.test("refusal(): other methods, and other sites' scripts", () => {
  const asked = (init: RequestInit) => refusalOf(new Request("http://localhost/kiali/api/graph", init), [])?.status;
  assert.equal(asked({ method: "POST" }), 405);
  assert.equal(asked({ method: "DELETE" }), 405);
  assert.equal(asked({ method: "HEAD" }), undefined);
  assert.equal(asked({ headers: { "sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors" } }), 403);
  assert.equal(asked({ headers: { "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate" } }), undefined);
  assert.equal(asked({ headers: { "sec-fetch-site": "same-origin" } }), undefined);
});

const BAD_QUERIES = [
  "namespaces=Bad",
  "namespaces=a/b",
  "namespaces=" + "a".repeat(64),
  "namespaces=" + Array(101).fill("a").join(","),
  "window=1s",
  "window=2h",
  "window=-1m",
  "window=soon",
  "by=nothing",
  "idle=maybe",
];

for (const query of BAD_QUERIES) {
  Deno.test(`readQuery() refuses ${query.slice(0, 40)}`, () => {
    assert.throws(() => readQuery(new URLSearchParams(query)), /want/);
  });
}

async function answer(url: string): Promise<any> {
  const response = await fetch(url);
  assert.equal(response.status, 200, `${url}: ${response.status}`);
  return await response.json();
}

Deno.test("console: pages, API and health over HTTP; pods join the mesh, connections are drawn", async (t) => {
  await using it = await consoleLab();
  const { url, client } = it;

  await t.step(
    "health says when the cluster is known",
    () => eventually(async () => assert.equal(await (await fetch(`${url}/kiali/healthz`)).text(), "ok\n")),
  );

  await t.step("applications are out of mesh until their pods are captured", async () => {
    const details = async () => {
      const { applications } = await answer(`${url}/kiali/api/applications?namespaces=default`);
      return applications.map((one: any) => [one.app, one.details[0]]);
    };
    await eventually(async () =>
      assert.deepEqual(await details(), [["productpage", "out of mesh"], ["sleep", "out of mesh"]])
    );
    const graph = await answer(`${url}/kiali/api/graph?namespaces=default`);
    assert.match(graph.notes.map(({ text }: any) => text).join(), /2 pods are out of mesh/);
    for (const name of ["sleep", "productpage-v1"]) {
      const annotations = { "ambient.istio.io/redirection": "enabled" };
      await client.patch(RESOURCES.pods, "default", name, "merge", { metadata: { annotations } });
    }
    await eventually(async () => assert.deepEqual(await details(), [["productpage", "ambient"], ["sleep", "ambient"]]));
  });

  await t.step("what ztunnel counts becomes an edge with a padlock", async () => {
    await eventually(async () => {
      const { proxies } = await answer(`${url}/kiali/api/status`);
      assert.deepEqual(proxies.map(({ pod, ok }: any) => [pod, ok]), [["ztunnel-a", true]]);
    });
    it.metrics = connections({
      reporter: "destination",
      from: "sleep",
      to: "productpage-v1 v1",
      service: "productpage",
    }, 12);
    await eventually(async () => {
      const graph = await answer(`${url}/kiali/api/graph?namespaces=default&window=1m`);
      const [edge] = graph.edges;
      assert.equal(graph.edges.length, 1);
      assert.deepEqual([edge.source, edge.target], ["app:default/sleep/latest", "app:default/productpage/v1"]);
      assert.equal(edge.mtls, true);
      assert.ok(edge.points.length >= 2 && graph.nodes.every(({ x, y }: any) => x > 0 && y > 0));
    });
  });

  await t.step("a proxy that answers nonsense is said to", async () => {
    it.metrics = "x".repeat(17 * 1024 * 1024);
    await eventually(async () => {
      const { proxies } = await answer(`${url}/kiali/api/status`);
      assert.match(proxies[0].error ?? "", /longer than/);
    });
    it.metrics = "";
  });

  await t.step("pages and their files carry headers that keep them to themselves", async () => {
    const home = await fetch(`${url}/`);
    assert.match(home.url, /\/kiali\/$/);
    assert.match(await home.text(), /ambientd console[\s\S]*in Kiali’s place in the embedded cluster/);
    for (const path of ["console.js", "console.css", "graph.js", "console/graph/namespaces", "console/applications"]) {
      const response = await fetch(`${url}/kiali/${path}`);
      const text = await response.text();
      assert.equal(response.status, 200, path);
      assert.match(response.headers.get("content-security-policy")!, /default-src 'none'.*script-src 'self'/);
      assert.equal(response.headers.get("x-content-type-options"), "nosniff");
      assert.doesNotMatch(text, /innerHTML|insertAdjacentHTML|document\.write|https?:\/\/(?!www\.w3\.org\/2000\/svg)/);
      const again = await fetch(`${url}/kiali/${path}`, {
        headers: { "if-none-match": response.headers.get("etag")! },
      });
      assert.equal(again.status, 304);
    }
  });

  await t.step("what is asked wrongly is answered so", async () => {
    const status = async (path: string, init?: RequestInit) => {
      const response = await fetch(`${url}${path}`, { redirect: "manual", ...init });
      await response.body?.cancel();
      return response.status;
    };
    assert.equal(await status("/"), 302);
    assert.equal(await status("/kiali"), 302);
    assert.equal(await status("/etc/passwd"), 404);
    assert.equal(await status("/kiali/../../etc/passwd"), 404);
    assert.equal(await status("/kiali/constructor"), 404);
    assert.equal(await status("/kiali/api/nothing"), 404);
    assert.equal(await status("/kiali/api/graph?window=forever"), 400);
    assert.equal(await status("/kiali/api/graph", { method: "POST" }), 405);
  });
});
