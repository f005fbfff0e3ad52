import assert from "node:assert/strict";
import { join, relative } from "node:path";
import { generate, SUPPORTED } from "../../scripts/gen.ts";

const GEN = join(import.meta.dirname!, "..", "..", "src", "gen");

async function files(dir: string, root = dir): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for await (const entry of Deno.readDir(dir)) {
    const path = join(dir, entry.name);
    if (entry.isDirectory) { for (const [name, text] of await files(path, root)) found.set(name, text); }
    else found.set(relative(root, path), await Deno.readTextFile(path));
  }
  return found;
}

Deno.test({
  name: `gen: src/gen is what proto/ generates${SUPPORTED ? "" : " (ignored: no buf executable for this machine)"}`,
  ignore: !SUPPORTED,
  async fn() {
    const out = await Deno.makeTempDir({ prefix: "ambientd-gen-test-" });
    try {
      await generate(out);
      const [fresh, committed] = [await files(out), await files(GEN)];
      assert.deepEqual([...committed.keys()].sort(), [...fresh.keys()].sort());
      for (const [name, text] of fresh) {
        assert.equal(committed.get(name), text, `${name} is out of date: run deno task gen`);
      }
    } finally {
      await Deno.remove(out, { recursive: true });
    }
  },
});
