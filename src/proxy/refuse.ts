import { tap, type TcpSocket } from "../net/mod.ts";

/** Longest time between a refusal and its reset. */
const PATIENCE_MS = 100;

/**
 * Resets an accepted connection when the client has spoken, or a moment later when it has not. A reset that follows the
 * handshake at once is often seen as a failure to connect at all (curl exits 7), where a refusal by policy is known by a
 * reset while receiving (curl exits 56).
 */
export function refuse(socket: TcpSocket): void {
  if (!socket.open) return;
  const reset = () => {
    timer.cancel();
    socket.reset();
  };
  const timer = socket.reactor.setTimer(PATIENCE_MS, reset);
  socket.monitor = null;
  tap(socket, { onData: reset, onEnd: reset, onAbort: () => timer.cancel() });
}
