import { exists, SCRATCH } from "./root_fs.ts";

/**
 * Files and folders that a pod needs to run ambientd: the checkout, its modules, Deno and Deno's cache, wherever they are.
 * Everything is given by its real path too, for links that lead elsewhere.
 */
export function selfAssets(checkout: string, cacheDir: string, self: readonly string[]): string[] {
  const paths = [checkout, `${checkout}/node_modules`, self[0], Deno.execPath(), cacheDir];
  paths.push(...self.filter((word) => word.startsWith("/")));
  const all = new Set<string>();
  for (const path of paths.filter((candidate) => candidate !== "" && exists(candidate))) {
    all.add(path);
    all.add(Deno.realPathSync(path));
  }
  return [...all];
}

/**
 * Where a pod finds a path that it needs to run ambientd: the same, unless it lies in a folder that every container has for
 * itself (a checkout in /tmp), which would hide it.
 */
export function podPath(path: string): string {
  return SCRATCH.some((own) => path.startsWith(own.path + "/")) ? `/opt/ambientd/host${path}` : path;
}

/** Where Deno keeps what it has transpiled. */
export function denoDir(): string {
  const env = (name: string) => Deno.env.get(name) ?? "";
  if (env("DENO_DIR")) return env("DENO_DIR");
  const cache = env("XDG_CACHE_HOME") || (env("HOME") ? `${env("HOME")}/.cache` : "");
  return cache ? `${cache}/deno` : "";
}
