import { describeError } from "../../core/errors.ts";
import { splitHostPort } from "../../core/ip.ts";
import type { Program } from "./program.ts";

/** How often the folders are compared with what they were. */
const EVERY_MS = 5_000;

/**
 * Tells a server to reload when files in a folder change, as prometheus-config-reloader (`--watched-dir`, `--reload-url`) and
 * configmap-reload (`--volume-dir`, `--webhook-url`) do; answers `/healthz` at `--listen-address`.
 */
export const configReloader: Program = async ({ args, signal }) => {
  const dirs = values(args, "watched-dir", "volume-dir"), urls = values(args, "reload-url", "webhook-url");
  const listen = values(args, "listen-address", "web.listen-address")[0] ?? ":8080";
  const place = splitHostPort(listen.startsWith(":") ? `0.0.0.0${listen}` : listen);
  if (!place) {
    console.error(`"${listen}" is not host:port`);
    return 1;
  }
  let last = await contents(dirs);
  const server = Deno.serve(
    { hostname: place.host, port: place.port, onListen: () => {} },
    (request) => {
      const { pathname } = new URL(request.url);
      return new Response("ok\n", { status: ["/healthz", "/metrics"].includes(pathname) ? 200 : 404 });
    },
  );
  const timer = setInterval(async () => {
    const now = await contents(dirs);
    if (now === last) return;
    try {
      for (const url of urls) await reload(url);
      console.log(`reloaded ${urls.join(", ")}`);
      last = now;
    } catch (error) {
      console.error(describeError(error)); // Tried again the next time.
    }
  }, EVERY_MS);
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
  clearInterval(timer);
  await server.shutdown();
  return 0;
};

async function reload(url: string): Promise<void> {
  const response = await fetch(url, { method: "POST", signal: AbortSignal.timeout(EVERY_MS) });
  await response.body?.cancel();
  if (!response.ok) throw new Error(`"${url}" answered ${response.status}`);
}

/** Values of `--name=value` and `--name value`, of one dash too, for any of the names. */
function values(args: readonly string[], ...names: string[]): string[] {
  return args.flatMap((arg, i) => {
    const [, name, joined] = /^--?([\w.-]+)(?:=(.*))?$/s.exec(arg) ?? [];
    if (name === undefined || !names.includes(name)) return [];
    return [joined ?? args[i + 1] ?? ""];
  });
}

/** Everything in the folders' files as one text; what cannot be read is left out. */
async function contents(dirs: readonly string[]): Promise<string> {
  const found: string[] = [];
  for (const dir of dirs) {
    try {
      for await (const { name, isDirectory } of Deno.readDir(dir)) {
        if (isDirectory || name.startsWith("..")) continue;
        found.push(`${dir}/${name}\n${await Deno.readTextFile(`${dir}/${name}`)}`);
      }
    } catch {
      // Between two versions of a volume.
    }
  }
  return found.sort().join("\n");
}
