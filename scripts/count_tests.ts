// Prints `N passed, N failed, N skipped` from a JUnit report, and fails when no test ran.

const path = Deno.args[0];
let xml = "";
try {
  xml = await Deno.readTextFile(path);
} catch (cause) {
  console.error(`no test report at "${path}": ${(cause as Error).message}`);
}

let passed = 0, failed = 0, skipped = 0;
for (const [, attributes, rest] of xml.matchAll(/<testcase\b([^>]*?)(\/>|>[\s\S]*?<\/testcase>)/g)) {
  // Deno reports each step as a case of its own; only whole tests are counted.
  if (/\bclassname="[^"]* > /.test(attributes) || /\bname="[^"]* &gt; /.test(attributes)) continue;
  if (/<skipped\b/.test(rest)) skipped++;
  else if (/<(failure|error)\b/.test(rest)) failed++;
  else passed++;
}
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
if (passed + failed === 0) Deno.exit(1);
