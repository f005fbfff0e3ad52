// Every field of the schemas that we ship is done, or named in the object's status: none is ignored in silence. Each field is given two
// values (all, where the set is closed) in an object that works, and left out; what proxies and ztunnels are told, and what is deployed,
// must tell the values apart, or the status must name the field.

import assert from "node:assert/strict";
import { customResourceDefinitions } from "../../manifests/crds/mod.ts";
import { gatewayApiDefinitions } from "../../manifests/crds/gateway_api/mod.ts";
import type { Schema } from "../../manifests/crds/schema.ts";
import { RoutingIndex } from "../../src/index/mod.ts";
import { gatewayFacts } from "../../src/roles/istiod/gateways/facts.ts";
import { isManaged, servicesOf, traitsOf } from "../../src/roles/istiod/gateways/names.ts";
import { overlaysOf } from "../../src/roles/istiod/gateways/overlays.ts";
import { renderGateway } from "../../src/roles/istiod/gateways/render.ts";
import { routingWorld } from "../support/routing_inputs.ts";
import { ABSENT, holdersOf, leavesOf, setLeaf, valuesOf } from "../support/schema_leaves.ts";
import { CASES, type FieldCase, WORLD } from "./schema_field_cases.ts";

const DEFINITIONS = [...customResourceDefinitions(), ...gatewayApiDefinitions()];

/** A field of a release to come, or of a definition that prunes nothing. */
const FUTURE = "futureField";

const RENDER = {
  image: "i",
  revision: "default",
  controlPlane: "istiod.istio-system.svc:15012",
  clusterId: "Kubernetes",
  network: "",
  domain: "cluster.local",
  trustDomain: "cluster.local",
  meshId: "",
};

interface Outcome {
  /** What is done about the object, as text. */
  readonly done: string;
  /** What its author is told. */
  readonly told: string;
}

async function outcomeOf(object: any, { targets, world = [] }: FieldCase): Promise<Outcome> {
  const { inputs, ambient } = routingWorld([...WORLD.filter((one) => !sameObject(one, object)), ...world, object]);
  const routing = new RoutingIndex(inputs, ambient), facts = gatewayFacts(inputs, "cluster.local");
  const deployed: unknown[] = [];
  for (const gateway of inputs.gateways.values()) {
    const traits = traitsOf(gateway, inputs.gatewayClasses);
    const laid = traits && await overlaysOf(gateway, inputs.configMaps, "istio-system");
    if (!isManaged(gateway)) deployed.push(traits && servicesOf(gateway, traits, "cluster.local"));
    else if (traits && laid && "overlays" in laid) deployed.push(renderGateway(gateway, traits, RENDER, laid.overlays));
    else deployed.push(laid);
  }
  const { name, namespace } = object.metadata;
  const mine = (status: any) =>
    status.name === name && status.namespace === namespace &&
    (status.kind === object.kind || (status.kind === "IstioGateway" && object.kind === "Gateway"));
  const told = [...routing.statuses(facts), ...ambient.statuses.values()].filter(mine).flatMap(messages);
  return {
    done: JSON.stringify([
      targets.map((target) => routing.proxyConfig(target)),
      [...ambient.workloads.values()].map((workload) => ({ ...workload, services: [...workload.services] })),
      [...ambient.services.values()],
      [...ambient.policies.values()],
      deployed,
    ]),
    told: told.join("\n"),
  };
}

function sameObject(a: any, b: any): boolean {
  return a.kind === b.kind && a.metadata.name === b.metadata.name && a.metadata.namespace === b.metadata.namespace &&
    String(a.apiVersion).split("/")[0] === String(b.apiVersion).split("/")[0];
}

function messages(status: any): string[] {
  const conditions = [
    ...status.conditions ?? [],
    ...status.condition ? [status.condition] : [],
    ...(status.listeners ?? []).flatMap((one: any) => one.conditions),
    ...(status.parents ?? []).flatMap((one: any) => one.conditions),
  ];
  return conditions.map(({ message }: any) => message);
}

