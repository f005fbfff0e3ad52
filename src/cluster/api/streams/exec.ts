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

/** Joins a session to a WebSocket until the command ends or the client leaves. */
export async function serveExec(socket: WebSocket, start: () => Promise<ExecSession>): Promise<void> {
  const channels = new Channels(socket);
  const finish = async (status: unknown) => {
    await channels.send(ERROR, new TextEncoder().encode(JSON.stringify(status)));
    socket.close(1000);
  };
  // Input may come before the process is there.
  const early: (Uint8Array | null)[] = [];
  let input: (bytes: Uint8Array | null) => void = (bytes) => void early.push(bytes);
  channels.on(STDIN, (bytes) => input(bytes), () => input(null));
  let session: ExecSession;
  try {
    session = await start();
  } catch (error) {
    const toStatus = (error as { toStatus?(): unknown }).toStatus;
    await finish(
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
  socket.on("close", () => {
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
  channels.on(RESIZE, (bytes) => {
    try {
      const { Width, Height } = JSON.parse(new TextDecoder().decode(bytes));
      if (Width > 0 && Height > 0) session.resize(Width, Height);
    } catch {
      // A size that cannot be read changes nothing.
    }
  });
  const outputs = [copyTo(session.stdout, (bytes) => channels.send(STDOUT, bytes)).catch(() => {})];
  if (session.stderr) outputs.push(copyTo(session.stderr, (bytes) => channels.send(STDERR, bytes)).catch(() => {}));
  const code = await session.exit.catch(() => 137);
  await Promise.all(outputs);
  if (!left) await finish(exitStatus(code));
  await order;
  await writer?.close().catch(() => {});
}
