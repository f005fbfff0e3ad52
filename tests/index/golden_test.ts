// Golden pairs: testdata/<name>.yaml holds Kubernetes objects, testdata/<name>.out.yaml what the index makes of them. After a change
// that is meant: UPDATE_GOLDEN=1 ./scripts/deno test -A tests/index/golden_test.ts, then read the difference.

import assert from "node:assert/strict";
import { parseAllDocuments, stringify } from "yaml";
import { AmbientIndex, DEFAULT_SETTINGS, type MeshSettings, newInputs } from "../../src/index/mod.ts";
import type { AuthorizationPolicy, PolicyMatch } from "../../src/model/policy.ts";
import type { GatewayAddress, Service, Workload } from "../../src/model/workload.ts";
import { inputOf } from "../support/index_inputs.ts";

const TESTDATA = new URL("./testdata/", import.meta.url);
const UPDATE = Deno.env.get("UPDATE_GOLDEN") === "1";

const DEFAULTS: Record<string, unknown> = {
  hostname: "",
  network: "",
  trustDomain: "cluster.local",
  workloadType: "POD",
  clusterId: "Kubernetes",
  nativeTunnel: false,
  networkMode: "STANDARD",
  capacity: 1,
  canonical: true,
  ingressUseWaypoint: false,
  visibility: "PUBLIC",
  dryRun: false,
  ipFamilies: "AUTOMATIC",
};

/** Leaves out what is as it usually is: the golden files say what is particular. */
function short(value: Workload | Service | AuthorizationPolicy | PolicyMatch | GatewayAddress): unknown {
  return Object.fromEntries(
    Object.entries(value).filter(([key, field]) =>
      field !== undefined && DEFAULTS[key] !== field && !(Array.isArray(field) && field.length === 0) &&
      !(field instanceof Map && field.size === 0)
    ).map(([key, field]) => [key, field instanceof Map ? Object.fromEntries(field) : field]),
  );
}

function render(objects: any[], settings: MeshSettings): string {
  const inputs = newInputs(), index = new AmbientIndex(inputs, settings);
  for (const object of objects) {
    const name = inputOf(object);
    inputs[name].set(object);
    index.changed(name, [{ type: "added", object }]);
  }
  index.flush();
  const sorted = <V>(
    table: { keys(): Iterable<string>; get(name: string): V | undefined },
    show: (value: V) => unknown,
  ) => Object.fromEntries([...table.keys()].sort().map((name) => [name, show(table.get(name)!)]));
  const policy = (value: AuthorizationPolicy) => ({
    ...short({ ...value, rules: [] }) as object,
    rules: value.rules.map((rule) => rule.map((clause) => clause.map(short))),
  });
  return stringify(
    {
      workloads: sorted(index.workloads, short),
      services: sorted(index.services, short),
      policies: sorted(index.policies, policy),
      statuses: sorted(index.statuses, ({ condition, fieldManager }) => ({ fieldManager, ...condition })),
      ...(index.peerProblems.size > 0 ? { peerProblems: Object.fromEntries([...index.peerProblems].sort()) } : {}),
    },
    { lineWidth: 0, aliasDuplicateObjects: false },
  );
}

for (const { name } of [...Deno.readDirSync(TESTDATA)].sort((a, b) => a.name.localeCompare(b.name))) {
  if (!name.endsWith(".yaml") || name.endsWith(".out.yaml")) continue;
  Deno.test(`index golden: ${name}`, async () => {
    const documents = parseAllDocuments(await Deno.readTextFile(new URL(name, TESTDATA))).map((document) => {
      assert.deepEqual((document as any).errors, []);
      return (document as any).toJS();
    }).filter(Boolean);
    const settings = documents.find(({ kind }) => kind === "MeshSettings");
    const objects = documents.filter(({ kind }) => kind !== "MeshSettings");
    const actual = render(objects, { ...DEFAULT_SETTINGS, ...settings?.settings });
    const golden = new URL(name.replace(/\.yaml$/, ".out.yaml"), TESTDATA);
    if (UPDATE) await Deno.writeTextFile(golden, actual);
    assert.equal(actual, await Deno.readTextFile(golden));
    // The order in which objects arrive must not matter.
    assert.equal(render(objects.toReversed(), { ...DEFAULT_SETTINGS, ...settings?.settings }), actual);
  });
}
