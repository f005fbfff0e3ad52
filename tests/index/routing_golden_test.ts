// Golden pairs of routing: testdata/routing/<name>.yaml holds Kubernetes objects, and a document of kind Test with the proxies that are
// asked for and the deployer's facts; <name>.out.yaml what each proxy is told, and all statuses. After a change that is meant:
// UPDATE_GOLDEN=1 ./scripts/deno test -A tests/index/routing_golden_test.ts, then read the difference.

import assert from "node:assert/strict";
import { parseAllDocuments, stringify } from "yaml";
import { DEFAULT_SETTINGS, readRoutingSettings, RoutingIndex } from "../../src/index/mod.ts";
import { DEFAULT_LIMITS, DEFAULT_RETRY, proxyResourceKey } from "../../src/model/l7.ts";
import { sameValue } from "../../src/index/equal.ts";
import { routingWorld } from "../support/routing_inputs.ts";

const TESTDATA = new URL("./testdata/routing/", import.meta.url);
const UPDATE = Deno.env.get("UPDATE_GOLDEN") === "1";

const DEFAULTS: Record<string, unknown> = {
  hostnames: ["*"],
  httpsRedirect: false,
  headers: [],
  query: [],
  mirrors: [],
  retry: DEFAULT_RETRY,
  limits: DEFAULT_LIMITS,
  loadBalancer: { policy: "LEAST_REQUEST" },
  useWaypoint: false,
  rule: "",
  subset: "",
  dryRun: false,
  from: [],
  to: [],
  when: [],
  set: [],
  add: [],
  remove: [],
  minVersion: "TLSv1_2",
};

/** Leaves out what is as it usually is, and keys: the golden files say what is particular. */
function short(value: any): any {
  if (Array.isArray(value)) return value.map(short);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).filter(([key, field]) =>
      field !== undefined && !(Object.hasOwn(DEFAULTS, key) && sameValue(DEFAULTS[key], field))
    ).map(([key, field]) => [key, key === "privateKey" ? "(a key)" : short(field)]),
  );
}

function render(objects: any[], test: any): string {
  const { inputs, ambient } = routingWorld(objects, { ...DEFAULT_SETTINGS, ...test.settings });
  const { settings, problems } = readRoutingSettings(test.mesh ?? {});
  const routing = new RoutingIndex(inputs, ambient, settings);
  const config = (target: any) =>
    Object.fromEntries(
      routing.proxyConfig(target).filter(({ kind }) => kind !== "settings" || test.mesh).map((resource) => {
        const { kind: _, name: __, ...rest } = resource as any;
        return [proxyResourceKey(resource), short(rest)];
      }),
    );
  const proxies = Object.fromEntries(
    (test.targets ?? []).map((target: any) => [
      `${target.kind} ${target.namespace}/${target.gateway ?? target.serviceAccount}`,
      config({ labels: {}, ...target }),
    ]),
  );
  const conditions = (list: any[] = []) =>
    list.map(({ type, status, reason, message }) => `${type}=${status} ${reason}: ${message}`);
  const statuses = routing.statuses((key) => test.facts?.[key]).map((status) => [
    `${status.kind} ${status.namespace}/${status.name}`,
    {
      ...(status.conditions ? { conditions: conditions(status.conditions as any) } : {}),
      ...(status.addresses ? { addresses: status.addresses.map(({ value }) => value) } : {}),
      ...(status.listeners
        ? {
          listeners: Object.fromEntries(
            status.listeners.map((
              { name, attachedRoutes, conditions: list, supportedKinds },
            ) => [name, {
              attachedRoutes,
              kinds: supportedKinds.map(({ kind }) => kind).join(" "),
              conditions: conditions(list as any),
            }]),
          ),
        }
        : {}),
      ...(status.parents
        ? {
          parents: status.parents.map(({ parentRef, conditions: list }) => ({
            parent: parentRef,
            conditions: conditions(list as any),
          })),
        }
        : {}),
    },
  ]);
  const bound = [...ambient.statuses.values()].filter(({ condition }) => condition.type === "istio.io/WaypointBound")
    .map((
      { kind, namespace, name, condition },
    ) => [`${kind} ${namespace}/${name}`, { conditions: conditions([condition]) }]);
  return stringify(
    {
      ...(problems.length > 0 ? { problems } : {}),
      proxies,
      statuses: Object.fromEntries([...statuses, ...bound].sort(([a], [b]) => a < b ? -1 : 1)),
    },
    { lineWidth: 0, aliasDuplicateObjects: false },
  );
}

for (const { name } of [...Deno.readDirSync(TESTDATA)].sort((a, b) => a.name.localeCompare(b.name))) {
  if (!name.endsWith(".yaml") || name.endsWith(".out.yaml")) continue;
  Deno.test(`routing golden: ${name}`, async () => {
    const documents = parseAllDocuments(await Deno.readTextFile(new URL(name, TESTDATA))).map((document) => {
      assert.deepEqual((document as any).errors, []);
      return (document as any).toJS();
    }).filter(Boolean);
    const test = documents.find(({ kind }) => kind === "Test") ?? {};
    const objects = documents.filter(({ kind }) => kind !== "Test");
    const actual = render(objects, test);
    const golden = new URL(name.replace(/\.yaml$/, ".out.yaml"), TESTDATA);
    if (UPDATE) await Deno.writeTextFile(golden, actual);
    assert.equal(actual, await Deno.readTextFile(golden));
    // The order in which objects arrive must not matter.
    assert.equal(render(objects.toReversed(), test), actual);
  });
}
