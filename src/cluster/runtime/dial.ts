import { ApiError } from "../api_error.ts";
import type { PodConnection } from "../contracts.ts";
import { endAll } from "./exec.ts";
import { findProgram, tool } from "./host.ts";
import type { Sandbox } from "./sandbox.ts";

/**
 * $1 is the port. A socket has to be made in the pod's network namespace, where this engine's threads never go: bash does
 * it, being the one tool everywhere that can connect and leaves the bytes alone. A newline tells that it is connected.
 */
const SCRIPT = `
exec 4<&0
if { exec 3<>"/dev/tcp/127.0.0.1/$1"; } 2>/dev/null || { exec 3<>"/dev/tcp/::1/$1"; }; then
  echo
  cat <&4 >&3 &
  exec 4<&-
  cat <&3
  kill $! 2>/dev/null
else
  exit 1
fi
`;

/**
 * Connects to a port on the loopback of a pod, as a container runtime does for port-forward.
 *
 * @throws ApiError when nothing listens there
 */
export async function dialPod(sandbox: Sandbox, name: string, port: number): Promise<PodConnection> {
  const bash = findProgram("bash");
  if (!bash) return connectFromFabric(sandbox, name, port);
  const process = new Deno.Command(tool("nsenter"), {
    // In the pod's PID namespace too: what is left over is the pod's to reap.
    args: [
      ...["-t", String(sandbox.pid), "-n"],
      ...(sandbox.hostPID ? [] : ["-p"]),
      bash,
      "-c",
      SCRIPT,
      "dial",
      String(port),
    ],
    stdin: "piped",
    stdout: "piped",
    stderr: "null",
    clearEnv: true,
    env: { PATH: "/usr/bin:/bin", LC_ALL: "C" },
  }).spawn();
  let ended = false;
  process.status.then(() => ended = true);
  const reader = process.stdout.getReader();
  const first = await reader.read();
  if (first.done || first.value[0] !== 10) {
    await Promise.all([process.status, process.stdin.close().catch(() => {})]);
    throw refused(name, port);
  }
  let early = first.value.subarray(1);
  let closed = false;
  const close = () => {
    if (closed) return;
    closed = true;
    void endAll(process.pid, () => ended);
    process.stdin.close().catch(() => {});
    reader.cancel().catch(() => {});
  };
  const readable = new ReadableStream<Uint8Array>({
    async pull(controller) {
      if (early.length > 0) {
        controller.enqueue(early);
        early = early.subarray(early.length);
        return;
      }
      const { value, done } = await reader.read().catch(() => ({ value: undefined, done: true as const }));
      if (done) controller.close();
      else controller.enqueue(value!);
    },
    cancel: close,
  }, { highWaterMark: 0 });
  return { readable, writable: process.stdin, close };
}

/** Without bash only what listens on the pod's own address can be reached. */
async function connectFromFabric(sandbox: Sandbox, name: string, port: number): Promise<PodConnection> {
  try {
    const conn = await Deno.connect({ hostname: sandbox.ip, port });
    return { readable: conn.readable, writable: conn.writable, close: () => conn.close() };
  } catch {
    throw refused(name, port);
  }
}

function refused(name: string, port: number): ApiError {
  return new ApiError(
    500,
    "InternalError",
    `failed to connect to localhost:${port} inside the namespace of pod "${name}": connection refused`,
  );
}
