import assert from "node:assert/strict";
import { parseAllDocuments } from "yaml";
import { gatewayApiDefinitions } from "../../manifests/crds/gateway_api/mod.ts";
import { SAMPLES } from "../../manifests/samples/mod.ts";
import type { KubeTarget } from "../../src/kube/target.ts";
import { applyAll } from "../../src/roles/ctl/apply.ts";
import { installMesh } from "../../src/roles/ctl/install.ts";
import { KubeClient } from "../../src/roles/ctl/kube.ts";
import { embeddedApi } from "../support/embedded_api.ts";

const GROUP = "/apis/gateway.networking.k8s.io/v1/namespaces/default";

async function withDefinitions(use: (client: KubeClient) => Promise<void>): Promise<void> {
  await using api = await embeddedApi();
  using client = new KubeClient(api.target);
  await applyAll(client, gatewayApiDefinitions());
  await use(client);
}

function create(client: KubeClient, plural: string, object: Record<string, any>): Promise<any> {
  const path = plural === "gatewayclasses" ? "/apis/gateway.networking.k8s.io/v1" : GROUP;
  return client.request("POST", `${path}/${plural}`, {
    body: { apiVersion: "gateway.networking.k8s.io/v1", ...object },
  });
}

function route(spec: Record<string, unknown>, kind = "HTTPRoute") {
  return { kind, metadata: { generateName: "r-" }, spec };
}

const listener = (extra: Record<string, unknown> = {}) => ({ name: "http", port: 80, protocol: "HTTP", ...extra });
const gateway = (listeners: unknown[]) => ({
  kind: "Gateway",
  metadata: { generateName: "g-" },
  spec: { gatewayClassName: "istio", listeners },
});

/** [what is wrong, plural, object, message] */
const REFUSED: [string, string, any, RegExp][] = [
  ["no listeners", "gateways", gateway([]), /should have at least 1 item/],
  ["two listeners of one name", "gateways", gateway([listener(), listener({ port: 81 })]), /Duplicate value|unique/],
  ["two listeners of one port and host", "gateways", gateway([listener(), listener({ name: "b" })]), /must be unique/],
  [
    "TLS on an HTTP listener",
    "gateways",
    gateway([listener({ tls: { options: { "a.b/c": "d" } } })]),
    /tls must not be/,
  ],
  [
    "passthrough of HTTPS",
    "gateways",
    gateway([listener({ protocol: "HTTPS", tls: { mode: "Passthrough" } })]),
    /must be Terminate/,
  ],
  [
    "termination without a certificate",
    "gateways",
    gateway([listener({ protocol: "HTTPS", tls: {} })]),
    /certificateRefs or options/,
  ],
  [
    "a hostname of a TCP listener",
    "gateways",
    gateway([listener({ protocol: "TCP", hostname: "a.b" })]),
    /hostname must not/,
  ],
  ["a hostname with a port", "gateways", gateway([listener({ hostname: "a.b:80" })]), /hostname/],
  ["a port of 0", "gateways", gateway([listener({ port: 0 })]), /port/],
  ["a relative path", "httproutes", route({ rules: [{ matches: [{ path: { value: "a" } }] }] }), /absolute path/],
  ["an encoded slash", "httproutes", route({ rules: [{ matches: [{ path: { value: "/a%2fb" } }] }] }), /%2f/],
  ["an unknown match", "httproutes", route({ rules: [{ matches: [{ path: { type: "Glob", value: "/" } }] }] }), /Glob/],
  ["a Service without a port", "httproutes", route({ rules: [{ backendRefs: [{ name: "a" }] }] }), /Must have port/],
  [
    "a weight below 0",
    "httproutes",
    route({ rules: [{ backendRefs: [{ name: "a", port: 1, weight: -1 }] }] }),
    /weight/,
  ],
  [
    "a filter without its field",
    "httproutes",
    route({ rules: [{ filters: [{ type: "RequestMirror" }] }] }),
    /filter\.requestMirror must be specified/,
  ],
  [
    "a redirect beside backends",
    "httproutes",
    route({
      rules: [{
        filters: [{ type: "RequestRedirect", requestRedirect: { scheme: "https" } }],
        backendRefs: [{ name: "a", port: 1 }],
      }],
    }),
    /RequestRedirect filter must not be used/,
  ],
  [
    "an attempt longer than the request",
    "httproutes",
    route({ rules: [{ timeouts: { request: "1s", backendRequest: "2s" } }] }),
    /cannot be longer/,
  ],
  [
    "a mirror by percent and fraction",
    "httproutes",
    route({
      rules: [{
        filters: [{
          type: "RequestMirror",
          requestMirror: { backendRef: { name: "a", port: 1 }, percent: 1, fraction: { numerator: 1 } },
        }],
      }],
    }),
    /Only one of percent or fraction/,
  ],
  [
    "a gRPC method of nothing",
    "grpcroutes",
    route({ rules: [{ matches: [{ method: {} }] }] }, "GRPCRoute"),
    /service.*method/,
  ],
  ["a TCP route without backends", "tcproutes", route({ rules: [{ backendRefs: [] }] }, "TCPRoute"), /at least 1 item/],
  [
    "a grant for nobody",
    "referencegrants",
    {
      kind: "ReferenceGrant",
      metadata: { generateName: "x-" },
      spec: { from: [], to: [{ group: "", kind: "Service" }] },
    },
    /at least 1 item/,
  ],
  [
    "backend TLS without trust",
    "backendtlspolicies",
    {
      kind: "BackendTLSPolicy",
      metadata: { generateName: "b-" },
      spec: { targetRefs: [{ group: "", kind: "Service", name: "a" }], validation: { hostname: "a.b" } },
    },
    /must specify either/,
  ],
];

