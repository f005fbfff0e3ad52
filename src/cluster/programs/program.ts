/** What a program built into ambientd is started with, as a container would be. */
export interface ProgramContext {
  /** Arguments after the program's name. */
  readonly args: readonly string[];
  readonly env: (name: string) => string | undefined;
  /** Aborted on SIGTERM or SIGINT: finish what runs, then return. */
  readonly signal: AbortSignal;
}

/** A program; resolves to its exit code. */
export type Program = (context: ProgramContext) => Promise<number>;

/** The value after `--name`, or `fallback`. */
export function flag(args: readonly string[], name: string, fallback: string): string {
  const at = args.indexOf(`--${name}`);
  const joined = args.find((arg) => arg.startsWith(`--${name}=`));
  return joined?.slice(name.length + 3) ?? (at >= 0 ? args[at + 1] ?? fallback : fallback);
}

/** What requests under way get to finish once a program is asked to end. */
const SHUTDOWN_MS = 500;

export type Handler = (request: Request, peer: string) => Response | Promise<Response>;

/**
 * Serves HTTP on every address of the pod until asked to end. A container may name the port as its only argument, as
 * Bookinfo's images do.
 */
export async function serveHttp(
  { args, signal }: ProgramContext,
  defaultPort: number,
  handle: Handler,
): Promise<number> {
  const positional = args.find((arg, i) => /^\d+$/.test(arg) && !args[i - 1]?.startsWith("--"));
  const port = Number(flag(args, "port", positional ?? String(defaultPort)));
  const force = new AbortController();
  const server = Deno.serve({
    port,
    signal: force.signal,
    hostname: "0.0.0.0",
    onListen: () => console.log(`listening on port ${port}`),
    onError: (error) => {
      console.error(`cannot answer a request: ${error instanceof Error ? error.message : error}`);
      return json({ error: "internal error" }, 500);
    },
  }, async (request, info) => {
    const started = performance.now();
    const response = await handle(request, (info.remoteAddr as Deno.NetAddr).hostname);
    const { pathname } = new URL(request.url);
    console.log(
      `${request.method} ${JSON.stringify(pathname)} ${response.status} ${Math.round(performance.now() - started)}ms`,
    );
    return response;
  });
  let deadline: ReturnType<typeof setTimeout> | undefined;
  const stop = () => {
    // Requests under way may finish; connections that peers keep open for later must not hold the program up.
    deadline = setTimeout(() => force.abort(), SHUTDOWN_MS);
    server.shutdown();
  };
  if (signal.aborted) stop();
  else signal.addEventListener("abort", stop, { once: true });
  await server.finished;
  clearTimeout(deadline);
  return 0;
}

export function json(value: unknown, status = 200, headers: Record<string, string> = {}): Response {
  return new Response(JSON.stringify(value), { status, headers: { "content-type": "application/json", ...headers } });
}

export function methodNotAllowed(...allowed: string[]): Response {
  return new Response("Method Not Allowed\n", { status: 405, headers: { allow: allowed.join(", ") } });
}

export function notFound(): Response {
  return new Response("Not Found\n", { status: 404 });
}
