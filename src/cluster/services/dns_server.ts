import { createSocket, type RemoteInfo } from "node:dgram";
import type { EventEmitter } from "node:events";
import { createServer, type Socket } from "node:net";
import { MeshError } from "../../core/errors.ts";
import { answerQuery, type Zone } from "./dns.ts";

/** A TCP client that says nothing for this long is let go. */
const IDLE_MS = 10_000;
const MAX_CONNECTIONS = 512;
const TCP_MESSAGE_MAX = 65535;

export interface DnsServer {
  readonly port: number;
  close(): Promise<void>;
}

/**
 * Serves a zone over UDP and TCP.
 *
 * @param port 0 picks one
 * @throws MeshError `dns_listen` when the address is taken or not ours
 */
export async function serveDns(zone: Zone, hostname: string, port: number): Promise<DnsServer> {
  const udp = createSocket("udp4"), events = udp as unknown as EventEmitter, connections = new Set<Socket>();
  const fail = (cause: Error) => new MeshError("dns_listen", `cannot serve DNS on "${hostname}:${port}"`, { cause });
  await new Promise<void>((resolve, reject) => {
    events.once("error", (error) => reject(fail(error)));
    udp.bind(port, hostname, resolve);
  });
  events.removeAllListeners("error");
  // A client that is gone when its answer arrives makes the socket complain; the next one does not care.
  events.on("error", () => {});
  events.on("message", (message: Uint8Array, from: RemoteInfo) => {
    const answer = answerQuery(message, zone);
    if (answer) udp.send(answer, from.port, from.address, () => {});
  });
  const actual = udp.address().port;
  const tcp = createServer((socket) => {
    if (connections.size >= MAX_CONNECTIONS) return void socket.destroy();
    connections.add(socket);
    socket.once("close", () => connections.delete(socket));
    serveConnection(socket, zone);
  });
  try {
    await new Promise<void>((resolve, reject) => {
      (tcp as unknown as EventEmitter).once("error", (error: Error) => reject(fail(error)));
      tcp.listen(actual, hostname, resolve);
    });
  } catch (error) {
    await new Promise<void>((resolve) => udp.close(() => resolve()));
    throw error;
  }
  return {
    port: actual,
    async close() {
      for (const socket of connections) socket.destroy();
      await Promise.all([
        new Promise<void>((resolve) => udp.close(() => resolve())),
        new Promise<void>((resolve) => tcp.close(() => resolve())),
      ]);
    },
  };
}

/** Messages come one behind the other, each after its length in two bytes. */
function serveConnection(socket: Socket, zone: Zone): void {
  let buffered = new Uint8Array(0);
  socket.setTimeout(IDLE_MS, () => socket.destroy());
  socket.on("error", () => socket.destroy());
  socket.on("data", (chunk: Uint8Array) => {
    const all = new Uint8Array(buffered.length + chunk.length);
    all.set(buffered);
    all.set(chunk, buffered.length);
    let at = 0;
    while (all.length - at >= 2) {
      const length = all[at] << 8 | all[at + 1];
      if (all.length - at - 2 < length) break;
      const answer = answerQuery(all.subarray(at + 2, at + 2 + length), zone, TCP_MESSAGE_MAX);
      if (!answer) return void socket.destroy();
      socket.write(Uint8Array.of(answer.length >> 8, answer.length & 255));
      socket.write(answer);
      at += 2 + length;
    }
    buffered = all.slice(at);
    // Somebody who sends and never reads must not fill the memory.
    if (socket.writableLength > 1 << 20) socket.destroy();
  });
}
