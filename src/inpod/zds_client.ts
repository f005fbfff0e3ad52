import { Backoff, sleep } from "../core/backoff.ts";
import { describeError, MeshError } from "../core/errors.ts";
import { connectSeqpacket, type SeqpacketConnection } from "../sys/seqpacket.ts";
import { libc } from "../sys/libc.ts";
import type { Logger } from "../telemetry/logger.ts";
import { decodeRequest, encodeAck, encodeHello, type PodInfo, type ZdsRequest } from "./messages.ts";

/** ztunnel's side of what the agent asks for. Uids are Kubernetes pod UIDs. */
export interface PodHandler {
  /**
   * Starts proxying a pod; the handler owns the descriptor of its network namespace from here on.
   * A rejection is passed on to the agent, and the connection stays.
   */
  add(uid: string, info: PodInfo, netns: number): Promise<void>;
  /** Stops proxying a pod. */
  remove(uid: string): Promise<void> | void;
  /** The snapshot is complete: every pod it did not name has gone. */
  retain(named: ReadonlySet<string>): Promise<void> | void;
  /** The agent is connected (a snapshot follows) or has gone away; running pods go on either way. */
  connected?(isConnected: boolean): void;
}

export interface ZdsClientOptions {
  readonly path: string;
  readonly handler: PodHandler;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

/**
 * Keeps a connection to the CNI agent and does what it asks, one message at a time, until the signal aborts.
 *
 * @throws MeshError `zds_protocol` when the agent breaks the protocol: ztunnel then ends, to start again from nothing
 */
export async function runZdsClient({ path, handler, logger, signal }: ZdsClientOptions): Promise<void> {
  const backoff = new Backoff({ initialMs: 20, maxMs: 15_000 });
  while (!signal.aborted) {
    let connection: SeqpacketConnection | undefined;
    try {
      connection = connectSeqpacket(path);
      await connection.send(encodeHello(), [], signal);
      handler.connected?.(true);
      logger.info("connected to the CNI agent", { path });
      await serve(connection, handler, logger, signal, () => backoff.reset());
      logger.warn("the CNI agent closed the connection", { path });
    } catch (thrown) {
      if (signal.aborted) return;
      if (thrown instanceof MeshError && thrown.code === "zds_protocol") throw thrown;
      logger.warn("lost the CNI agent", { path, error: describeError(thrown) });
    } finally {
      connection?.close();
      handler.connected?.(false);
    }
    await sleep(backoff.next(), signal);
  }
}

async function serve(
  connection: SeqpacketConnection,
  handler: PodHandler,
  logger: Logger,
  signal: AbortSignal,
  settled: () => void,
): Promise<void> {
  const named = new Set<string>();
  let snapshot = true;
  for (;;) {
    const message = await connection.receive(signal);
    if (!message) return;
    const { fds } = message;
    let request: ZdsRequest;
    try {
      request = decodeRequest(message.bytes);
      checkDescriptors(request, fds.length);
      checkOrder(request, snapshot);
    } catch (thrown) {
      for (const fd of fds) libc.close(fd);
      await connection.send(encodeAck(describeError(thrown)), [], signal);
      throw thrown;
    }
    let error = "";
    try {
      switch (request.kind) {
        case "add":
          named.add(request.uid);
          await handler.add(request.uid, request.info!, fds[0]);
          break;
        case "keep":
          named.add(request.uid);
          break;
        case "del":
          // Before the end of the snapshot nothing of an earlier connection may stop yet: it only is not named.
          if (snapshot) named.delete(request.uid);
          else await handler.remove(request.uid);
          break;
        case "snapshotSent":
          snapshot = false;
          await handler.retain(named);
          settled();
      }
    } catch (thrown) {
      error = describeError(thrown) || "failed";
      logger.warn("cannot do what the CNI agent asks", { kind: request.kind, error });
    }
    await connection.send(encodeAck(error), [], signal);
  }
}

function checkDescriptors(request: ZdsRequest, count: number): void {
  const want = request.kind === "add" ? 1 : 0;
  if (count !== want) {
    throw new MeshError(
      "zds_bad_packet",
      `cannot take a ZDS "${request.kind}" with ${count} descriptors; want ${want}`,
    );
  }
}

function checkOrder(request: ZdsRequest, snapshot: boolean): void {
  if (request.kind === "add" && !request.info) {
    throw new MeshError("zds_protocol", `pod "${request.uid}" came without its name and service account`);
  }
  if (snapshot) return;
  if (request.kind === "keep" || request.kind === "snapshotSent") {
    throw new MeshError("zds_protocol", `a "${request.kind}" came after the snapshot`);
  }
}
