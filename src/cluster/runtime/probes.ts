import { Buffer } from "node:buffer";
import { connect as netConnect, type Socket } from "node:net";
import { connect as tlsConnect } from "node:tls";
import { PROBE_SOURCE } from "./fabric.ts";

/** What one attempt found; `message` is what the event Unhealthy says. */
export type ProbeResult = { ok: true } | { ok: false; message: string };

export interface ProbeTarget {
  /** The pod's address. */
  ip: string;
  /** The container's ports, for probes that name one. */
  ports: { name?: string; containerPort: number }[];
  /** Runs a command in the container. */
  exec(command: string[], timeoutMs: number): Promise<{ code: number; output: string }>;
  /** Where TCP probes come from; tests outside a fabric leave it out. */
  source?: string;
}

/** Longest part of an answer that is kept for a message. */
const BODY_MAX = 10 * 1024;

/** Carries out one attempt of a `livenessProbe`-like object. Never rejects. */
export async function probe(spec: any, target: ProbeTarget): Promise<ProbeResult> {
  const timeoutMs = (spec.timeoutSeconds ?? 1) * 1000;
  try {
    if (spec.exec) return await execProbe(spec.exec.command ?? [], target, timeoutMs);
    if (spec.httpGet) return await httpProbe(spec.httpGet, target, timeoutMs);
    if (spec.tcpSocket) return await tcpProbe(spec.tcpSocket, target, timeoutMs);
    if (spec.grpc) return await grpcProbe(spec.grpc, target, timeoutMs);
    return { ok: true };
  } catch (error) {
    return { ok: false, message: (error as Error).message };
  }
}

async function execProbe(command: string[], target: ProbeTarget, timeoutMs: number): Promise<ProbeResult> {
  const { code, output } = await target.exec(command, timeoutMs);
  return code === 0 ? { ok: true } : { ok: false, message: output.trim().slice(0, BODY_MAX) || `exit code ${code}` };
}

/** A port given as a number, as digits, or by the name a container port has. */
export function portOf(port: number | string, target: Pick<ProbeTarget, "ports">): number {
  const named = target.ports.find((one) => one.name === port)?.containerPort;
  const value = named ?? Number(port);
  if (!Number.isInteger(value) || value < 1 || value > 65535) throw new Error(`unknown port "${port}"`);
  return value;
}

function dial(host: string, port: number, target: ProbeTarget, timeoutMs: number): Promise<Socket> {
  const source = target.source ?? PROBE_SOURCE;
  return new Promise((resolve, reject) => {
    const socket = netConnect({ host, port, ...(source ? { localAddress: source } : {}) });
    const timer = setTimeout(() => {
      reject(new Error(`dial tcp ${host}:${port}: i/o timeout`));
      socket.destroy();
    }, timeoutMs);
    socket.once("connect", () => {
      clearTimeout(timer);
      resolve(socket);
    });
    socket.once("error", (error: any) => {
      clearTimeout(timer);
      const reason = error.code === "ECONNREFUSED" ? "connect: connection refused" : error.message;
      reject(new Error(`dial tcp ${host}:${port}: ${reason}`));
    });
  });
}

async function tcpProbe(spec: any, target: ProbeTarget, timeoutMs: number): Promise<ProbeResult> {
  const socket = await dial(spec.host || target.ip, portOf(spec.port, target), target, timeoutMs);
  await destroyed(socket);
  return { ok: true };
}

/**
 * One GET over a connection of its own. A status of 200 to 399 is success; redirects are not followed, as the kubelet does
 * with those that lead to another host.
 */
