import { ApiError } from "../api_error.ts";
import type { ExecSession } from "../contracts.ts";
import { enterArgs } from "./container.ts";
import { tool } from "./host.ts";
import { runnable } from "./images.ts";
import type { Sandbox } from "./sandbox.ts";
import { descendants, resizeTerminal, withTerminal } from "./terminal.ts";

/** Where a command is to run. */
export interface ExecTarget {
  sandbox: Sandbox;
  /** The container's main process. */
  pid: number;
  /** The container's folder in the engine's view; `become` in it gives a command its user and environment. */
  dir: string;
  cwd: string;
}

/** $1 is the container's `become`: opened here, since inside the container there is no way to it. */
const OPEN = `exec 3<"$1"; shift; exec "$@"`;

/** Enters the working directory if it still exists, then becomes the command. */
const ENTER = `. /proc/self/fd/3; exec 3<&-; cd -- "$1" 2>/dev/null; shift; become "$@"`;

function commandLine({ sandbox, pid, dir, cwd }: ExecTarget, command: readonly string[]): string[] {
  return [
    ...[tool("sh"), "-c", OPEN, "exec", `${dir}/become`],
    ...[tool("nsenter"), ...enterArgs(sandbox, pid)],
    ...[tool("sh"), "-c", ENTER, "exec", cwd, ...runnable(command)],
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
  let ended = false;
  const timer = setTimeout(() => {
    timedOut = true;
    void endAll(process.pid, () => ended);
  }, timeoutMs);
  const output = await process.output();
  ended = true;
  clearTimeout(timer);
  const text = new TextDecoder().decode(output.stdout) + new TextDecoder().decode(output.stderr);
  if (timedOut) {
    return { code: 124, output: `command timed out: "${command.join(" ")}" timed out after ${timeoutMs / 1000}s` };
  }
  return { code: output.code, output: text.slice(0, 10 * 1024) };
}

/** Starts a command in a container with its streams open, as `kubectl exec` wants it. */
export function execSession(
  target: ExecTarget,
  command: string[],
  options: { stdin: boolean; stdout: boolean; stderr: boolean; tty: boolean },
): ExecSession {
  if (command.length === 0) throw ApiError.badRequest("you must specify at least one command for the container");
  const process = spawn(commandLine(target, options.tty ? withTerminal(command) : command), options.stdin);
  let ended = false;
  const exit = process.status.then((status) => {
    ended = true;
    return status.code;
  });
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
        resizing = resizing.then(() => resizeTerminal(target.pid, process.pid, () => ended, columns, rows)).catch(
          () => {},
        );
      }
    },
    exit,
    kill() {
      void endAll(process.pid, () => ended);
    },
  };
}

/**
 * Ends the command and what it has started. The helpers are left to end by themselves: killed first they would orphan the
 * command, and a command that has not been started yet is waited for.
 */
export async function endAll(helper: number, ended: () => boolean): Promise<void> {
  for (let round = 0; !ended(); round++) {
    for (const pid of descendants(helper)) {
      try {
        Deno.kill(pid, round === 0 ? "SIGHUP" : "SIGKILL");
      } catch {
        // Ended meanwhile.
      }
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
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
