// Regenerates src/gen from proto/ with buf and protoc-gen-es, both from npm. `--out DIR` writes elsewhere.

import { join } from "node:path";

const ROOT = join(import.meta.dirname!, "..");
const PACKAGES = join(ROOT, "node_modules", "@bufbuild");

/** Names of buf's platform packages by Deno's names of operating system and architecture. */
const PLATFORMS: Record<string, string> = {
  "linux-x86_64": "linux-x64",
  "linux-aarch64": "linux-aarch64",
  "darwin-x86_64": "darwin-x64",
  "darwin-aarch64": "darwin-arm64",
};

/**
 * The buf executable. Its npm package chooses it in an install script, which npm and Deno do not run, so it is looked up
 * in the platform package that lies beside the package itself.
 *
 * @returns undefined when no executable for this machine is installed
 */
export async function findBuf(): Promise<string | undefined> {
  const platform = PLATFORMS[`${Deno.build.os}-${Deno.build.arch}`];
  if (platform === undefined) return undefined;
  try {
    const path = join(await Deno.realPath(join(PACKAGES, "buf")), "..", `buf-${platform}`, "bin", "buf");
    return (await Deno.stat(path)).isFile ? path : undefined;
  } catch {
    return undefined;
  }
}

/** Writes the TypeScript of every file in proto/ into `out`, an existing or new directory that is emptied first. */
export async function generate(out: string): Promise<void> {
  const buf = await findBuf();
  if (buf === undefined) {
    throw new Error(`no buf executable for ${Deno.build.os} ${Deno.build.arch} in node_modules; run ./scripts/setup`);
  }
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
    const { success, stderr } = await new Deno.Command(buf, {
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
