// Types every command of docs/cookbook.md, in order, on one cluster.

import assert from "node:assert/strict";
import { NO_CLUSTER, TestCluster } from "../support/cluster.ts";
import { eventually } from "../support/eventually.ts";
import { NO_KUBECTL, UserShell } from "../support/user_shell.ts";

interface Block {
  readonly command: string;
  /** What the command prints, once it has taken effect; `…` stands for anything. */
  readonly answer?: string;
}

interface Recipe {
  readonly title: string;
  readonly blocks: Block[];
}

const PAGE = new URL("../../docs/cookbook.md", import.meta.url);
const ANSWER_MS = 30_000;

/** The recipes of the page: what stands before the first title is the preparation. */
function recipes(markdown: string): Recipe[] {
  return markdown.split(/^## /m).map((section, index) => {
    const title = index === 0 ? "preparation" : section.slice(0, section.indexOf("\n"));
    const blocks: Block[] = [];
    for (const [, language, text] of section.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)) {
      if (language === "sh") blocks.push({ command: text });
      else if (language === "text" && blocks.length > 0) blocks.push({ ...blocks.pop()!, answer: text });
      else throw new Error(`a block of "${language}" in "${title}": only sh, and text after it, can be checked`);
    }
    return { title, blocks };
  });
}

/** The lines of the answer in their order, other lines between them allowed. */
function pattern(answer: string): RegExp {
  const quote = (text: string) => text.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");
  const lines = answer.trimEnd().split("\n").map((line) => `^${line.split("…").map(quote).join(".*")}$`);
  return new RegExp(lines.join("[\\s\\S]*?"), "m");
}

async function cook(shell: UserShell, blocks: readonly Block[]): Promise<void> {
  for (const { command, answer } of blocks) {
    if (answer === undefined) await shell.type(command);
    else {
      await eventually(async () => {
        const { stdout, stderr } = await shell.run(command);
        assert.match(stdout, pattern(answer), `$ ${command}\n${stdout}${stderr}`);
      }, ANSWER_MS);
    }
  }
}

const missing = NO_CLUSTER ?? NO_KUBECTL;

Deno.test({
  name: `docs/cookbook.md: every command does what the page says${missing ? ` (ignored: ${missing})` : ""}`,
  ignore: missing !== undefined,
  fn: async (t) => {
    await using cluster = await TestCluster.start({ nodes: 2, mesh: "ambient", samples: "bookinfo" });
    const shell = new UserShell(cluster.home);
    const openssl = (await shell.run("command -v openssl")).code === 0;
    const wanted = new RegExp(Deno.env.get("RECIPE") ?? "", "i");
    const all = recipes(await Deno.readTextFile(PAGE));
    const text = all.flatMap(({ blocks }) => blocks).map(({ command }) => command).join("\n");
    for (const name of ["HTTPRoute", "GRPCRoute", "VirtualService", "DestinationRule", "ServiceEntry", "Gateway"]) {
      assert.ok(text.includes(`kind: ${name}`), `the page has a recipe with a ${name}`);
    }
    for (const { title, blocks } of all.filter(({ title }) => title === "preparation" || wanted.test(title))) {
      const ignore = blocks.some(({ command }) => command.startsWith("openssl")) && !openssl;
      await t.step({
        name: ignore ? `${title} (ignored: there is no openssl command)` : title,
        ignore,
        fn: () => cook(shell, blocks),
      });
    }
  },
});
