import { MeshError } from "../core/errors.ts";

/** Where one embedded cluster keeps its state. All paths are absolute. */
export interface ClusterLayout {
  readonly name: string;
  readonly dataDir: string;
  /** Held (flock) by the `up` process for as long as the cluster runs. */
  readonly lockFile: string;
  /** What runs: see {@linkcode RunState}. Absent when nothing does. */
  readonly stateFile: string;
  /** API server, TLS. */
  readonly apiSocket: string;
  /** Requests to the engine: see engine_control.ts. */
  readonly controlSocket: string;
  readonly engineLog: string;
  /** Progress and errors of a cluster started with `--detach`. */
  readonly upLog: string;
}

/** Written by `up` while it runs, read by `down`, by `tour` and by a second `up`. */
export interface RunState {
  readonly pid: number;
  /** Field 22 of /proc/<pid>/stat, so that a reused process id is not mistaken for the cluster. */
  readonly startTime: string;
  /** The process that holds the engine's namespaces; killing it ends every pod. */
  readonly enginePid: number;
  readonly engineStartTime: string;
  readonly apiPort: number;
  readonly kubeconfig: string;
  readonly context: string;
  /** Everything that was asked for works. */
  readonly ready: boolean;
}

const NAME = /^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$/;

/** The longest path that fits into a `sockaddr_un`. */
const SOCKET_PATH_MAX = 107;

/** @throws MeshError `invalid_cluster` when the name or the length of the path cannot be used */
export function clusterLayout(name: string, dataDir?: string, env = (key: string) => Deno.env.get(key)): ClusterLayout {
  if (!NAME.test(name)) {
    throw new MeshError(
      "invalid_cluster",
      `cannot use "${name}" as a cluster name; use up to 32 lower-case letters, digits and dashes, as in "ambient"`,
    );
  }
  const state = env("XDG_STATE_HOME") || `${env("HOME") || "/root"}/.local/state`;
  const dir = absolute(dataDir ?? `${state}/ambientd/${name}`);
  const layout = {
    name,
    dataDir: dir,
    lockFile: `${dir}/lock`,
    stateFile: `${dir}/run.json`,
    apiSocket: `${dir}/api.sock`,
    controlSocket: `${dir}/engine.sock`,
    engineLog: `${dir}/engine.log`,
    upLog: `${dir}/up.log`,
  };
  if (new TextEncoder().encode(layout.controlSocket).length > SOCKET_PATH_MAX) {
    throw new MeshError(
      "invalid_cluster",
      `cannot keep the cluster in "${dir}": the path is too long for a Unix socket; give a shorter one with --data-dir`,
    );
  }
  return layout;
}

function absolute(path: string): string {
  return path.startsWith("/") ? path.replace(/\/+$/, "") : `${Deno.cwd()}/${path}`.replace(/\/+$/, "");
}

/** The start time of a process (field 22 of its stat), or undefined when there is no such process. */
export function processStartTime(pid: number): string | undefined {
  try {
    const stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

/** What `run.json` says, when it can be read. */
export function readRunState(layout: ClusterLayout): RunState | undefined {
  try {
    return JSON.parse(Deno.readTextFileSync(layout.stateFile));
  } catch {
    return undefined;
  }
}

/** Whether the process that wrote this is still the one running under its id. */
export function isRunning(pid: number, startTime: string): boolean {
  return startTime !== "" && processStartTime(pid) === startTime;
}
