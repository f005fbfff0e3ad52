import { MeshError } from "../../core/errors.ts";
import { KubeApiError, type KubeClient } from "./kube.ts";

export interface ExecResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Channels of `v5.channel.k8s.io`, the first byte of each message. */
const STDOUT = 1, STDERR = 2, STATUS = 3;

/**
 * Runs a command in a container, as `kubectl exec` without a terminal does, and waits for its end.
 *
 * @throws MeshError `exec` when the command could not be started or the connection was lost
 */
export async function execInPod(
  client: KubeClient,
  target: { namespace: string; pod: string; container?: string },
  command: readonly string[],
  signal?: AbortSignal,
): Promise<ExecResult> {
  const path = `/api/v1/namespaces/${target.namespace}/pods/${target.pod}/exec`;
  const query: [string, string][] = [["stdout", "true"], ["stderr", "true"]];
  if (target.container) query.push(["container", target.container]);
  for (const word of command) query.push(["command", word]);
  const where = `"${target.namespace}/${target.pod}"`;

  const socket = await client.webSocket(path, query, ["v5.channel.k8s.io", "v4.channel.k8s.io"]);
  const output: Record<number, Uint8Array[]> = { [STDOUT]: [], [STDERR]: [], [STATUS]: [] };
  const ended = await new Promise<"close" | "refused" | "aborted">((resolve) => {
    const abort = () => {
      socket.close();
      resolve("aborted");
    };
    signal?.addEventListener("abort", abort);
    let opened = false;
    socket.onopen = () => opened = true;
    socket.onerror = () => opened ? undefined : resolve("refused");
    socket.onmessage = ({ data }) => {
      const message = new Uint8Array(data as ArrayBuffer);
      output[message[0]]?.push(message.subarray(1));
    };
    socket.onclose = () => {
      signal?.removeEventListener("abort", abort);
      resolve("close");
    };
  });
  if (ended === "aborted") throw new MeshError("exec", `gave up running a command in pod ${where}`);
  if (ended === "refused") throw await refusal(client, path, query, where);
  const status = text(output[STATUS]);
  if (status === "") throw new MeshError("exec", `the connection to a command in pod ${where} was lost`);
  const exitCode = exitCodeOf(status);
  if (exitCode === undefined) {
    throw new MeshError("exec", `cannot run a command in pod ${where}: ${JSON.parse(status).message}`);
  }
  return { exitCode, stdout: text(output[STDOUT]), stderr: text(output[STDERR]) };
}

/** A WebSocket hides why it was refused; a plain request to the same address is told. */
async function refusal(client: KubeClient, path: string, query: [string, string][], where: string): Promise<MeshError> {
  let reason = "the API server did not accept a WebSocket";
  try {
    const search = new URLSearchParams(query);
    await client.request("POST", `${path}?${search}`);
  } catch (error) {
    if (error instanceof KubeApiError && error.status !== 400) reason = error.message;
  }
  return new MeshError("exec", `cannot run a command in pod ${where}: ${reason}`, { source: "upstream" });
}

function text(chunks: readonly Uint8Array[]): string {
  const all = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.length;
  }
  return new TextDecoder().decode(all);
}

/** The exit code in the Status that ends a session; undefined when the command did not run. */
function exitCodeOf(status: string): number | undefined {
  const parsed = JSON.parse(status);
  if (parsed.status === "Success") return 0;
  const cause = parsed.details?.causes?.find((candidate: { reason?: string }) => candidate.reason === "ExitCode");
  return cause ? Number(cause.message) : undefined;
}