/** A list as `kubectl get` asks for it. */
async function table(target: KubeTarget, plural: string): Promise<{ columns: string[]; rows: unknown[][] }> {
  using http = Deno.createHttpClient({
    caCerts: [target.caPem!],
    cert: target.clientCertPem!,
    key: target.clientKeyPem!,
  });
  const response = await fetch(`${target.server}${GROUP}/${plural}`, {
    client: http,
    headers: { accept: "application/json;as=Table;v=v1;g=meta.k8s.io" },
  });
  const { columnDefinitions, rows } = await response.json();
  return {
    columns: columnDefinitions.filter(({ priority }: any) => priority === 0).map(({ name }: any) => name),
    rows: rows.map(({ cells }: any) => cells),
  };
}

Deno.test("the Gateway API's definitions: defaults, refusals, tables, versions", async (t) => {
  await withDefinitions(async (client) => {
    await t.step("are established with their short names", async () => {
      const { resources } = await client.request("GET", "/apis/gateway.networking.k8s.io/v1");
      const names = Object.fromEntries(
        resources.filter(({ name }: any) => !name.includes("/")).map(({ name, shortNames }: any) => [name, shortNames]),
      );
      assert.deepEqual(Object.keys(names).sort(), [
        "backendtlspolicies",
        "gatewayclasses",
        "gateways",
        "grpcroutes",
        "httproutes",
        "referencegrants",
        "tcproutes",
        "tlsroutes",
        "udproutes",
      ]);
      assert.deepEqual([names.gateways, names.gatewayclasses], [["gtw"], ["gc"]]);
    });

    await t.step("fill in defaults", async () => {
      const stored = await create(client, "gateways", gateway([listener()]));
      assert.deepEqual(stored.spec.listeners[0].allowedRoutes, { namespaces: { from: "Same" } });
      const { items: [read] } = await client.request("GET", `${GROUP}/gateways`);
      assert.deepEqual(read.status.conditions.map((c: any) => `${c.type}=${c.status}:${c.reason}`), [
        "Accepted=Unknown:Pending",
        "Programmed=Unknown:Pending",
      ]);
      const tls = await create(
        client,
        "gateways",
        gateway([listener({ protocol: "HTTPS", tls: { certificateRefs: [{ name: "c" }] } })]),
      );
      assert.deepEqual(tls.spec.listeners[0].tls, {
        mode: "Terminate",
        certificateRefs: [{ group: "", kind: "Secret", name: "c" }],
      });
      const plain = await create(
        client,
        "httproutes",
        route({ parentRefs: [{ name: "g" }], rules: [{ backendRefs: [{ name: "a", port: 1 }] }] }),
      );
      assert.deepEqual(plain.spec, {
        parentRefs: [{ group: "gateway.networking.k8s.io", kind: "Gateway", name: "g" }],
        rules: [{
          matches: [{ path: { type: "PathPrefix", value: "/" } }],
          backendRefs: [{ group: "", kind: "Service", name: "a", port: 1, weight: 1 }],
        }],
      });
      const empty = await create(client, "httproutes", route({}));
      assert.deepEqual(empty.spec.rules, [{ matches: [{ path: { type: "PathPrefix", value: "/" } }] }]);
      const headers = await create(
        client,
        "httproutes",
        route({ rules: [{ matches: [{ headers: [{ name: "x", value: "y" }] }] }] }),
      );
      assert.equal(headers.spec.rules[0].matches[0].headers[0].type, "Exact");
      const redirect = await create(
        client,
        "httproutes",
        route({ rules: [{ filters: [{ type: "RequestRedirect", requestRedirect: { scheme: "https" } }] }] }),
      );
      assert.equal(redirect.spec.rules[0].filters[0].requestRedirect.statusCode, 302);
    });

    for (const [why, plural, object, message] of REFUSED) {
      await t.step(`refuse ${why}`, () => assert.rejects(create(client, plural, object), message));
    }

    await t.step("keep every field of the samples", async () => {
      await installMesh({ profile: "ambient", wait: false }, client.target, () => {});
      const paths = Object.keys(SAMPLES).filter((path) =>
        /gateway-api|networking/.test(path)
      ) as (keyof typeof SAMPLES)[];
      assert.equal(paths.length, 11);
      for (const path of paths) {
        for (const document of parseAllDocuments(SAMPLES[path])) {
          const object = document.toJS();
          const stored = await client.apply({ ...object, metadata: { namespace: "default", ...object.metadata } });
          contains(stored.spec, object.spec, path);
        }
      }
    });

    await t.step("show what kubectl get shows", async () => {
      const path = `${GROUP}/gateways/bookinfo-gateway/status`;
      await client.request("PATCH", path, {
        contentType: "application/merge-patch+json",
        body: {
          status: {
            addresses: [{ type: "IPAddress", value: "10.96.58.95" }],
            conditions: [{
              type: "Programmed",
              status: "True",
              reason: "Programmed",
              message: "",
              lastTransitionTime: "2026-01-01T00:00:00Z",
            }],
          },
        },
      });
      const gateways = await table(client.target, "gateways");
      assert.deepEqual(gateways.columns, ["Name", "Class", "Address", "Programmed", "Age"]);
      const row = gateways.rows.find(([name]) => name === "bookinfo-gateway")!;
      assert.deepEqual(row.slice(0, 4), ["bookinfo-gateway", "istio", "10.96.58.95", "True"]);
      assert.deepEqual((await table(client.target, "httproutes")).columns, ["Name", "Hostnames", "Age"]);
    });

    await t.step("give way to older releases, which serve less", async () => {
      for (const definition of gatewayApiDefinitions()) {
        const { spec: { names, versions } } = definition;
        // GRPCRoute's older version is not part of newer releases.
        if (versions.length < 2) assert.equal(names.kind, "GRPCRoute");
        definition.spec.versions = versions.slice(-1);
        await client.apply(definition);
      }
      await applyAll(client, gatewayApiDefinitions());
    });

    await t.step("serve v1beta1 beside v1, and a class of the cluster", async () => {
      const old = await client.get("gateway.networking.k8s.io/v1beta1", "Gateway", "default", "bookinfo-gateway");
      assert.equal(old!.apiVersion, "gateway.networking.k8s.io/v1beta1");
      const made = await create(client, "gatewayclasses", {
        kind: "GatewayClass",
        metadata: { name: "istio" },
        spec: { controllerName: "istio.io/gateway-controller" },
      });
      assert.equal(made.metadata.namespace, undefined);
      await assert.rejects(
        client.request("PATCH", "/apis/gateway.networking.k8s.io/v1/gatewayclasses/istio", {
          contentType: "application/merge-patch+json",
          body: { spec: { controllerName: "example.com/other" } },
        }),
        /immutable/,
      );
    });
  });
});

/** Fails unless `stored` has all of `applied`. */
function contains(stored: any, applied: any, path: string): void {
  if (typeof applied !== "object" || applied === null) return assert.deepEqual(stored, applied, path);
  for (const [key, value] of Object.entries(applied)) contains(stored?.[key], value, `${path}.${key}`);
}
