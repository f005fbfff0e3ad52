import type { Socket } from "node:net";

/** What the HTTP servers of Node have in common. */
interface Listening {
  listen(port: number, host: string, done: () => void): unknown;
  close(done: () => void): unknown;
  once(event: "error", listener: (error: Error) => void): unknown;
  on(event: "connection", listener: (socket: Socket) => void): unknown;
}

/** @returns what ends the server together with its connections */
export async function listen(server: Listening, port: number, what: string): Promise<() => Promise<void>> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "0.0.0.0", resolve);
  });
  console.log(`Starting server, listening on port ${port} (${what})`);
  return () =>
    new Promise((resolve) => {
      server.close(() => resolve());
      for (const socket of sockets) socket.destroy();
    });
}
