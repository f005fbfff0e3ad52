import assert from "node:assert/strict";
import { OutlierDetector } from "../../../src/http/upstream/outlier.ts";
import type { Host } from "../../../src/http/upstream/mod.ts";
import type { OutlierDetection } from "../../../src/model/mod.ts";
import { FakeClock } from "../../support/fake_clock.ts";
import { hosts } from "./support.ts";

const DEFAULTS: OutlierDetection = {
  consecutive5xx: 5,
  consecutiveGatewayErrors: 0,
  consecutiveLocalOriginFailures: 5,
  splitExternalLocalOriginErrors: false,
  intervalMs: 10_000,
  baseEjectionMs: 30_000,
  maxEjectionPercent: 10,
  minHealthPercent: 0,
};

function detector(among: Host[], extra: Partial<OutlierDetection> = {}) {
  const clock = new FakeClock();
  let changes = 0;
  const detector = new OutlierDetector({ ...DEFAULTS, ...extra }, clock, () => among, () => changes++);
  return { detector, clock, changes: () => changes };
}

/** Statuses, `L` a failure to reach the host, `T` a time-out, `S` a success in reaching it; and whether it is out after them. */
const SEQUENCES: [string, Partial<OutlierDetection>, (number | "L" | "T" | "S")[], boolean][] = [
  ["four 5xx", {}, [500, 500, 500, 500], false],
  ["five 5xx", {}, [500, 501, 502, 503, 504], true],
  ["a success between", {}, [500, 500, 200, 500, 500, 500], false],
  ["404 is a success", {}, [500, 500, 500, 500, 404, 500], false],
  ["failures to reach it count as 5xx", {}, ["L", "L", "T", "L", 500], true],
  ["sending alone proves nothing", {}, [500, "S", 500, "S", 500, "S", 500, "S", 500], true],
  ["gateway errors by their own count", { consecutive5xx: 0, consecutiveGatewayErrors: 2 }, [502, 503], true],
  ["500 is no gateway error", { consecutive5xx: 0, consecutiveGatewayErrors: 2 }, [502, 500, 502], false],
  ["a time-out is one", { consecutive5xx: 0, consecutiveGatewayErrors: 2 }, ["T", "L"], true],
  ["both off", { consecutive5xx: 0 }, [500, 502, 503, 504, 500, 503, 503, 503], false],
  [
    "told apart: failures do not add to 5xx",
    { splitExternalLocalOriginErrors: true },
    ["L", "L", "L", 500, 500],
    false,
  ],
  ["told apart: five failures", { splitExternalLocalOriginErrors: true }, ["L", 200, "L", "L", "L", "T"], true],
  [
    "told apart: a connection proves it",
    { splitExternalLocalOriginErrors: true },
    ["L", "L", "L", "S", "L", "L"],
    false,
  ],
  ["no host may go", { maxEjectionPercent: 0 }, [500, 500, 500, 500, 500], false],
];

for (const [name, extra, sequence, want] of SEQUENCES) {
  Deno.test(`outlier: ${name}`, () => {
    const among = hosts(1, 1, 1);
    const { detector: one, changes } = detector(among, extra);
    for (const step of sequence) {
      if (step === "L" || step === "T") one.onLocalFailure(among[0], step === "T");
      else if (step === "S") one.onLocalSuccess(among[0]);
      else one.onStatus(among[0], step);
    }
    assert.equal(among[0].ejected, want);
    assert.equal(one.ejected, want ? 1 : 0);
    assert.equal(changes(), want ? 1 : 0);
    one.close();
  });
}

function fail(one: OutlierDetector, host: Host): void {
  for (let i = 0; i < 5; i++) one.onStatus(host, 500);
}

Deno.test("outlier: an ejection ends at a sweep after its time, the next one lasts longer, and good conduct shortens again", () => {
  const among = hosts(1, 1);
  const { detector: one, clock } = detector(among);
  fail(one, among[0]);
  clock.advance(29_000);
  assert.equal(among[0].ejected, true);
  clock.advance(1_000);
  assert.equal(among[0].ejected, false);
  fail(one, among[0]);
  clock.advance(50_000);
  assert.equal(among[0].ejected, true, "sixty seconds this time");
  clock.advance(10_000);
  assert.equal(among[0].ejected, false);
  // Two sweeps without ejection forgive both.
  clock.advance(20_000);
  fail(one, among[0]);
  clock.advance(30_000);
  assert.equal(among[0].ejected, false);
  one.close();
  assert.equal(clock.pending, 0);
});

Deno.test("outlier: an ejection never lasts longer than five minutes", () => {
  const among = hosts(1);
  const { detector: one, clock } = detector(among, { baseEjectionMs: 200_000 });
  fail(one, among[0]);
  clock.advance(200_000);
  assert.equal(among[0].ejected, false);
  fail(one, among[0]);
  clock.advance(300_000);
  assert.equal(among[0].ejected, false);
  one.close();
});

Deno.test("outlier: no more than the allowed share is out at once, and one always may be", () => {
  const table: [count: number, percent: number, want: number][] = [[3, 10, 1], [10, 10, 1], [10, 50, 5], [4, 100, 4], [
    10,
    25,
    3,
  ]];
  for (const [count, maxEjectionPercent, want] of table) {
    const among = hosts(...new Array(count).fill(1));
    const { detector: one } = detector(among, { maxEjectionPercent });
    for (const host of among) fail(one, host);
    assert.equal(among.filter((host) => host.ejected).length, want, `${count} hosts, ${maxEjectionPercent} %`);
    one.close();
  }
});

Deno.test("outlier: a host that leaves makes room for another ejection", () => {
  const among = hosts(1, 1, 1);
  const { detector: one } = detector(among);
  fail(one, among[0]);
  fail(one, among[1]);
  assert.deepEqual(among.map((host) => host.ejected), [true, false, false]);
  const [gone] = among.splice(0, 1);
  one.forget(gone);
  fail(one, among[0]);
  assert.deepEqual(among.map((host) => host.ejected), [true, false]);
  one.close();
});
