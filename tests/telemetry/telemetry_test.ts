import assert from "node:assert/strict";
import { bare, Logger, LogLevels } from "../../src/telemetry/logger.ts";
import { LimitedLog } from "../../src/telemetry/limited_log.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { Registry } from "../../src/telemetry/metrics.ts";

function capture(options: { json?: boolean; levels?: LogLevels } = {}): { log: Logger; lines: string[] } {
  const lines: string[] = [];
  const now = () => new Date("2031-02-03T04:05:06.789Z");
  return { lines, log: new Logger("access", { ...options, now, sink: { write: (line) => lines.push(line) } }) };
}

Deno.test("Logger writes ztunnel's text layout: bare addresses and numbers, quoted strings, absent fields left out", () => {
  const { log, lines } = capture();
  log.info("connection complete", {
    "src.addr": bare("10.9.0.14:51022"),
    name: "cart",
    none: undefined,
    bytes_sent: 310,
  });
  assert.deepEqual(lines, [
    '2031-02-03T04:05:06.789000Z\tinfo\taccess\tconnection complete\tsrc.addr=10.9.0.14:51022 name="cart" bytes_sent=310',
  ]);
});

Deno.test("Logger keeps one record on one line whatever a peer sends", () => {
  const { log, lines } = capture();
  log.warn("bad\nname\r\u0000", { peer: 'x"\n2031 forged', addr: bare("1.2.3.4\nforged") });
  assert.equal(lines.length, 1);
  assert.ok(["\n", "\r", "\u0000"].every((c) => !lines[0].includes(c)), lines[0]);
});

Deno.test("Logger writes JSON with the same fields", () => {
  const { log, lines } = capture({ json: true });
  log.error("m", { a: 1, addr: bare("1.2.3.4:5") });
  assert.deepEqual(JSON.parse(lines[0]), {
    level: "error",
    time: "2031-02-03T04:05:06.789000Z",
    scope: "access",
    message: "m",
    a: 1,
    addr: "1.2.3.4:5",
  });
});

Deno.test("LogLevels.apply() sets the default and single scopes, and refuses what it does not know whole", () => {
  const levels = new LogLevels("info");
  assert.equal(levels.apply("debug"), undefined);
  assert.equal(levels.apply("access:off,xds=trace"), undefined);
  assert.ok(!levels.enabled("access", "error"));
  assert.ok(levels.enabled("xds", "trace") && levels.enabled("other", "debug"));
  assert.match(levels.apply("warn,access:loud")!, /"loud" is not a log level/);
  assert.ok(levels.enabled("other", "debug"), "a refused text changes nothing");
  levels.reset();
  assert.equal(levels.toString(), "info");
});

Deno.test("Registry.expose() writes the Prometheus text format and escapes label values", () => {
  const registry = new Registry();
  const requests = registry.counter("requests_total", "Requests", ["path"]);
  requests.with('a"b\\c\n').inc(2);
  registry.gauge("up", "Up").with().set(1);
  const seconds = registry.histogram("seconds", "Time", [0.1, 1]);
  seconds.with().observe(0.05);
  seconds.with().observe(5);
  assert.equal(
    registry.expose(),
    '# HELP requests_total Requests\n# TYPE requests_total counter\nrequests_total{path="a\\"b\\\\c\\n"} 2\n' +
      "# HELP up Up\n# TYPE up gauge\nup 1\n# HELP seconds Time\n# TYPE seconds histogram\n" +
      'seconds_bucket{le="0.1"} 1\nseconds_bucket{le="1"} 1\nseconds_bucket{le="+Inf"} 2\nseconds_sum 5.05\nseconds_count 2\n',
  );
  registry.counter("pilot_xds_pushes", "A counter as Istio names it").with().inc();
  const open = registry.expose(true);
  assert.ok(open.includes("# TYPE pilot_xds_pushes unknown\npilot_xds_pushes 1\n"));
  assert.ok(open.includes("# TYPE requests counter\n") && open.endsWith("# EOF\n"));
});

Deno.test("Metric.with() counts in one overflow series past its bound", () => {
  const registry = new Registry();
  const metric = registry.counter("m_total", "M", ["peer"], 2);
  for (const peer of ["a", "b", "c", "d"]) metric.with(peer).inc();
  assert.deepEqual([...metric.series()].map(({ labels, cell }) => [labels[0], cell.value]), [["a", 1], ["b", 1], [
    "overflow",
    2,
  ]]);
});

Deno.test("LimitedLog writes ten lines of a kind each second, then how many it left out", () => {
  const { log, lines } = capture(), clock = new FakeClock(), limited = new LimitedLog(log, clock);
  const told = () =>
    lines.splice(0).map((line) => line.split("\t").slice(1).filter((part) => part !== "access").join(" "));
  for (let i = 0; i < 25; i++) limited.log("info", "refused", { i });
  limited.log("warn", "other");
  const ten = (from: number) => Array.from({ length: 10 }, (_, i) => `info refused i=${from + i}`);
  assert.deepEqual(told(), [...ten(0), "warn other"]);
  clock.advance(999);
  limited.log("info", "refused", { i: 25 });
  assert.deepEqual(told(), []);
  clock.advance(1);
  assert.deepEqual(told(), ["info refused: more of these were not logged count=16"]);
  for (let i = 0; i < 10; i++) limited.log("info", "refused", { i });
  assert.deepEqual(told(), ten(0));
  clock.advance(5000);
  assert.deepEqual(told(), [], "nothing left out, nothing told");
  // Another kind of the same message; a level that is off counts nothing.
  for (let i = 0; i < 11; i++) {
    limited.log("info", "refused", { i }, "404");
    limited.log("debug", "quiet");
  }
  assert.deepEqual(told(), ten(0));
  limited.log("info", "refused");
  assert.deepEqual(told(), ["info refused"]);
  clock.advance(1000);
  assert.deepEqual(told(), ["info refused: more of these were not logged count=1"]);
});
