// Objects of any shape: nothing throws, and whatever comes out is a configuration that proxies take.

import assert from "node:assert/strict";
import { parseAllDocuments } from "yaml";
import { RoutingIndex } from "../../src/index/mod.ts";
import { decodeProxyResource, encodeProxyResource } from "../../src/xds/proxy_codec.ts";
import { proxyResourceKey } from "../../src/model/l7.ts";
import { RuntimeCompiler } from "../../src/http/exchange/runtime.ts";
import { routingWorld } from "../support/routing_inputs.ts";

const TESTDATA = new URL("./testdata/routing/", import.meta.url);

interface Case {
  readonly name: string;
  readonly objects: readonly any[];
  readonly test: any;
}

const CASES: Case[] = [...Deno.readDirSync(TESTDATA)].map(({ name }) => name).sort().filter((name) =>
  name.endsWith(".yaml") && !name.endsWith(".out.yaml")
).map((name) => {
  const documents = parseAllDocuments(Deno.readTextFileSync(new URL(name, TESTDATA))).map((one) => (one as any).toJS());
  return {
    name,
    objects: documents.filter((one) => one && one.kind !== "Test"),
    test: documents.find((one) => one?.kind === "Test"),
  };
});

/** A generator of numbers below `n` that gives the same sequence for the same seed. */
function random(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor(state / 2 ** 32 * n);
  };
}

/** More of them, once, after a change of what is read: SEEDS=5000. */
const SEEDS = Number(Deno.env.get("SEEDS") ?? 150);

const JUNK: readonly unknown[] = [
  null,
  0,
  -1,
  1.5,
  2 ** 40,
  true,
  "",
  "*",
  "x".repeat(5000),
  "a\r\nb: c",
  "\u0000",
  "__proto__",
  "[",
  "connection",
  "\\9",
  "10s",
  "-10s",
  "/",
  "*.*",
  [],
  [null],
  [[]],
  [{}],
  {},
  { constructor: 1 },
  { toString: null },
  { a: null },
];

/** Replaces, adds or removes one thing somewhere in `spec`, `status`, `data` or labels. */
function mutate(object: any, pick: (n: number) => number): any {
  const copy = structuredClone(object), places: { parent: any; key: string | number }[] = [];
  const walk = (parent: any): void => {
    for (const key of Array.isArray(parent) ? parent.keys() : Object.keys(parent)) {
      places.push({ parent, key });
      if (typeof parent[key] === "object" && parent[key] !== null) walk(parent[key]);
    }
  };
  // Names and labels are checked by Kubernetes itself; what custom kinds hold is not.
  const own = Object.fromEntries(
    Object.entries(copy).filter(([key]) => !["kind", "apiVersion", "metadata"].includes(key)),
  );
  if (["Pod", "Service", "Namespace"].includes(copy.kind)) return copy;
  walk(own);
  if (places.length > 0) {
    const { parent, key } = places[pick(places.length)], junk = structuredClone(JUNK[pick(JUNK.length)]);
    if (pick(8) === 0 && !Array.isArray(parent)) parent[`unknown${pick(3)}`] = junk;
    else if (pick(8) === 0) Array.isArray(parent) ? parent.splice(key as number, 1) : delete parent[key];
    else parent[key] = junk;
  }
  return { ...Object.fromEntries(["kind", "apiVersion", "metadata"].map((key) => [key, copy[key]])), ...own };
}

function targetsOf({ test }: Case): any[] {
  return (test?.targets ?? []).map((target: any) => ({ labels: {}, ...target }));
}

for (const one of CASES) {
  Deno.test(`routing takes objects of any shape: ${one.name}`, () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const pick = random(seed), objects = [...one.objects];
      for (let i = 0; i <= pick(3); i++) {
        const at = pick(objects.length);
        objects[at] = mutate(objects[at], pick);
      }
      const { inputs, ambient } = routingWorld(objects), routing = new RoutingIndex(inputs, ambient);
      const known = (key: string) => one.test?.facts?.[key];
      const told = JSON.stringify(routing.statuses(known));
      for (const target of targetsOf(one)) {
        const compiler = new RuntimeCompiler();
        compiler.apply(routing.proxyConfig(target));
        for (const { current } of compiler.slots) {
          for (const problem of current!.problems) {
            // The proxy leaves out what authors were told of, and nothing else.
            const [, header] = /: ("[^"]*") cannot be changed$/.exec(problem) ?? [];
            const known = header && told.includes(JSON.stringify(`${header} belongs to the connection`).slice(1, -1));
            assert.ok(known, `seed ${seed}: nobody is told of ${problem}`);
          }
        }
        for (const resource of routing.proxyConfig(target)) {
          const key = proxyResourceKey(resource);
          try {
            decodeProxyResource(encodeProxyResource(resource));
          } catch (error) {
            assert.fail(`seed ${seed}: "${key}" is not a configuration: ${error}\n${JSON.stringify(resource)}`);
          }
        }
      }
      for (const status of routing.statuses(known)) {
        for (const { reason, message } of status.conditions ?? []) {
          assert.match(reason, /^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$/, `seed ${seed}`);
          assert.ok(message.length <= 32768);
        }
      }
    }
  });
}

Deno.test("routing: names of destinations, listeners and secrets that resources use are there", () => {
  for (const one of CASES) {
    const { inputs, ambient } = routingWorld(one.objects), routing = new RoutingIndex(inputs, ambient);
    for (const target of targetsOf(one)) {
      const config = routing.proxyConfig(target), names = new Set(config.map(proxyResourceKey));
      const uses: string[] = [];
      const add = (kind: string, name: string | undefined) => name && uses.push(`${kind}/${name}`);
      for (const resource of config) {
        if (resource.kind === "listener") {
          for (const { destination } of resource.tcp?.destinations ?? []) add("destination", destination);
          for (const name of [...resource.tls?.secrets ?? [], resource.tls?.caSecret]) add("secret", name);
        } else if (resource.kind === "virtualHost") {
          add("listener", resource.listener);
          for (const { action } of resource.routes) {
            if (action.kind !== "forward") continue;
            for (const { destination } of [...action.destinations, ...action.mirrors]) add("destination", destination);
          }
        } else if (resource.kind === "destination") add("secret", resource.tls?.secret);
        else if (resource.kind === "policy") {
          for (const name of resource.listeners) if (name !== "*") add("listener", name);
        }
      }
      assert.deepEqual(uses.filter((name) => !names.has(name)), [], one.name);
    }
  }
});
