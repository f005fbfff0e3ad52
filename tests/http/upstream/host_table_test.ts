import assert from "node:assert/strict";
import { HostTable, type PlacedHost } from "../../../src/http/upstream/host_table.ts";
import { hashText } from "../../../src/http/upstream/balancer/mod.ts";
import { Host } from "../../../src/http/upstream/host.ts";
import { covers, place } from "../../../src/http/upstream/locality.ts";
import type { LoadBalancing, Locality, LocalityBalancing } from "../../../src/model/mod.ts";
import { workload } from "../../support/model.ts";
import { hostSpec, seeded } from "./support.ts";

const locality = (text: string): Locality => {
  const [region = "", zone = "", subzone = ""] = text.split("/");
  return { region, zone, subzone };
};

/** `n` hosts per entry, of which the first `ill` may not be chosen. */
function placed(levels: { n: number; ill?: number; priority: number; rule?: number }[]): PlacedHost[] {
  let serial = 0;
  return levels.flatMap(({ n, ill = 0, priority, rule = 0 }) =>
    Array.from({ length: n }, (_, i) => {
      const host = new Host(hostSpec(`10.0.0.${++serial}`, { healthy: i >= ill }), 0);
      host.priority = priority;
      return { host, priority, rule };
    })
  );
}

function sharesBy(among: PlacedHost[], table: HostTable, key: (one: PlacedHost) => number, avoid = 0): number[] {
  const counts: number[] = [];
  for (let i = 0; i < 10_000; i++) {
    const host = table.choose(0, avoid);
    if (host === null) return [];
    const at = key(among.find((one) => one.host === host)!);
    counts[at] = (counts[at] ?? 0) + 1;
  }
  return Array.from(counts, (count) => Math.round((count ?? 0) / 100));
}

/** Percent of the traffic per priority. Envoy's documentation has these tables (priority levels, panic threshold). */
const PRIORITIES: [string, { n: number; ill?: number; priority: number }[], panic: number, want: number[]][] = [
  ["all healthy", [{ n: 4, priority: 0 }, { n: 4, priority: 1 }], 0, [100]],
  ["72 % healthy is enough", [{ n: 25, ill: 7, priority: 0 }, { n: 4, priority: 1 }], 0, [100]],
  ["half healthy", [{ n: 10, ill: 5, priority: 0 }, { n: 4, priority: 1 }], 0, [70, 30]],
  ["a quarter healthy", [{ n: 4, ill: 3, priority: 0 }, { n: 4, priority: 1 }], 0, [35, 65]],
  ["none healthy", [{ n: 4, ill: 4, priority: 0 }, { n: 4, priority: 1 }], 0, [0, 100]],
  ["a quarter each is 70: normalized", [{ n: 4, ill: 3, priority: 0 }, { n: 4, ill: 3, priority: 1 }], 0, [50, 50]],
  ["nobody at all", [{ n: 4, ill: 4, priority: 0 }, { n: 2, ill: 2, priority: 1 }], 0, []],
  ["panic: everybody is used", [{ n: 4, ill: 4, priority: 0 }], 50, [100]],
  ["no panic while others are well", [{ n: 4, ill: 4, priority: 0 }, { n: 4, priority: 1 }], 50, [0, 100]],
];

for (const [name, levels, panic, want] of PRIORITIES) {
  Deno.test(`host table: priorities, ${name}`, () => {
    const among = placed(levels);
    const table = new HostTable(among, { policy: "RANDOM" }, undefined, panic, { now: 0 }, seeded(3));
    const got = sharesBy(among, table, ({ priority }) => priority);
    assert.equal(got.length, want.length);
    got.forEach((share, i) => assert.ok(Math.abs(share - want[i]) <= 2, `${got} is not ${want}`));
  });
}

Deno.test("host table: a retry may keep away from the priorities it has tried", () => {
  const among = placed([{ n: 2, priority: 0 }, { n: 2, priority: 1 }, { n: 2, priority: 2 }]);
  const table = new HostTable(among, { policy: "RANDOM" }, undefined, 0, { now: 0 }, seeded());
  assert.deepEqual(sharesBy(among, table, ({ priority }) => priority, 0b001), [0, 100]);
  assert.deepEqual(sharesBy(among, table, ({ priority }) => priority, 0b011), [0, 0, 100]);
  assert.deepEqual(sharesBy(among, table, ({ priority }) => priority, 0b111), [100], "all tried: as at first");
});

Deno.test("host table: localities by weight; one that loses hosts loses traffic", () => {
  const well = placed([{ n: 2, priority: 0, rule: 0 }, { n: 2, priority: 0, rule: 1 }]);
  const make = (among: PlacedHost[]) =>
    new HostTable(among, { policy: "ROUND_ROBIN" }, [80, 20], 0, { now: 0 }, seeded());
  const [near] = sharesBy(well, make(well), ({ rule }) => rule);
  assert.ok(Math.abs(near - 80) <= 2, `${near}`);
  // Half of the first are ill: 80 * 0.7 against 20.
  const ill = placed([{ n: 4, ill: 2, priority: 0, rule: 0 }, { n: 2, priority: 0, rule: 1 }]);
  const [less] = sharesBy(ill, make(ill), ({ rule }) => rule);
  assert.ok(Math.abs(less - 74) <= 2, `${less}`);
});

