import assert from "node:assert/strict";
import { parseSeries, readExposition } from "../../src/console/exposition.ts";

const LIMITS = { maxSeries: 100, maxLine: 200 };
const read = (text: string, limits = LIMITS) => readExposition(text, (name) => name.startsWith("x"), limits);

const LINES: readonly [name: string, text: string, samples: [string, number][], malformed?: number][] = [
  ["a sample with labels", 'x{a="b"} 1\n', [['x{a="b"}', 1]]],
  ["a sample without", "x 2.5", [["x", 2.5]]],
  ["comments, empty lines, other metrics", "# HELP x y\n\n# TYPE x counter\ny 1\nx 1\n# EOF\n", [["x", 1]]],
  ["a timestamp and an exemplar", 'x 1 1700000000\nxx 4 # {trace="1"} 1 1\n', [["x", 1], ["xx", 4]]],
  ["exponents", "x 1.5e+06\n", [["x", 1_500_000]]],
  ["CRLF", "x 1\r\nx2 2\r\n", [["x", 1], ["x2", 2]]],
  ["a brace, a quote and a hash in a value", 'x{a="}# \\" {"} 3', [['x{a="}# \\" {"}', 3]]],
  ["a label set that never ends", 'x{a="b" 1\nx 1', [["x", 1]], 1],
  ["a quote that never ends", 'x{a="b} 1\nx 1', [["x", 1]], 1],
  ["no value", "x{} \nx\nx 1", [["x", 1]], 2],
  ["no number", "x NaN\nx +Inf\nx one\nx 0x10\nx 1_000\nx 1", [["x", 1]], 5],
  ["below zero", "x -1\nx 1", [["x", 1]], 1],
  ["beyond numbers", "x 1e999\nx 1", [["x", 1]], 1],
  ["no name", '{a="b"} 1\n=x 1\nx 1', [["x", 1]], 2],
  ["a line too long", `x{a="${"b".repeat(300)}"} 1\nx 1`, [["x", 1]], 1],
  ["nothing", "", []],
  ["control characters", "\0\0\x01\nx 1", [["x", 1]], 1],
];

for (const [name, text, samples, malformed = 0] of LINES) {
  Deno.test(`readExposition(): ${name}`, () => {
    const found = read(text);
    assert.deepEqual(found.samples.map(({ series, value }) => [series, value]), samples);
    assert.equal(found.malformed, malformed);
    assert.equal(found.truncated, false);
  });
}

Deno.test("readExposition() takes no more samples than it may, and says so", () => {
  const text = Array.from({ length: 50 }, (_, i) => `x{i="${i}"} ${i}`).join("\n");
  const found = read(text, { ...LIMITS, maxSeries: 10 });
  assert.equal(found.samples.length, 10);
  assert.equal(found.truncated, true);
});

Deno.test("readExposition() survives bytes that were no text", () => {
  let seed = 1;
  const random = () => (seed = (seed * 48271) % 0x7fffffff) / 0x7fffffff;
  const alphabet = ['x{a="b"} 1', "{", "}", '"', "\\", ",", "=", " ", "\n", "x", "#", "\ufffd", "1", "__proto__"];
  for (let round = 0; round < 500; round++) {
    const text = Array.from({ length: 40 }, () => alphabet[Math.floor(random() * alphabet.length)]).join("");
    for (const { series, value } of read(text).samples) {
      assert.ok(Number.isFinite(value) && value >= 0, text);
      parseSeries(series);
    }
  }
});

const SERIES: readonly [name: string, series: string, expected: Record<string, string> | undefined][] = [
  ["no labels", "x", {}],
  ["an empty set", "x{}", {}],
  ["two labels and a comma at the end", 'x{a="1",b="2",}', { a: "1", b: "2" }],
  ["spaces", 'x{ a = "1" , b="2" }', { a: "1", b: "2" }],
  ["escapes", String.raw`x{a="\"\\\n"}`, { a: '"\\\n' }],
  ["names of JavaScript's own", 'x{__proto__="1",constructor="2"}', JSON.parse('{"__proto__":"1","constructor":"2"}')],
  ["a label twice", 'x{a="1",a="2"}', undefined],
  ["no comma", 'x{a="1"b="2"}', undefined],
  ["no quotes", "x{a=1}", undefined],
  ["a bad name", 'x{1a="1"}', undefined],
  ["a value too long", `x{a="${"b".repeat(1000)}"}`, undefined],
  ["too many labels", `x{${Array.from({ length: 70 }, (_, i) => `a${i}="1"`).join(",")}}`, undefined],
  ["no name", '{a="1"}', undefined],
];

for (const [name, series, expected] of SERIES) {
  Deno.test(`parseSeries(): ${name}`, () => {
    const found = parseSeries(series);
    if (expected === undefined) return assert.equal(found, undefined);
    assert.deepEqual([...found!.labels].sort(), Object.entries(expected).sort());
  });
}
