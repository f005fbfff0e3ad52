// The pages in a real browser: what is drawn, and that names stay text.

import assert from "node:assert/strict";
import { RESOURCES } from "../../src/kube/mod.ts";
import { eventually } from "../support/eventually.ts";
import { consoleLab } from "./lab.ts";
import { connections, refusal } from "./support.ts";

const BROWSER = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find((path) => {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
});

const FLAGS = [
  "--headless=new",
  "--no-sandbox",
  "--disable-gpu",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--enable-logging=stderr",
  "--window-size=1400,900",
  "--virtual-time-budget=4000",
  "--dump-dom",
];

/** The document as the browser has it after a while, and what its console said of mistakes. */
async function look(url: string): Promise<{ dom: string; mistakes: string[] }> {
  const profile = await Deno.makeTempDir({ prefix: "ambientd-browser-" });
  try {
    const { stdout, stderr } = await new Deno.Command(BROWSER!, {
      args: [...FLAGS, `--user-data-dir=${profile}`, url],
      env: { HOME: profile },
      signal: AbortSignal.timeout(60_000),
    }).output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    return {
      dom: text(stdout),
      mistakes: text(stderr).split("\n").filter((line) => /CONSOLE.*(Uncaught|Refused|violates)/.test(line)),
    };
  } finally {
    await Deno.remove(profile, { recursive: true }).catch(() => {});
  }
}

const HOSTILE = "<img src=x onerror=alert(1)>";

Deno.test({
  name: `console: what a browser draws${BROWSER ? "" : " (ignored: there is no chromium here)"}`,
  ignore: BROWSER === undefined,
  fn: async (t) => {
    await using it = await consoleLab();
    const show = async (path: string, ...expected: RegExp[]) => {
      await eventually(async () => {
        const { dom, mistakes } = await look(`${it.url}/kiali/console/${path}`);
        assert.deepEqual(mistakes, []);
        for (const pattern of expected) assert.ok(pattern.test(dom), `${path} shows ${pattern}`);
        assert.ok(!/<img/i.test(dom), "names are text");
      }, 60_000);
    };

    await t.step(
      "the page Applications says out of mesh",
      () => show("applications", /out of mesh/, /2 applications, 2 out of mesh/),
    );

    await t.step("the graph has padlocks, refusals, and names that are text", async () => {
      for (const name of ["sleep", "productpage-v1"]) {
        const annotations = { "ambient.istio.io/redirection": "enabled" };
        await it.client.patch(RESOURCES.pods, "default", name, "merge", { metadata: { annotations } });
      }
      const call = { reporter: "destination", to: "productpage-v1 v1", service: "productpage" } as const;
      it.metrics = [
        connections({ ...call, from: "sleep" }, 12),
        connections({ ...call, from: "notsleep", flags: "DENY" }, 3),
        refusal("default/viewer", "notsleep", "productpage-v1", 3),
        connections({ ...call, from: HOSTILE.replaceAll(" ", "\t") }, 4),
      ].join("\n");
      await show(
        "graph/namespaces?namespaces=default&security=true",
        /data-mtls="true"/,
        /class="edge tcp denied/,
        /&lt;img/,
        />productpage</,
      );
    });
  },
});