Deno.test("host table: a hash keeps its priority, its locality and its host", () => {
  const config = {
    policy: "CONSISTENT_HASH",
    hash: { on: { kind: "sourceIp" }, algorithm: "MAGLEV", size: 101 },
  } as const;
  const priorities = placed([{ n: 10, ill: 5, priority: 0 }, { n: 4, priority: 1 }]);
  const localities = placed([{ n: 2, priority: 0, rule: 0 }, { n: 2, priority: 0, rule: 1 }]);
  for (const [among, weights] of [[priorities, undefined], [localities, [50, 50]]] as const) {
    const table = new HostTable(among, config, weights, 0, { now: 0 }, seeded());
    const seen = new Set<unknown>();
    for (let i = 0; i < 200; i++) {
      const hash = hashText(`client-${i}`), host = table.choose(hash, 0);
      seen.add(host);
      for (let again = 0; again < 5; again++) assert.equal(table.choose(hash, 0), host);
    }
    assert.equal(seen.size, among.filter(({ host }) => host.available).length, "all are used");
  }
});

const SELF = workload("self", "10.9.9.9", { locality: locality("r1/z1/s1"), node: "node-1" });
const PLACES = ["r1/z1/s1", "r1/z1/s2", "r1/z2/s1", "r2/z1/s1", "r3/z1/s1", ""];
const SPECS = PLACES.map((text, i) =>
  hostSpec(`10.0.0.${i + 1}`, {
    locality: text === "" ? undefined : locality(text),
    workload: workload(`w${i}`, `10.0.0.${i + 1}`, {
      locality: text === "" ? undefined : locality(text),
      node: i === 0 ? "node-1" : "node-2",
    }),
  })
);

function setting(extra: Partial<LocalityBalancing>): LocalityBalancing {
  return { failover: [], failoverEnabled: true, distribute: [], ...extra };
}

const scopes = (mode: LoadBalancing["mode"], ...routingPreference: LoadBalancing["routingPreference"]) =>
  ({ mode, routingPreference, healthPolicy: "ONLY_HEALTHY" }) satisfies LoadBalancing;

const CLOSE = scopes("FAILOVER", "NETWORK", "REGION", "ZONE", "SUBZONE");

/** Priorities in the order of PLACES; `-` for hosts that get nothing. */
const PLACEMENTS: [string, LocalityBalancing | undefined, LoadBalancing | undefined, string][] = [
  ["nothing said", undefined, undefined, "0 0 0 0 0 0"],
  ["failover by distance", setting({}), undefined, "0 1 2 3 3 3"],
  ["failover to a region first", setting({ failover: [{ from: "r1", to: "r3" }] }), CLOSE, "0 1 2 4 3 4"],
  [
    "failover by priorities, whatever the service prefers",
    setting({ priorities: [{ scope: "REGION" }, { scope: "ZONE", value: "z2" }, { scope: "SUBZONE" }] }),
    CLOSE,
    "1 1 0 2 2 2",
  ],
  ["failover switched off", setting({ failoverEnabled: false }), undefined, "0 0 0 0 0 0"],
  ["PreferClose", undefined, CLOSE, "0 1 2 3 3 3"],
  ["PreferSameZone", undefined, scopes("FAILOVER", "ZONE"), "0 0 1 0 0 1"],
  [
    "PreferSameNode, with the failover that outlier detection brings",
    setting({}),
    scopes("FAILOVER", "NODE"),
    "0 1 1 1 1 1",
  ],
  ["strict", undefined, scopes("STRICT", "NODE"), "0 - - - - -"],
  ["no preference", setting({}), scopes("UNSPECIFIED"), "0 1 2 3 3 3"],
  [
    "distribution: others get nothing",
    setting({ distribute: [{ from: "r1/z1/*", to: { "r1/*": 80, "r2/z1/s1": 20 } }] }),
    CLOSE,
    "0 0 0 0 - -",
  ],
  [
    "distribution from elsewhere",
    setting({ distribute: [{ from: "r2", to: { "r1/*": 100 } }] }),
    undefined,
    "0 1 2 3 3 3",
  ],
];

for (const [name, own, service, want] of PLACEMENTS) {
  Deno.test(`locality: ${name}`, () => {
    const { of } = place(SPECS, own, service, SELF);
    assert.equal(of.map((one) => one?.priority ?? "-").join(" "), want);
  });
}

Deno.test("locality: distribution by the most precise rule; unknown ourselves, everything is near", () => {
  const own = setting({ distribute: [{ from: "r1", to: { "r1/*": 10, "r1/z1/s2": 30, "*": 60 } }] });
  const { of, weights } = place(SPECS, own, undefined, SELF);
  assert.deepEqual(of.map((one) => one?.rule), [0, 1, 0, 2, 2, undefined]);
  assert.deepEqual(weights, [10, 30, 60]);
  const unknown = place(SPECS, own, undefined, undefined);
  assert.equal(unknown.weights, undefined);
  assert.deepEqual(unknown.of.map((one) => one?.priority), [0, 0, 0, 0, 0, 0]);
});

Deno.test("locality: patterns", () => {
  const table: [string, string, boolean][] = [
    ["r1", "r1/z1/s1", true],
    ["r1/*", "r1/z1/s1", true],
    ["r1/z1/*", "r1/z2/s1", false],
    ["r1/z1/s1", "r1/z1/s1", true],
    ["*", "r2", true],
    ["r1/z1", "r1", false],
  ];
  for (const [pattern, text, want] of table) assert.equal(covers(pattern, locality(text)), want, `${pattern} ${text}`);
});
