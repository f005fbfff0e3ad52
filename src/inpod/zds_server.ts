import { sleep } from "../core/backoff.ts";
import { describeError, MeshError } from "../core/errors.ts";
import { libc } from "../sys/libc.ts";
import { listenSeqpacket, type SeqpacketConnection, type SeqpacketListener } from "../sys/seqpacket.ts";
import type { Logger } from "../telemetry/logger.ts";
import { duplicate } from "./descriptor.ts";
import { decodeAck, decodeHello, encodeRequest, type PodInfo, type ZdsRequest } from "./messages.ts";

/** A captured pod as the agent remembers it. */
export interface SnapshotPod {
  readonly uid: string;
  readonly info: PodInfo;
  /** Descriptor of its network namespace; undefined when it is not known (ztunnel then keeps what it has). */
  readonly netns: number | undefined;
}

export interface ZdsServerOptions {
  readonly path: string;
  /** The captured pods of this node, asked for at every new connection. */
  readonly snapshot: () => readonly SnapshotPod[];
  readonly logger: Logger;
  /** Told how many ztunnels are connected, and when a new one has taken its snapshot. */
  readonly onConnections?: (count: number) => void;
  readonly onSnapshot?: (accepted: ReadonlySet<string>) => void;
}

/** How long ztunnel may take to read a request or to answer it. */
const DEADLINE_MS = 5_000;
const MAX_CONNECTIONS_PER_SECOND = 5;

/** The agent's side of ZDS: any number of ztunnels (two during an upgrade), the newest of which gets new pods. */
export class ZdsServer {
  readonly #options: ZdsServerOptions;
  readonly #listener: SeqpacketListener;
  readonly #stop = new AbortController();
  #connections: ZdsPeer[] = [];
  readonly #accepting: Promise<void>;

  /** Listens at once. @throws MeshError `system` */
  constructor(options: ZdsServerOptions) {
    this.#options = options;
    this.#listener = listenSeqpacket(options.path);
    this.#accepting = this.#accept();
  }

  get connections(): number {
    return this.#connections.length;
  }

  /**
   * Hands a pod to the newest ztunnel and waits for its answer. The descriptor stays the caller's.
   *
   * @throws MeshError `zds_disconnected`, `zds_refused`
   */
  async add(pod: { uid: string; info: PodInfo; netns: number }): Promise<void> {
    const newest = this.#connections.at(-1);
    if (!newest) throw disconnected(`cannot hand over pod "${pod.uid}": no ztunnel is connected`);
    await newest.ask({ kind: "add", uid: pod.uid, info: pod.info }, pod.netns);
  }

