import { ApiError } from "../api_error.ts";
import type { ExecSession } from "../contracts.ts";
import { childrenOf, enterArgs } from "./container.ts";
import { run, tool } from "./host.ts";
import { type IdMap, type SecurityContext, setprivArgs } from "./privileges.ts";
import type { Sandbox } from "./sandbox.ts";

/** Where a command is to run: a container's main process and what it was started with. */
export interface ExecTarget {
  sandbox: Sandbox;
  pid: number;
  env: Readonly<Record<string, string>>;
  cwd: string;
  security: SecurityContext;
  ids: IdMap;
}

/** Enters the container, changes the directory without failing, then becomes the command. */
const ENTER = `cd -- "$1" 2>/dev/null; shift; exec "$@"`;

function commandLine({ sandbox, pid, env, cwd, security, ids }: ExecTarget, command: readonly string[]): string[] {
  const variables = Object.entries(env).map(([key, value]) => `${key}=${value}`);
  return [
    ...[tool("nsenter"), ...enterArgs(sandbox, pid)],
    ...[tool("sh"), "-c", ENTER, "exec", cwd],
    ...setprivArgs(security, ids),
    ...[tool("env"), "-i", ...variables, ...command],
  ];
}

function spawn(argv: string[], stdin: boolean): Deno.ChildProcess {
  return new Deno.Command(argv[0], {
    args: argv.slice(1),
    stdin: stdin ? "piped" : "null",
    stdout: "piped",
    stderr: "piped",
    clearEnv: true,
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C" },
  }).spawn();
}

/** Runs a command in a container to its end, for probes and hooks. Output is cut at 10 KiB. */
export async function execToEnd(
  target: ExecTarget,
  command: string[],
  timeoutMs: number,
): Promise<{ code: number; output: string }> {
  const process = spawn(commandLine(target, command), false);
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    killTree(process.pid);
  }, timeoutMs);
  const output = await process.output();
  clearTimeout(timer);
  const text = new TextDecoder().decode(output.stdout) + new TextDecoder().decode(output.stderr);
  if (timedOut) {
    return { code: 124, output: `command timed out: "${command.join(" ")}" timed out after ${timeoutMs / 1000}s` };
  }
  return { code: output.code, output: text.slice(0, 10 * 1024) };
}

/** Ends a helper's children; the helper, which waits for them, ends with them. */
export function killTree(pid: number): void {
  const children = childrenOf(pid);
  for (const child of children.length > 0 ? children : [pid]) {
    try {
      Deno.kill(child, "SIGKILL");
    } catch {
      // Ended meanwhile.
    }
  }
}

/** Starts a command in a container with its streams open, as `kubectl exec` wants it. */
export function execSession(
  target: ExecTarget,
  command: string[],
  options: { stdin: boolean; stdout: boolean; stderr: boolean; tty: boolean },
): ExecSession {
  if (command.length === 0) throw ApiError.badRequest("you must specify at least one command for the container");
  const argv = options.tty ? terminal(command) : command;
  const env = options.tty ? { TERM: "xterm", ...target.env } : target.env;
  const process = spawn(commandLine({ ...target, env }, argv), options.stdin);
  const exit = process.status.then((status) => status.code);
  const unused = (stream: ReadableStream<Uint8Array>) => void stream.pipeTo(new WritableStream()).catch(() => {});
  // A terminal has one output; what the helpers complain about joins it, so that a failed start can be read.
  const stdout = options.tty ? joined([process.stdout, process.stderr]) : process.stdout;
  if (!options.stdout && !options.tty) unused(stdout);
  if (!options.stderr && !options.tty) unused(process.stderr);
  let resizing: Promise<unknown> = Promise.resolve();
  return {
    ...(options.stdin ? { stdin: process.stdin } : {}),
    stdout: options.stdout || options.tty ? stdout : new ReadableStream({ start: (c) => c.close() }),
    ...(options.stderr && !options.tty ? { stderr: process.stderr } : {}),
    resize(columns, rows) {
      if (options.tty) {
        resizing = resizing.then(() => resizeTerminal(target, process.pid, columns, rows)).catch(() => {});
      }
    },
    exit,
    kill() {
      for (const signal of ["SIGHUP", "SIGKILL"] as const) {
        for (const pid of descendants(process.pid)) {
          try {
            Deno.kill(pid, signal);
          } catch {
            // Ended meanwhile.
          }
        }
      }
    },
  };
}

/** util-linux `script` gives the command a terminal of the container's own devpts. */
function terminal(command: string[]): string[] {
  const quoted = command.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(" ");
  return [tool("script"), "-q", "-e", "-E", "never", "-c", `exec ${quoted}`, "/dev/null"];
}

/** Sets the size of the terminal that the command under `script` has, once it has one. */
async function resizeTerminal(target: ExecTarget, helper: number, columns: number, rows: number): Promise<void> {
  for (let tries = 0; tries < 50; tries++) {
    for (const pid of descendants(helper).reverse()) {
      let device: string;
      try {
        device = Deno.readLinkSync(`/proc/${pid}/fd/0`);
      } catch {
        continue;
      }
      if (!/^\/dev\/pts\/\d+$/.test(device)) continue;
      const size = ["cols", String(columns), "rows", String(rows)];
      await run([tool("nsenter"), "-t", String(target.pid), "-m", tool("stty"), "-F", device, ...size]);
      return;
    }
    if (descendants(helper).length === 0) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function descendants(pid: number): number[] {
  return childrenOf(pid).flatMap((child) => [child, ...descendants(child)]);
}

/** Both streams as one, in the order in which their parts come. */
function joined(streams: ReadableStream<Uint8Array>[]): ReadableStream<Uint8Array> {
  const readers = streams.map((stream) => stream.getReader());
  return new ReadableStream({
    start(controller) {
      const all = readers.map(async (reader) => {
        for (let part; !(part = await reader.read()).done;) controller.enqueue(part.value);
      });
      Promise.all(all).then(() => controller.close()).catch(() => {});
    },
    cancel: () => Promise.all(readers.map((reader) => reader.cancel().catch(() => {}))).then(() => {}),
  });
}
