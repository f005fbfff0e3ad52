import type { WebSocket } from "ws";
import type { PodConnection } from "../../contracts.ts";
import { Channels } from "./channels.ts";
import { copyTo, describeDialFailure, type ForwardTarget } from "./port_forward.ts";

/**
 * Port forwarding over channels, as client-node does it: for port i, channel 2i carries data and channel 2i+1 errors, and
 * both begin with the port's number.
 */
export async function serveChannelForward(socket: WebSocket, ports: number[], target: ForwardTarget): Promise<void> {
  const channels = new Channels(socket);
  const connections: PodConnection[] = [];
  socket.on("close", () => {
    for (const connection of connections) connection.close();
  });
  await Promise.all(ports.map(async (port, i) => {
    const number = Uint8Array.of(port & 255, port >> 8);
    await channels.send(2 * i, number);
    await channels.send(2 * i + 1, number);
    const early: Uint8Array[] = [];
    let input = (bytes: Uint8Array) => void early.push(bytes.slice());
    channels.on(2 * i, (bytes) => input(bytes));
    try {
      const connection = await target.backend.dial(target.namespace, target.pod, port);
      connections.push(connection);
      const writer = connection.writable.getWriter();
      input = (bytes) => void writer.write(bytes.slice()).catch(() => {});
      for (const bytes of early) input(bytes);
      await copyTo(connection.readable, (bytes) => channels.send(2 * i, bytes));
      await writer.close().catch(() => {});
      connection.close();
    } catch (error) {
      if (socket.readyState === socket.OPEN) {
        await channels.send(2 * i + 1, new TextEncoder().encode(describeDialFailure(target, port, error)));
      }
    }
  }));
  if (socket.readyState === socket.OPEN) socket.close(1000);
}
