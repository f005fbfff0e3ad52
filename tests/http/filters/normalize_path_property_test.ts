import assert from "node:assert/strict";
import fc from "fast-check";
import { normalizePath } from "../../../src/http/filters/mod.ts";
import { compileL7Policy, L7PolicySet } from "../../../src/policy/http.ts";

const PIECES = [
  "/",
  "//",
  "\\",
  ".",
  "..",
  "%2e",
  "%2E",
  "%2f",
  "%5C",
  "%252f",
  "%25",
  "%",
  "%0",
  "admin",
  "%61dmin",
  "a",
  "A",
  ";x",
  "%00",
  " ",
  "\u00ff",
  "{",
  "~",
  "%7e",
];
const paths = fc.array(fc.constantFrom(...PIECES), { maxLength: 12 }).map((parts) => "/" + parts.join(""));

Deno.test("normalizePath(): whatever is sent, no dot segment, backslash or stray byte is left", () => {
  fc.assert(
    fc.property(paths, (path) => {
      for (const mode of ["BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"] as const) {
        const result = normalizePath(path, mode);
        if (result === undefined) continue;
        assert.ok(result.startsWith("/"), result);
        assert.doesNotMatch(result, /\/\.\.?(\/|$)|\\|[^\x21-\x7e]/, `${mode} ${path}`);
        assert.doesNotMatch(result, /\/(%2e|\.)(%2e|\.)?(\/|$)/i, `${mode} ${path}`);
        assert.equal(normalizePath(result, mode), result, `${mode} ${path}`);
        if (mode !== "BASE") assert.doesNotMatch(result, /\/\//, path);
        if (mode === "DECODE_AND_MERGE_SLASHES") assert.doesNotMatch(result, /%2f|%5c/i, path);
      }
    }),
    { numRuns: 3000, seed: 4 },
  );
});

Deno.test("a DENY by path prefix holds for all that a lenient backend would take for that path", () => {
  const set = new L7PolicySet([compileL7Policy({
    kind: "policy",
    name: "a/b",
    listeners: ["*"],
    action: "DENY",
    dryRun: false,
    rules: [{
      from: [],
      to: [{ paths: [{ kind: "exact", value: "/admin" }, { kind: "prefix", value: "/admin/" }] }],
      when: [],
    }],
  })]);
  const connection = {
    identity: undefined,
    principal: "",
    authenticated: false,
    peerIp: undefined,
    localIp: undefined,
    localPort: 80,
    sni: "",
  };
  fc.assert(
    fc.property(paths, (sent) => {
      const path = normalizePath(sent, "DECODE_AND_MERGE_SLASHES");
      if (path === undefined) return;
      const { allowed } = set.decide({
        connection,
        method: "GET",
        path,
        authority: "a",
        remoteIp: undefined,
        headerValues: () => [],
      });
      if (!allowed) return;
      // A backend that decodes once, turns backslashes round, merges slashes and resolves dots must not find /admin.
      let read = path;
      try {
        read = decodeURIComponent(path);
      } catch {
        // Escapes that are no UTF-8 stay.
      }
      // deno-lint-ignore no-control-regex -- what URL would leave out
      const merged = read.replaceAll("\\", "/").replace(/\/{2,}/g, "/").replace(/[\x00-\x20?#]/g, "_");
      const seen = new URL(`http://x${merged}`).pathname;
      if (/%25/i.test(path)) return; // asked for a percent sign: decoding that twice is the backend's own mistake
      assert.doesNotMatch(seen, /^\/admin(\/|$)/, `${sent} -> ${path}`);
    }),
    { numRuns: 3000, seed: 5 },
  );
});
