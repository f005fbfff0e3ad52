// Regenerates src/gen from proto/ with buf and protoc-gen-es, both from npm. `--out DIR` writes elsewhere.

import { join } from "node:path";

const ROOT = join(import.meta.dirname!, "..");

/** Only this needs them, and they are large: they are not among the dependencies that every user installs. */
const TOOLS = ["@bufbuild/buf@1.74.0", "@bufbuild/protoc-gen-es@2.17.0"];
const TOOLS_DIR = join(ROOT, ".deno", "gen");
const PACKAGES = join(TOOLS_DIR, "node_modules", "@bufbuild");

/** Names of buf's platform packages by Deno's names of operating system and architecture. */
const PLATFORMS: Record<string, string> = {
  "linux-x86_64": "linux-x64",
  "linux-aarch64": "linux-aarch64",
  "darwin-x86_64": "darwin-x64",
  "darwin-aarch64": "darwin-arm64",
};

/** Whether buf has an executable for this machine. */
export const SUPPORTED: boolean = `${Deno.build.os}-${Deno.build.arch}` in PLATFORMS;

/**
 * The buf executable, installed from npm the first time. Its package chooses it in an install script, which is not run, so
 * it is looked up in the platform package that lies beside the package itself.
 */
async function buf(): Promise<string> {
  const platform = PLATFORMS[`${Deno.build.os}-${Deno.build.arch}`];
  if (platform === undefined) throw new Error(`buf has no executable for ${Deno.build.os} ${Deno.build.arch}`);
  const path = join(PACKAGES, `buf-${platform}`, "bin", "buf");
  try {
    await Deno.stat(path);
  } catch {
    const options = ["--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"];
    const { success, stderr } = await new Deno.Command("npm", {
      args: ["install", "--prefix", TOOLS_DIR, ...options, ...TOOLS],
    }).output();
    if (!success) throw new Error(`cannot install ${TOOLS.join(", ")}: ${new TextDecoder().decode(stderr).trim()}`);
  }
  return path;
}

/** Writes the TypeScript of every file in proto/ into `out`, an existing or new directory that is emptied first. */
export async function generate(out: string): Promise<void> {
  const program = await buf();
  const work = await Deno.makeTempDir({ prefix: "ambientd-gen-" });
  try {
    const template = {
      version: "v2",
      inputs: [{ directory: join(ROOT, "proto") }],
      clean: true,
      plugins: [{
        local: [
          Deno.execPath(),
          "run",
          "--allow-all",
          "--quiet",
          join(PACKAGES, "protoc-gen-es", "bin", "protoc-gen-es"),
        ],
        out,
        opt: ["target=ts", "import_extension=ts"],
      }],
    };
    const { success, stderr } = await new Deno.Command(program, {
      args: ["generate", "--template", JSON.stringify(template)],
      cwd: work,
      env: { BUF_CACHE_DIR: join(work, "cache"), NO_COLOR: "1" },
    }).output();
    if (!success) throw new Error(`buf generate failed: ${new TextDecoder().decode(stderr).trim()}`);
  } finally {
    await Deno.remove(work, { recursive: true });
  }
}

if (import.meta.main) {
  const at = Deno.args.indexOf("--out");
  await generate(at < 0 ? join(ROOT, "src", "gen") : Deno.args[at + 1]);
}
