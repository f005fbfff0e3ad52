import assert from "node:assert/strict";
import { HISTORY_LIMITS, TrafficHistory } from "../../src/console/history.ts";
import {
  connections,
  GATEWAY,
  historyOf,
  line,
  refusal,
  requests,
  START,
  type Told,
  WAYPOINT,
  ZTUNNEL,
} from "./support.ts";

const CALL: Told = { reporter: "destination", from: "sleep", to: "productpage-v1 v1", service: "productpage" };
const opened = (value: number) => line("istio_tcp_connections_opened_total", CALL, value);
const sum = (history: TrafficHistory, windowMs: number, nowMs: number) =>
  history.active(windowMs, nowMs).reduce((total, { counts }) => total + counts.opened, 0);

Deno.test("TrafficHistory: what a proxy had counted before it was first read is no traffic", () => {
  const history = new TrafficHistory(START);
  history.record(ZTUNNEL, opened(500), START);
  assert.deepEqual(history.active(60_000, START), []);
  history.record(ZTUNNEL, opened(503), START + 5_000);
  assert.equal(sum(history, 60_000, START + 5_000), 3);
});

Deno.test("TrafficHistory: a proxy that began later is counted from its beginning", () => {
  const history = new TrafficHistory(START);
  history.record({ ...ZTUNNEL, startedAtMs: START + 1 }, opened(5), START + 5_000);
  assert.equal(sum(history, 60_000, START + 5_000), 5);
});

Deno.test("TrafficHistory: a series that appears on a known proxy counts from zero, a counter that falls too", () => {
  const history = new TrafficHistory(START);
  history.record(ZTUNNEL, "", START);
  history.record(ZTUNNEL, opened(4), START + 5_000);
  history.record(ZTUNNEL, opened(1), START + 10_000);
  assert.equal(sum(history, 60_000, START + 10_000), 5);
  // Gone for one reading, as after a restart, and back.
  history.record(ZTUNNEL, "", START + 15_000);
  history.record(ZTUNNEL, opened(2), START + 20_000);
  assert.equal(sum(history, 60_000, START + 20_000), 7);
});

Deno.test("TrafficHistory: windows end", () => {
  const history = new TrafficHistory(START);
  history.record(ZTUNNEL, "", START);
  for (let i = 1; i <= 120; i++) history.record(ZTUNNEL, opened(i), START + i * 30_000);
  const now = START + 3_600_000;
  const about = (windowMs: number, at: number, expected: number) => {
    const found = sum(history, windowMs, at);
    assert.ok(Math.abs(found - expected) <= 1, `${found} within ${windowMs}`);
  };
  about(60_000, now, 2);
  about(60_000, now + 29_000, 1);
  about(300_000, now, 10);
  about(300_000, now + 100_000, 7);
  about(3_600_000, now, 120);
  assert.equal(sum(history, 60_000, now + 200_000), 0);
  assert.deepEqual(history.active(60_000, now + 200_000), []);
  assert.equal(history.coveredSeconds(60_000, START + 20_000), 20);
  assert.equal(history.coveredSeconds(60_000, now), 60);
});

Deno.test("TrafficHistory: one flow has all counters of its labels side by side", () => {
  const [flow, ...more] = historyOf([WAYPOINT, requests({ ...CALL, reporter: "waypoint" }, 5)]).active(
    60_000,
    START + 10_000,
  );
  assert.deepEqual(more, []);
  assert.equal(flow.counts.requests, 5);
  assert.equal(flow.counts.durationMs, 40);
  assert.equal(flow.waypoint, "default/waypoint");
  assert.equal(flow.flow.source.app, "sleep");
  assert.equal(flow.flow.destination.version, "v1");
});

Deno.test("TrafficHistory: proxies of users tell of themselves only", () => {
  const other = requests({ ...CALL, reporter: "source", from: "sleep" }, 5);
  const self = requests({ ...CALL, reporter: "source", from: "bookinfo-gateway-istio" }, 5);
  const asWaypoint = requests({ ...CALL, reporter: "waypoint" }, 5);
  const denied = refusal("default/p", "sleep", "productpage-v1", 5);
  for (
    const [source, text, flows] of [
      [GATEWAY, other, 0],
      [GATEWAY, self, 1],
      [GATEWAY, asWaypoint, 0],
      [GATEWAY, denied, 0],
      [WAYPOINT, asWaypoint, 1],
      [WAYPOINT, connections(CALL, 1), 0],
      [ZTUNNEL, asWaypoint, 0],
      [ZTUNNEL, denied, 1],
      [ZTUNNEL, connections(CALL, 1), 1],
    ] as const
  ) {
    assert.equal(historyOf([source, text]).active(60_000, START + 10_000).length, flows, `${source.kind}: ${text}`);
  }
});

Deno.test("TrafficHistory: memory is bounded, and what is left out is said", () => {
  const history = new TrafficHistory(START, { ...HISTORY_LIMITS, maxFlows: 10, maxSeries: 50 });
  const many = (count: number) =>
    Array.from({ length: count }, (_, i) => line("istio_tcp_connections_opened_total", { ...CALL, from: `w${i}` }, 1))
      .join("\n");
  assert.equal(history.record(ZTUNNEL, many(10), START).truncated, false);
  assert.equal(history.record(ZTUNNEL, many(40), START + 5_000).truncated, true);
  assert.equal(history.record(ZTUNNEL, many(100), START + 10_000).series, 50);
  assert.equal(history.flows, 10);
  // Gone for longer than any window: there is room again.
  history.prune(new Set(), START + 4_000_000);
  assert.equal(history.flows, 0);
});

Deno.test("TrafficHistory: what is malformed is left out and counted", () => {
  const history = historyOf([ZTUNNEL, ""]);
  const text = `${opened(1)}\nistio_requests_total{reporter="waypoint"\nistio_requests_total{a="1",a="2"} 1\n` +
    `istio_requests_total{reporter="nobody"} 5\nistio_requests_total 7`;
  const { malformed, series } = history.record(ZTUNNEL, text, START + 15_000);
  assert.equal(malformed, 2);
  assert.equal(series, 4);
  assert.equal(history.active(60_000, START + 15_000).length, 1);
});
