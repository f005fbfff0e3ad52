import { describeError, MeshError } from "../../core/errors.ts";
import type { KubeClient } from "./kube.ts";

/** An answer of a pod's HTTP server. */
export interface PodResponse {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

/** An answer larger than this is refused: a configuration dump of ten thousand workloads takes about 20 MB. */
const MAX_RESPONSE = 256 << 20;

/**
 * Sends one HTTP request to a port of a pod, the way `kubectl port-forward` reaches it: ports on the pod's loopback work.
 *
 * @throws MeshError `pod_unreachable` when no answer arrives in time
 */
export async function podRequest(
  client: KubeClient,
  namespace: string,
  pod: string,
  port: number,
  method: string,
  path: string,
  options: { timeoutMs?: number } = {},
): Promise<PodResponse> {
  const text = `${method} ${path} HTTP/1.1\r\nHost: localhost:${port}\r\nAccept: */*\r\nConnection: close\r\n` +
    `Content-Length: 0\r\n\r\n`;
  try {
    const bytes = await exchange(
      client,
      namespace,
      pod,
      port,
      new TextEncoder().encode(text),
      options.timeoutMs ?? 15_000,
    );
    return parseResponse(bytes);
  } catch (cause) {
    throw new MeshError(
      "pod_unreachable",
      `cannot get "${path}" from port ${port} of pod "${namespace}/${pod}": ${describeError(cause)}`,
      { source: "upstream", retryable: true },
    );
  }
}

/**
 * Writes bytes to a pod's port and reads until the pod closes. Messages of the port-forward protocol begin with a channel
 * byte, data on 0 and errors on 1; the first message of each channel holds the port.
 */
async function exchange(
  client: KubeClient,
  namespace: string,
  pod: string,
  port: number,
  request: Uint8Array,
  timeoutMs: number,
): Promise<Uint8Array> {
  const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(pod)}/portforward`;
  const socket = await client.webSocket(path, [["ports", String(port)]], ["v4.channel.k8s.io"]);
  const chunks: Uint8Array[] = [];
  let length = 0;
  let failure = "";
  let timer: ReturnType<typeof setTimeout> | undefined;
  try {
    await new Promise<void>((resolve, reject) => {
      timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
      const opened = [false, false];
      socket.onopen = () => {
        const message = new Uint8Array(request.length + 1);
        message.set(request, 1);
        socket.send(message);
      };
      socket.onmessage = ({ data }) => {
        const bytes = new Uint8Array(data as ArrayBuffer);
        const channel = bytes[0];
        if (channel > 1 || bytes.length < 2) return;
        if (!opened[channel]) {
          opened[channel] = true;
          if (bytes.length === 3) return;
        }
        if (channel === 1) failure += new TextDecoder().decode(bytes.subarray(1));
        else {
          chunks.push(bytes.subarray(1));
          length += bytes.length - 1;
          if (length > MAX_RESPONSE) return reject(new Error("the answer is too large"));
          if (isComplete(chunks, length)) resolve();
        }
        if (failure !== "") reject(new Error(failure));
      };
      socket.onerror = (event) => reject(new Error((event as ErrorEvent).message || "the connection failed"));
      socket.onclose = () => failure === "" ? resolve() : reject(new Error(failure));
    });
  } finally {
    clearTimeout(timer);
    await closed(socket);
  }
  if (length === 0) throw new Error("the connection was closed without an answer");
  return join(chunks, length);
}

/** Whether an answer that says its length is all there; one without ends with the connection. */
function isComplete(chunks: readonly Uint8Array[], length: number): boolean {
  const head = new TextDecoder("latin1").decode(chunks.length === 1 ? chunks[0] : join(chunks.slice(0, 4), undefined));
  const end = head.indexOf("\r\n\r\n");
  if (end < 0) return false;
  const declared = /\r\ncontent-length:\s*(\d+)/i.exec(head.slice(0, end));
  if (declared) return length >= end + 4 + Number(declared[1]);
  if (!/\r\ntransfer-encoding:\s*chunked/i.test(head.slice(0, end))) return false;
  const tail = chunks.at(-1)!;
  return new TextDecoder("latin1").decode(tail.subarray(-5)) === "0\r\n\r\n";
}

function join(
  chunks: readonly Uint8Array[],
  length = chunks.reduce((sum, chunk) => sum + chunk.length, 0),
): Uint8Array {
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

async function closed(socket: WebSocket): Promise<void> {
  if (socket.readyState === WebSocket.CLOSED) return;
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, 2000);
    socket.onmessage = socket.onerror = null;
    socket.onclose = () => {
      clearTimeout(timer);
      resolve();
    };
    socket.close();
  });
}

/** Reads an HTTP/1.1 response. @throws Error when it is none */
export function parseResponse(bytes: Uint8Array): PodResponse {
  const split = indexOf(bytes, "\r\n\r\n", 0);
  if (split < 0) throw new Error("the answer is not HTTP");
  const [statusLine, ...lines] = new TextDecoder("latin1").decode(bytes.subarray(0, split)).split("\r\n");
  const status = /^HTTP\/1\.[01] (\d{3})/.exec(statusLine);
  if (!status) throw new Error("the answer is not HTTP");
  const headers = new Map(lines.map((line) => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim()];
  }));
  const rest = bytes.subarray(split + 4);
  const chunked = /chunked/i.test(headers.get("transfer-encoding") ?? "");
  const declared = headers.get("content-length");
  if (declared !== undefined && rest.length < Number(declared)) throw new Error("the answer is cut short");
  const body = chunked ? dechunk(rest) : declared === undefined ? rest : rest.subarray(0, Number(declared));
  return { status: Number(status[1]), headers, body: new TextDecoder().decode(body) };
}

function dechunk(bytes: Uint8Array): Uint8Array {
  const parts: Uint8Array[] = [];
  for (let at = 0;;) {
    const end = indexOf(bytes, "\r\n", at);
    const size = end < 0 ? NaN : Number.parseInt(new TextDecoder("latin1").decode(bytes.subarray(at, end)), 16);
    if (Number.isNaN(size) || end + 2 + size > bytes.length) throw new Error("the answer is cut short");
    if (size === 0) return join(parts);
    parts.push(bytes.subarray(end + 2, end + 2 + size));
    at = end + 2 + size + 2;
  }
}

function indexOf(bytes: Uint8Array, text: string, from: number): number {
  const wanted = new TextEncoder().encode(text);
  for (let i = bytes.indexOf(wanted[0], from); i >= 0; i = bytes.indexOf(wanted[0], i + 1)) {
    if (wanted.every((byte, k) => bytes[i + k] === byte)) return i;
  }
  return -1;
}
