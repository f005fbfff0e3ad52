import { Buffer } from "node:buffer";
import { closeGrpc, grpc } from "../../../identity/grpc.ts";
import type { Flags } from "./flags.ts";
import { goDuration } from "./flags.ts";

type Bytes = Uint8Array;

const raw = (path: string, responseStream = false) => ({
  path,
  requestStream: responseStream,
  responseStream,
  requestSerialize: (bytes: Bytes) => Buffer.from(bytes),
  requestDeserialize: (bytes: Bytes) => bytes,
  responseSerialize: (bytes: Bytes) => Buffer.from(bytes),
  responseDeserialize: (bytes: Bytes) => bytes,
});

/** fortio's own service, which answers with what it was sent, and the standard health service. Messages stay bytes. */
const PING: grpc.ServiceDefinition = { ping: raw("/fgrpc.PingServer/Ping"), chat: raw("/fgrpc.PingServer/Chat", true) };
const HEALTH: grpc.ServiceDefinition = { check: raw("/grpc.health.v1.Health/Check") };

/** `HealthCheckResponse{status: SERVING}` */
const SERVING = Uint8Array.of(8, 1);

/** Serves ping on a port until the signal; resolves to the exit code. */
export async function servePing(port: number, signal: AbortSignal): Promise<number> {
  const server = new grpc.Server();
  server.addService(PING, {
    ping: (call: any, answer: any) => {
      console.log(`Ping of ${call.request.length} bytes, authority ${call.getHost?.() ?? ""}`);
      const metadata = new grpc.Metadata();
      metadata.set("served-by", Deno.env.get("HOSTNAME") ?? "");
      call.sendMetadata(metadata);
      answer(null, call.request);
    },
    chat: (call: any) => {
      call.on("data", (bytes: Bytes) => call.write(bytes));
      call.on("end", () => call.end());
    },
  });
  server.addService(HEALTH, { check: (_call: unknown, answer: any) => answer(null, SERVING) });
  await new Promise<void>((resolve, reject) =>
    server.bindAsync(
      `0.0.0.0:${port}`,
      grpc.ServerCredentials.createInsecure(),
      (error) => error ? reject(error) : resolve(),
    )
  );
  console.log(`Fortio (ambientd) grpc 'ping' server listening on port ${port}`);
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
  await closeGrpc(server, 500);
  return 0;
}

/** `PingMessage{seq, payload}` */
function pingMessage(seq: number, payload: string): Bytes {
  const text = new TextEncoder().encode(payload);
  const varint = (value: number): number[] => value < 128 ? [value] : [value & 127 | 128, ...varint(value >>> 7)];
  return Uint8Array.from([8, ...varint(seq), ...(text.length > 0 ? [26, ...varint(text.length), ...text] : [])]);
}

/** `fortio grpcping`: unary calls to a ping server, with what became of each. */
export async function grpcPing(flags: Flags): Promise<number> {
  const [target] = flags.rest;
  const address = target.replace(/^[a-z]+:\/\//, "").replace(/\/$/, "");
  const count = Math.max(1, Number(flags.values.get("n") ?? 1));
  const Client = grpc.makeGenericClientConstructor(PING, "PingServer");
  const client = new Client(/:\d+$/.test(address) ? address : `${address}:8079`, grpc.credentials.createInsecure());
  const metadata = new grpc.Metadata();
  for (const line of flags.headers) metadata.set(line.split(":")[0].trim(), line.slice(line.indexOf(":") + 1).trim());
  const codes = new Map<string, number>(), micros: number[] = [], servers = new Map<string, number>();
  for (let seq = 1; seq <= count; seq++) {
    const since = performance.now();
    const deadline = Date.now() + (goDuration(flags.values.get("timeout") ?? "") ?? 5000);
    const code = await new Promise<string>((resolve) => {
      const message = pingMessage(seq, flags.values.get("payload") ?? "");
      const call = client.makeUnaryRequest(
        PING.ping.path,
        PING.ping.requestSerialize,
        PING.ping.responseDeserialize,
        message,
        metadata,
        { deadline },
        (error: any) => {
          if (error) console.log(`Error: ${error.message}`);
          resolve(error ? grpc.status[error.code] ?? "UNKNOWN" : "SERVING");
        },
      );
      call.on("metadata", (headers) => {
        for (const name of headers.get("served-by")) servers.set(String(name), (servers.get(String(name)) ?? 0) + 1);
      });
    });
    micros.push((performance.now() - since) * 1000);
    codes.set(code, (codes.get(code) ?? 0) + 1);
  }
  client.close();
  const average = micros.reduce((sum, one) => sum + one, 0) / count;
  console.log(`RTT histogram usec : count ${count} avg ${average.toFixed(1)} min ${Math.min(...micros).toFixed(0)}`);
  for (const [name, times] of servers) console.log(`Served by ${name} : ${times}`);
  for (const [code, times] of codes) console.log(`Ping ${code} : ${times}`);
  return codes.has("SERVING") ? 0 : 1;
}