async function httpProbe(spec: any, target: ProbeTarget, timeoutMs: number): Promise<ProbeResult> {
  const host = spec.host || target.ip, port = portOf(spec.port, target);
  const started = Date.now();
  const raw = await dial(host, port, target, timeoutMs);
  const left = Math.max(1, timeoutMs - (Date.now() - started));
  const scheme = (spec.scheme ?? "HTTP").toUpperCase();
  let socket: Socket = raw;
  if (scheme === "HTTPS") socket = tlsConnect({ socket: raw, rejectUnauthorized: false }) as unknown as Socket;
  const headers = new Map<string, string>([
    ["host", `${host}:${port}`],
    ["user-agent", "kube-probe/1.34"],
    ["accept", "*/*"],
    ["connection", "close"],
  ]);
  for (const { name, value } of spec.httpHeaders ?? []) headers.set(String(name).toLowerCase(), String(value));
  const path = spec.path?.startsWith("/") ? spec.path : `/${spec.path ?? ""}`;
  const fields = [...headers].map(([name, value]) => `${name}: ${value}`.replace(/[\r\n]+/g, " "));
  const request = [`GET ${path.replace(/\s/g, "%20")} HTTP/1.1`, ...fields, "", ""].join("\r\n");
  try {
    const answer = await exchange(socket, request, left, `${scheme.toLowerCase()}://${host}:${port}${path}`);
    const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(answer)?.[1]);
    if (!status) return { ok: false, message: `malformed HTTP response "${answer.slice(0, 80)}"` };
    if (status >= 200 && status < 400) return { ok: true };
    return { ok: false, message: `HTTP probe failed with statuscode: ${status}` };
  } finally {
    await Promise.all([destroyed(raw), socket === raw ? undefined : destroyed(socket)]);
  }
}

/** Sends a request and reads until the head of the answer is complete. */
function exchange(socket: Socket, request: string, timeoutMs: number, url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = "";
    const timer = setTimeout(
      () =>
        reject(new Error(`Get "${url}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)`)),
      timeoutMs,
    );
    const finish = (action: () => void) => {
      clearTimeout(timer);
      action();
    };
    socket.on("data", (chunk: Uint8Array) => {
      answer += Buffer.from(chunk).toString("latin1");
      if (answer.includes("\r\n\r\n") || answer.length > BODY_MAX) finish(() => resolve(answer));
    });
    socket.on("end", () => finish(() => answer === "" ? reject(new Error(`Get "${url}": EOF`)) : resolve(answer)));
    socket.on("close", () => finish(() => answer === "" ? reject(new Error(`Get "${url}": EOF`)) : resolve(answer)));
    socket.on("error", (error: Error) => finish(() => reject(new Error(`Get "${url}": ${error.message}`))));
    socket.write(request);
  });
}

/** grpc.health.v1.Health/Check over HTTP/2 without TLS; SERVING (1) is success. */
async function grpcProbe(spec: any, target: ProbeTarget, timeoutMs: number): Promise<ProbeResult> {
  const { connect } = await import("node:http2");
  const port = portOf(spec.port, target), socket = await dial(target.ip, port, target, timeoutMs);
  const session = connect(`http://${target.ip}:${port}`, { createConnection: () => socket as any });
  try {
    return await new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error("timeout: health rpc did not complete")), timeoutMs);
      const finish = (result: ProbeResult | Error) => {
        clearTimeout(timer);
        if (result instanceof Error) reject(result);
        else resolve(result);
      };
      session.on("error", (error: Error) => finish(error));
      const stream = session.request({
        ":method": "POST",
        ":path": "/grpc.health.v1.Health/Check",
        "content-type": "application/grpc",
        te: "trailers",
      });
      const parts: Uint8Array[] = [];
      let status: unknown;
      stream.on("response", (headers: any) => status = headers["grpc-status"]);
      stream.on("trailers", (headers: any) => status = headers["grpc-status"]);
      stream.on("data", (chunk: Uint8Array) => parts.push(chunk));
      stream.on("error", (error: Error) => finish(error));
      stream.on("end", () => {
        const body = Buffer.concat(parts);
        if (status !== undefined && String(status) !== "0") {
          finish({ ok: false, message: `health rpc failed with grpc-status ${status}` });
        } else if (body.length >= 7 && body[5] === 8 && body[6] === 1) finish({ ok: true });
        else finish({ ok: false, message: "service unhealthy (responded with something else than SERVING)" });
      });
      const name = new TextEncoder().encode(spec.service ?? "");
      const message = name.length === 0 ? [] : [0x0a, name.length, ...name];
      stream.end(Buffer.from([0, 0, 0, 0, message.length, ...message]));
    });
  } finally {
    session.destroy();
    await destroyed(socket);
  }
}

function destroyed(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.on("error", () => {});
    if (socket.destroyed && socket.closed) return resolve();
    socket.once("close", () => resolve());
    socket.destroy();
  });
}