/** Whether something that is told names a place, or says that what holds it is not supported, or names the very value. */
function names(told: string, before: string, place: string, value: unknown): boolean {
  const known = before.split(/\n|; /), lines = told.split(/\n|; /).filter((line) => !known.includes(line));
  const parts = place.split(/(?=\.|\[)/), above = parts.map((_, i) => parts.slice(0, i + 1).join("")).slice(0, -1);
  const last = /[A-Za-z0-9]+(?=(\[[^.]*)?$)/.exec(place)![0];
  const leaves = [value].flat().flatMap((one) => typeof one === "object" && one ? Object.values(one) : [one]);
  return lines.some((line) =>
    line.includes(place) || (/support|cannot/.test(line) && new RegExp(`\\b${last}\\b`).test(line)) ||
    leaves.some((one) => typeof one === "string" && one.length > 2 && line.includes(one)) ||
    above.some((one) =>
      line.startsWith(`cannot use ${one}=`) ||
      new RegExp(`${RegExp.escape(one)}(\\.type)?[: ].*not supported`).test(line)
    )
  );
}

async function faultsOf(one: FieldCase, schema: Schema): Promise<string[]> {
  const { base, hints = {}, examples = {} } = one, faults: string[] = [];
  const before = (await outcomeOf(base, one)).told;
  const future = holdersOf(schema).map((path) => path === "" ? FUTURE : `${path}.${FUTURE}`);
  for (const { path, schema: leaf } of [...leavesOf(schema), ...future.map((path) => ({ path, schema: {} }))]) {
    const skipped = Object.keys(one.elsewhere ?? {}).find((prefix) =>
      path === prefix || path.startsWith(`${prefix}.`) || path.startsWith(`${prefix}[`)
    );
    if (skipped !== undefined) continue;
    const hint = Object.hasOwn(hints, path) ? hints[path] : {};
    const prepare = Object.keys(hints).filter((prefix) =>
      hints[prefix].prepare &&
      (path === prefix || path.startsWith(`${prefix}.`) || path.startsWith(`${prefix}[`) ||
        path.startsWith(`${prefix}{`))
    );
    const make = (value: unknown) => {
      const object: any = structuredClone(base);
      for (const prefix of prepare) hints[prefix].prepare!(object.spec);
      return { object, place: setLeaf(object.spec, schema, path, value, examples) };
    };
    const values = hint.values ?? (path.endsWith(FUTURE) ? ["something"] : valuesOf(leaf));
    const absent = await outcomeOf(make(ABSENT).object, one);
    const found: { value: unknown; done: string; named: boolean }[] = [];
    for (const value of values) {
      const { object, place } = make(value), { done, told } = await outcomeOf(object, one);
      found.push({ value, done, named: names(told, before, place, value) });
    }
    const silent = found.filter(({ value, done, named }, i) => {
      if (named) return false;
      if (path.endsWith(FUTURE)) return done === absent.done || !one.statusless;
      const aliases = hint.same ?? [];
      const others = found.filter((other, j) => j !== i && !(aliases.includes(other.value) && aliases.includes(value)));
      if (others.some((other) => other.done === done && !other.named)) return true;
      return others.length === 0 ? done === absent.done && !hint.defaults?.includes(value) : false;
    });
    if (silent.length > 0) {
      faults.push(`${path}: nobody tells ${silent.map(({ value }) => JSON.stringify(value)).join(" from ")}`);
    }
  }
  return faults;
}

for (const one of CASES) {
  const [group, kind] = one.kind.split("/");
  const { spec } = DEFINITIONS.find(({ spec }) => spec.group === group && spec.names.kind === kind)!;
  const schemas = new Map<string, Schema>(
    spec.versions.map((
      { schema }: any,
    ) => [JSON.stringify(schema.openAPIV3Schema.properties.spec), schema.openAPIV3Schema.properties.spec]),
  );
  Deno.test(`no field is ignored in silence: ${one.name}`, async () => {
    for (const schema of schemas.values()) assert.deepEqual(await faultsOf(one, schema), []);
  });
}
