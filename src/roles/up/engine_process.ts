import { MeshError } from "../../core/errors.ts";
import { selfCommand } from "../../core/self.ts";
import { type ClusterLayout, processStartTime } from "../../cluster/layout.ts";
import type { EngineEvent } from "../../cluster/engine.ts";

/** The engine of one cluster, in namespaces of its own. */
export interface EngineProcess {
  readonly pid: number;
  readonly startTime: string;
  /** The next events, in order; ends when the engine does. */
  readonly events: AsyncIterable<EngineEvent>;
  /** Settles when the engine has ended, however it did. */
  readonly ended: Promise<Deno.CommandStatus>;
  /** Asks the engine to stop its pods and end; after `graceMs` the namespaces are torn down. */
  stop(graceMs: number): Promise<void>;
}

/**
 * Starts the engine in mount, PID and network namespaces of its own (and, without root, a user namespace). Its PID
 * namespace ends with it, and everything else ends with that: processes, mounts, links and network namespaces. It also
 * ends when the pipe to its standard input closes, that is, when this process is gone.
 */
export function startEngine(layout: ClusterLayout, nodes: number): EngineProcess {
  const root = Deno.uid() === 0;
  const log = Deno.openSync(layout.engineLog, { create: true, append: true, write: true, mode: 0o600 });
  log.close();
  const command = selfCommand([
    "cluster-engine",
    "--name",
    layout.name,
    "--data-dir",
    layout.dataDir,
    "--nodes",
    String(nodes),
  ]);
  const child = new Deno.Command("/bin/sh", {
    // The shell sends the engine's standard error to its log (standard output carries events) and makes it a session of
    // its own: Ctrl-C in a terminal reaches this process alone, which then stops the engine in order.
    args: [
      "-c",
      'log=$1; shift; exec setsid unshare "$@" 2>>"$log"',
      "sh",
      layout.engineLog,
      ...(root ? [] : ["--user", "--map-root-user"]),
      "--mount",
      "--pid",
      "--net",
      "--ipc",
      "--fork",
      "--kill-child=SIGKILL",
      "--mount-proc",
      "--propagation",
      "private",
      ...command,
    ],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const ended = child.status;
  return {
    pid: child.pid,
    startTime: processStartTime(child.pid) ?? "",
    events: parseEvents(child.stdout),
    ended,
    async stop(graceMs) {
      await child.stdin.close().catch(() => {});
      const timer = setTimeout(() => {
        try {
          child.kill("SIGKILL");
        } catch {
          // Ended meanwhile.
        }
      }, graceMs);
      await ended;
      clearTimeout(timer);
    },
  };
}

async function* parseEvents(stream: ReadableStream<Uint8Array>): AsyncGenerator<EngineEvent> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    rest += text;
    const lines = rest.split("\n");
    rest = lines.pop()!;
    for (const line of lines) {
      if (!line.startsWith("{")) continue;
      yield JSON.parse(line) as EngineEvent;
    }
  }
}

/** Why the engine ended by itself, from the end of its log. */
export async function engineFailure(layout: ClusterLayout, status: Deno.CommandStatus): Promise<MeshError> {
  const lines = (await Deno.readTextFile(layout.engineLog).catch(() => "")).trimEnd().split("\n");
  const tail = lines.slice(-5).join("\n  ");
  const denied = /unshare: (unshare failed|write failed).*(Operation not permitted|No space left)/.test(tail);
  const hint = denied && Deno.uid() !== 0
    ? "this kernel does not let users make namespaces; run as root, or allow it (sysctl kernel.unprivileged_userns_clone=1, " +
      "user.max_user_namespaces, or the AppArmor restriction on user namespaces)"
    : `the whole log is "${layout.engineLog}"`;
  return new MeshError("engine", `the cluster's engine ended (exit code ${status.code}): ${hint}\n  ${tail}`);
}
