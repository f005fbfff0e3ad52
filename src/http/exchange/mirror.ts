// Copies of requests for mirrors: sent and forgotten.

import type { Reactor, SocketAddress, Timer } from "../../net/mod.ts";
import { tap, type TapHandler } from "../../net/mod.ts";
import type { Fields } from "../fields.ts";
import type { HttpVersion, RequestHead, ResponseHead } from "../message.ts";
import type { Attempt, AttemptHandler, Cluster, Host, UpstreamRequest } from "../upstream/mod.ts";

/** Copies under way at once; more are not made. */
const MOST = 1024;
/** For routes without a time-out of their own. */
const TIMEOUT_MS = 60_000;

let underWay = 0;

/** What is mirrored, as the exchange knows it. */
export interface MirrorSource {
  readonly head: RequestHead;
  readonly source: SocketAddress;
  readonly onBehalfOf: SocketAddress | null;
  readonly originalDestination: SocketAddress;
  readonly downstreamVersion: HttpVersion;
}

/** A request's body, complete. */
export interface MirrorBody {
  readonly chunks: readonly Uint8Array[];
  readonly trailers: Fields | null;
}

export const NO_BODY: MirrorBody = { chunks: [], trailers: null };

/** One copy on its way. Its answer is read and dropped. */
export class Mirrored implements AttemptHandler, UpstreamRequest, TapHandler {
  readonly head: RequestHead;
  readonly bodyEnded: boolean;
  readonly downstreamVersion: HttpVersion;
  readonly source: SocketAddress;
  readonly onBehalfOf: SocketAddress | null;
  readonly originalDestination: SocketAddress;
  readonly tried: readonly Host[] = [];
  readonly avoidPriorities = false;
  hash = -1;
  setCookie: string | null = null;
  readonly #chunks: readonly Uint8Array[];
  readonly #trailers: Fields | null;
  readonly #timer: Timer;
  #attempt: Attempt;
  #over = false;

  /** @param timeoutMs the route's; 0 for none */
  static send(reactor: Reactor, cluster: Cluster, of: MirrorSource, body: MirrorBody, timeoutMs: number): void {
    if (underWay >= MOST) return;
    new Mirrored(reactor, cluster, of, body, timeoutMs).#attempt.begin();
  }

  private constructor(reactor: Reactor, cluster: Cluster, of: MirrorSource, body: MirrorBody, timeoutMs: number) {
    const { chunks, trailers } = body;
    const { version, method, scheme, authority, path, fields, contentLength } = of.head;
    this.head = {
      version,
      method,
      scheme,
      authority,
      path,
      fields: fields.clone(),
      upgrade: "",
      contentLength,
      expectContinue: false,
    };
    this.bodyEnded = chunks.length === 0 && trailers === null && contentLength <= 0;
    this.downstreamVersion = of.downstreamVersion;
    this.source = of.source;
    this.onBehalfOf = of.onBehalfOf;
    this.originalDestination = of.originalDestination;
    this.#chunks = chunks;
    this.#trailers = trailers;
    this.#timer = reactor.setTimer(timeoutMs > 0 ? timeoutMs : TIMEOUT_MS, () => {
      this.#attempt.cancel();
      this.#end();
    });
    this.#attempt = cluster.attempt(this, this);
    underWay++;
  }

  onSent(attempt: Attempt): void {
    const stream = attempt.stream!;
    stream.body.monitor = this;
    if (this.bodyEnded) return;
    for (const chunk of this.#chunks) if (stream.open) stream.body.write(chunk);
    if (!stream.open) return;
    if (this.#trailers !== null) stream.sendTrailers(this.#trailers);
    else stream.body.finish();
  }

  onResponse(attempt: Attempt, _head: ResponseHead, ended: boolean): void {
    if (!ended && attempt.stream !== null) tap(attempt.stream.body, this);
  }

  onData(): void {}
  onInformational(): void {}
  onTrailers(): void {}
  onEndpointDone(): void {}

  onFailed(): void {
    this.#end();
  }

  onFinished(): void {
    this.#end();
  }

  #end(): void {
    if (this.#over) return;
    this.#over = true;
    underWay--;
    this.#timer.cancel();
  }
}
