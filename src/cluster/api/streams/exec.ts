import type { WebSocket } from "ws";
import type { ExecSession } from "../../contracts.ts";
import { Channels } from "./channels.ts";
import { copyTo } from "./port_forward.ts";

const STDIN = 0;
const STDOUT = 1;
const STDERR = 2;
const ERROR = 3;
const RESIZE = 4;

/** The final message of an exec: success, or the exit code in the form that clients look for. */
export function exitStatus(code: number): Record<string, unknown> {
  if (code === 0) return { metadata: {}, status: "Success" };
  return {
    metadata: {},
    status: "Failure",
    message: `command terminated with non-zero exit code: exit status ${code}`,
    reason: "NonZeroExitCode",
    details: { causes: [{ reason: "ExitCode", message: String(code) }] },
  };
}

/** Who asked for a command, over whichever protocol. */
export interface ExecPeer {
  /** Standard input as it comes; null at its end. */
  onInput(take: (bytes: Uint8Array | null) => void): void;
  onResize(take: (bytes: Uint8Array) => void): void;
  onLeave(left: () => void): void;
  /** Resolves when the peer can take more. */
  send(output: "stdout" | "stderr", bytes: Uint8Array): Promise<void>;
  /** The command's status, and the end of everything. */
  finish(status: unknown): Promise<void>;
}

/** A peer behind a WebSocket, whose messages say by their first byte what they are. */
export function webSocketPeer(socket: WebSocket): ExecPeer {
  const channels = new Channels(socket);
  return {
    onInput: (take) => channels.on(STDIN, take, () => take(null)),
    onResize: (take) => channels.on(RESIZE, take),
    onLeave: (left) => void socket.on("close", left),
    send: (output, bytes) => channels.send(output === "stdout" ? STDOUT : STDERR, bytes),
    finish: async (status) => {
      await channels.send(ERROR, new TextEncoder().encode(JSON.stringify(status)));
      socket.close(1000);
    },
  };
}

/** Joins a session to a peer until the command ends or the peer leaves. */
export async function serveExec(peer: ExecPeer, start: () => Promise<ExecSession>): Promise<void> {
  // Input may come before the process is there.
  const early: (Uint8Array | null)[] = [];
  let input: (bytes: Uint8Array | null) => void = (bytes) => void early.push(bytes);
  peer.onInput((bytes) => input(bytes));
  let session: ExecSession;
  try {
    session = await start();
  } catch (error) {
    const toStatus = (error as { toStatus?(): unknown }).toStatus;
    await peer.finish(
      toStatus ? toStatus.call(error) : {
        metadata: {},
        status: "Failure",
        reason: "InternalError",
        message: error instanceof Error ? error.message : String(error),
        code: 500,
      },
    );
    return;
  }
  let left = false;
  peer.onLeave(() => {
    left = true;
    session.kill();
  });
  const writer = session.stdin?.getWriter();
  let order: Promise<unknown> = Promise.resolve();
  input = (bytes) => {
    if (!writer) return;
    order = order.then(() => bytes === null ? writer.close() : writer.write(bytes)).catch(() => {});
  };
  for (const bytes of early) input(bytes);
  peer.onResize((bytes) => {
    try {
      const { Width, Height } = JSON.parse(new TextDecoder().decode(bytes));
      if (Width > 0 && Height > 0) session.resize(Width, Height);
    } catch {
      // A size that cannot be read changes nothing.
    }
  });
  const outputs = [copyTo(session.stdout, (bytes) => peer.send("stdout", bytes)).catch(() => {})];
  if (session.stderr) outputs.push(copyTo(session.stderr, (bytes) => peer.send("stderr", bytes)).catch(() => {}));
  const code = await session.exit.catch(() => 137);
  await Promise.all(outputs);
  if (!left) await peer.finish(exitStatus(code));
  await order;
  await writer?.close().catch(() => {});
}
