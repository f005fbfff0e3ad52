import { DatabaseSync } from "node:sqlite";
import { describeError } from "../../core/errors.ts";
import { selfCommand } from "../../core/self.ts";
import type { Logger } from "../../telemetry/logger.ts";
import { denoDir } from "./assets.ts";
import { exists } from "./root_fs.ts";

/** Where a container sees its own cache. */
export const CONTAINER_CACHE = "/opt/ambientd/deno";

/** What a container's own copy consists of; `gen`, the transpiled modules, is only read and is shared. */
const DATABASES = ["v8_code_cache_v2", "dep_analysis_cache_v2", "node_analysis_cache_v2"];

/** Filling an empty cache takes about two seconds; a machine that needs more than this does without. */
const FILL_MS = 60_000;

/**
 * Deno's caches for the roles and samples that pods run, filled once per state of the checkout. Deno uses a compiled-code
 * cache only where it may write to it, and pods must not write to one another's, so each container gets a copy. It halves
 * the time in which a role starts.
 */
export class CodeCache {
  /** Read-only for pods; beside the user's own cache. */
  readonly dir: string;
  readonly #log: Logger;
  readonly #checkout: string;
  readonly #stop = new AbortController();
  #filled: Promise<boolean> | undefined;

  private constructor(dir: string, checkout: string, log: Logger) {
    this.dir = dir;
    this.#checkout = checkout;
    this.#log = log;
  }

  /** Undefined for an executable that needs no cache, and where there is no place for one. */
  static async of(checkout: string, log: Logger): Promise<CodeCache | undefined> {
    if (Deno.build.standalone || denoDir() === "") return undefined;
    const dir = `${denoDir()}/ambientd/${(await digest(checkout)).slice(0, 16)}`;
    try {
      Deno.mkdirSync(`${dir}/gen`, { recursive: true });
      return new CodeCache(dir, checkout, log);
    } catch {
      return undefined;
    }
  }

  /** Starts to fill the cache if the checkout has changed since it was filled. */
  fill(): void {
    this.#filled ??= this.#fill().catch((error) => {
      if (this.#stop.signal.aborted) return false;
      this.#log.warn("cannot prepare Deno's cache for pods: they start more slowly", { error: describeError(error) });
      return false;
    });
  }

  async #fill(): Promise<boolean> {
    const key = await stateOf(this.#checkout), mark = `${this.dir}/filled`;
    if (await Deno.readTextFile(mark).catch(() => "") === key) return true;
    const [program, ...args] = selfCommand(["warm-up"]);
    const { code, stderr } = await new Deno.Command(program, {
      args,
      env: { DENO_DIR: this.dir, DENO_NO_UPDATE_CHECK: "1", NO_COLOR: "1" },
      stdin: "null",
      stdout: "null",
      stderr: "piped",
      signal: AbortSignal.any([this.#stop.signal, AbortSignal.timeout(FILL_MS)]),
    }).output();
    if (code !== 0) throw new Error(new TextDecoder().decode(stderr).trim().slice(-300) || `exit code ${code}`);
    for (const name of DATABASES) settle(`${this.dir}/${name}`);
    await Deno.writeTextFile(mark, key);
    return true;
  }

  /** Ends what still fills it. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#filled;
  }

  /**
   * Copies the databases for one container.
   *
   * @param to a folder of the pod
   * @param gen where the container sees the shared folder of transpiled modules
   * @returns whether there is a cache to use
   */
  async copy(to: string, gen: string): Promise<boolean> {
    if (!(await this.#filled)) return false;
    // A new copy for each start: an earlier one may be of another checkout, or damaged by its container.
    await Deno.remove(to, { recursive: true }).catch(() => {});
    await Deno.mkdir(to, { recursive: true });
    await Deno.chmod(to, 0o777);
    await Deno.symlink(gen, `${to}/gen`);
    await Promise.all(
      DATABASES.filter((name) => exists(`${this.dir}/${name}`)).map(async (name) => {
        await Deno.copyFile(`${this.dir}/${name}`, `${to}/${name}`);
        await Deno.chmod(`${to}/${name}`, 0o666);
      }),
    );
    return true;
  }
}

/** Moves a database's write-ahead log into it, so that one file is all there is to copy. */
function settle(path: string): void {
  if (!exists(path)) return;
  const database = new DatabaseSync(path);
  try {
    database.exec("PRAGMA journal_mode = DELETE");
  } finally {
    database.close();
  }
}

/** Changes whenever a module of the checkout does, or Deno. */
async function stateOf(checkout: string): Promise<string> {
  const files: string[] = [];
  const walk = (dir: string) => {
    for (const { name, isDirectory } of Deno.readDirSync(dir)) {
      if (isDirectory) walk(`${dir}/${name}`);
      else if (/\.(ts|js|json)$/.test(name)) files.push(`${dir}/${name}`);
    }
  };
  for (const folder of ["src", "manifests"]) if (exists(`${checkout}/${folder}`)) walk(`${checkout}/${folder}`);
  for (const name of ["main.ts", "ambientd.js", "deno.lock"]) {
    if (exists(`${checkout}/${name}`)) files.push(`${checkout}/${name}`);
  }
  const infos = await Promise.all(
    files.sort().map(async (path) => {
      const { mtime, size } = await Deno.stat(path);
      return `${path} ${mtime?.getTime()} ${size}`;
    }),
  );
  return await digest([Deno.version.deno, ...infos].join("\n"));
}

/** SHA-256 as hexadecimal digits. */
async function digest(text: string): Promise<string> {
  const bytes = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