  /** Tells every ztunnel that a pod has left. Failures are logged: a ztunnel that is gone proxies nothing. */
  async remove(uid: string): Promise<void> {
    await Promise.all(this.#connections.map((peer) =>
      peer.ask({ kind: "del", uid }).catch((thrown) => {
        this.#options.logger.warn("ztunnel did not take a removal", { uid, error: describeError(thrown) });
      })
    ));
  }

  /** Stops listening and closes every connection; ztunnels keep their pods and come back to the next agent. */
  async close(): Promise<void> {
    this.#stop.abort();
    this.#listener.close();
    for (const peer of this.#connections) peer.close();
    await this.#accepting;
    await Promise.all(this.#connections.map((peer) => peer.done));
  }

  async #accept(): Promise<void> {
    const { logger } = this.#options;
    while (!this.#stop.signal.aborted) {
      let connection: SeqpacketConnection | null;
      try {
        connection = await this.#listener.accept(this.#stop.signal);
      } catch (thrown) {
        if (this.#stop.signal.aborted) return;
        logger.error("cannot accept a ztunnel", { error: describeError(thrown) });
        await sleep(1000, this.#stop.signal);
        continue;
      }
      if (!connection) return;
      this.#add(connection);
      await sleep(1000 / MAX_CONNECTIONS_PER_SECOND, this.#stop.signal);
    }
  }

  #add(connection: SeqpacketConnection): void {
    const { logger, onConnections } = this.#options;
    const peer = new ZdsPeer(connection);
    void peer.done.then(() => {
      this.#connections = this.#connections.filter((other) => other !== peer);
      onConnections?.(this.#connections.length);
      logger.info("a ztunnel has disconnected", { connections: this.#connections.length });
    });
    void this.#greet(peer).catch((thrown) => {
      if (!this.#stop.signal.aborted) logger.warn("cannot serve a ztunnel", { error: describeError(thrown) });
      peer.close();
    });
  }

  /** Waits for the hello, then sends the snapshot. New pods queue behind it, so none is lost in between. */
  async #greet(peer: ZdsPeer): Promise<void> {
    await peer.hello();
    this.#connections.push(peer);
    this.#options.onConnections?.(this.#connections.length);
    const accepted = new Set<string>();
    const sent = this.#options.snapshot().map(async ({ uid, info, netns }) => {
      const request: ZdsRequest = netns === undefined ? { kind: "keep", uid } : { kind: "add", uid, info };
      try {
        await peer.ask(request, netns);
        accepted.add(uid);
      } catch (thrown) {
        this.#options.logger.warn("ztunnel did not take a pod", { uid, error: describeError(thrown) });
      }
    });
    sent.push(peer.ask({ kind: "snapshotSent" }));
    await Promise.all(sent);
    this.#options.logger.info("a ztunnel has taken the snapshot", { pods: sent.length - 1, accepted: accepted.size });
    this.#options.onSnapshot?.(accepted);
  }
}

/** One connected ztunnel: requests go out one at a time, and answers belong to them by order alone. */
class ZdsPeer {
  readonly done: Promise<void>;
  readonly #connection: SeqpacketConnection;
  readonly #closing = new AbortController();
  #tail: Promise<unknown> = Promise.resolve();
  #waiting: { resolve: (bytes: Uint8Array) => void; reject: (thrown: unknown) => void } | undefined;
  #end!: () => void;

  constructor(connection: SeqpacketConnection) {
    this.#connection = connection;
    this.done = new Promise((resolve) => this.#end = resolve);
    void this.#read();
  }

  /** The first packet. @throws MeshError `zds_bad_packet`, `zds_disconnected` */
  async hello(): Promise<void> {
    decodeHello(await this.#next("hello"));
  }

  /** Sends a request when those before it are answered. The descriptor is duplicated now: its number may be reused by then. */
  async ask(request: ZdsRequest, netns?: number): Promise<void> {
    const copy = netns === undefined ? undefined : duplicate(netns);
    const turn = this.#tail.then(() => this.#exchange(request, copy));
    this.#tail = turn.catch(() => {});
    try {
      await turn;
    } finally {
      if (copy !== undefined) libc.close(copy);
    }
  }

  close(): void {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort(disconnected("the connection to ztunnel has ended"));
    this.#waiting?.reject(disconnected("the connection to ztunnel has ended"));
    this.#waiting = undefined;
    this.#connection.close();
    this.#end();
  }

  async #exchange(request: ZdsRequest, netns: number | undefined): Promise<void> {
    if (this.#closing.signal.aborted) throw disconnected("the connection to ztunnel has ended");
    const answer = this.#next(request.kind);
    try {
      if (!this.#connection.trySend(encodeRequest(request), netns === undefined ? [] : [netns])) {
        throw disconnected("ztunnel does not read its requests");
      }
    } catch (thrown) {
      this.#waiting = undefined;
      answer.catch(() => {});
      throw thrown;
    }
    const error = decodeAck(await answer);
    if (error !== "") throw new MeshError("zds_refused", `ztunnel refused "${request.kind}": ${error}`);
  }

  /** The next packet, within the deadline. After a missed deadline answers would no longer match: the peer is closed. */
  #next(what: string): Promise<Uint8Array> {
    return new Promise<Uint8Array>((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(disconnected(`ztunnel did not answer "${what}" within ${DEADLINE_MS / 1000} s`));
        this.close();
      }, DEADLINE_MS);
      const settle = <T>(then: (value: T) => void) => (value: T) => {
        clearTimeout(timer);
        then(value);
      };
      this.#waiting = { resolve: settle(resolve), reject: settle(reject) };
    });
  }

  async #read(): Promise<void> {
    try {
      for (;;) {
        const message = await this.#connection.receive(this.#closing.signal);
        if (!message) return;
        const waiting = this.#waiting;
        // ztunnel has nothing to say unasked, and never sends descriptors.
        if (!waiting || message.fds.length > 0) {
          for (const fd of message.fds) libc.close(fd);
          return;
        }
        this.#waiting = undefined;
        waiting.resolve(message.bytes);
      }
    } catch {
      // Closed on either side; those who wait are told by close().
    } finally {
      this.close();
    }
  }
}

function disconnected(message: string): MeshError {
  return new MeshError("zds_disconnected", message, { source: "upstream", retryable: true });
}
