import assert from "node:assert/strict";
import { cleanFileMappings, releaseText } from "../../src/sys/text_pages.ts";

const SMAPS = `55d0c0000000-55d0c1000000 r-xp 00001000 fe:00 77                         /usr/bin/deno
Size:              16384 kB
Rss:               12000 kB
Anonymous:             0 kB
55d0c1000000-55d0c1100000 r--p 01001000 fe:00 77                         /usr/bin/deno
Rss:                1024 kB
Anonymous:          1024 kB
55d0c1100000-55d0c1200000 rw-p 01101000 fe:00 77                         /usr/bin/deno
Rss:                 512 kB
Anonymous:             0 kB
7f0000000000-7f0000001000 r--s 00000000 fe:00 80                         /root/.cache/deno/v8_code_cache_v2
Rss:                   4 kB
Anonymous:             0 kB
7f0000002000-7f0000003000 r-xp 00000000 00:00 0                          [vdso]
Rss:                   4 kB
Anonymous:             0 kB
`;

Deno.test("cleanFileMappings() names files' read-only private mappings without relocated pages", () => {
  assert.deepEqual(cleanFileMappings(SMAPS).map(({ start, bytes }) => [start, bytes]), [
    [0x55d0c0000000n, 0x1000000n],
  ]);
  assert.deepEqual(cleanFileMappings(""), []);
  assert.deepEqual(cleanFileMappings("Rss: 12 kB\nnonsense\n"), []);
});

Deno.test("releaseText() drops pages of the executable, and the process goes on", () => {
  const resident = () => Deno.memoryUsage().rss;
  const before = resident();
  assert.ok(releaseText() > 1024 * 1024);
  assert.ok(resident() < before - 4 * 1024 * 1024, `${resident()} of ${before} bytes`);
  // Code that has not run for a while, and code that runs all the time, both come back.
  assert.deepEqual(JSON.parse(JSON.stringify({ a: [1, "two", null] })), { a: [1, "two", null] });
  assert.match(new Intl.DateTimeFormat("de").format(new Date(0)), /1970/);
  assert.equal(new RegExp("^(a|b)+$").test("abab"), true);
});
