// One request from its head to the end of its answer.
//
//   head -> path -> policy -> route -> cors, fault -> destination -> attempt(s) -> answer -> account
//
// A state machine driven by the two codecs and by timers; it holds no bytes (but see request_relay.ts) and makes no promise. What
// is known of the request is in exchange_account.ts, answers of our own are in exchange_answers.ts; both are the same object, which is also the
// request that clusters take, so that one object is made per request.

import { type Endpoint, type EndpointMonitor, join, type Timer } from "../../net/mod.ts";
import { fieldName, type Fields } from "../fields.ts";
import {
  applyForwarding,
  CorsOutcome,
  drawAbort,
  drawDelay,
  drawShare,
  httpsLocation,
  httpStatusOf,
  isGrpc,
  normalizePath,
  redirectLocation,
  trustedClient,
} from "../filters/mod.ts";
import { hostOf } from "../match/mod.ts";
import type { ResponseHead } from "../message.ts";
import type { ServerStream, ServerStreamHandler, StreamError } from "../stream.ts";
import {
  type Attempt,
  type AttemptHandler,
  type Cluster,
  type Host,
  type UpstreamError,
  upstreamFlag,
  type UpstreamRequest,
} from "../upstream/mod.ts";
import { chooseDestination, type CompiledForward, type CompiledRoute } from "./compiled_route.ts";
import type { Downstream } from "./downstream.ts";
import type { HttpExchanges } from "./exchanges.ts";
import { ExchangeAnswers } from "./exchange_answers.ts";
import { GrpcMeter } from "./grpc_meter.ts";
import { DATE, OVERLOADED, SERVER, SERVER_NAME, upstreamFailureDetails, upstreamFailureText } from "./local_reply.ts";
import { Mirrored, NO_BODY } from "./mirror.ts";
import { REPLAY_BYTES, RequestRelay } from "./request_relay.ts";
import type { CompiledRetry } from "./retry.ts";
import type { ListenerRuntime } from "./runtime.ts";

const ATTEMPT_COUNT = fieldName("x-envoy-attempt-count");
const EXPECTED_TIMEOUT = fieldName("x-envoy-expected-rq-timeout-ms");
const ORIGINAL_PATH = fieldName("x-envoy-original-path");
const SERVICE_TIME = fieldName("x-envoy-upstream-service-time");
const EXPECT = fieldName("expect");
const ORIGIN = fieldName("origin");
const SET_COOKIE = fieldName("set-cookie");

const NOBODY: readonly Host[] = [];

export class Exchange extends ExchangeAnswers
  implements ServerStreamHandler, AttemptHandler, UpstreamRequest, EndpointMonitor {
  // --- links of the engine's list
  next: Exchange | null = null;
  previous: Exchange | null = null;

  // --- attempts
  #forward: CompiledForward | null = null;
  #attempt: Attempt | null = null;
  #attemptStart = 0;
  tried: Host[] | readonly Host[] = NOBODY;
  hash = -1;
  setCookie: string | null = null;
  #holdsRetry = false;
  #retriedStale = false;
  #bodyAttached = false;
  #earlyTrailers: Fields | null = null;
  #relay: RequestRelay | null = null;
  /** The client's body, or the meter that stands for it. */
  #client: Endpoint;
  #over = false;
  #requestTimer: Timer | null = null;
  #tryTimer: Timer | null = null;
  #waitTimer: Timer | null = null;

  constructor(engine: HttpExchanges, stream: ServerStream, downstream: Downstream, runtime: ListenerRuntime | null) {
    super(engine, stream, downstream, runtime);
    this.#client = stream.body;
  }

  get avoidPriorities(): boolean {
    return this.#forward?.retry?.avoidPriorities ?? false;
  }

  // --- before any backend

  /** @param refusal 404: no listener has the request's host; 421: another than `runtime` has, the client is to ask it (RFC 9110, 15.5.20) */
  start(refusal: 0 | 404 | 421): void {
    const stream = this.stream, head = this.head, runtime = this.runtimeOrNull;
    stream.handler = this;
    stream.body.monitor = this;
    this.engine.add(this);
    this.grpc = isGrpc(head.fields);
    this.hostname = hostOf(head.authority);
    if (runtime === null || refusal === 404) return this.noRoute();
    if (refusal === 421) return this.reply(421, "", "", "misdirected_request");
    const target = normalizePath(head.path, runtime.settings.pathNormalization);
    if (target === undefined) return this.reply(400, "", "", "path_normalization_failed");
    head.path = target;
    const question = target.indexOf("?");
    this.path = question < 0 ? target : target.slice(0, question);
    this.query = question < 0 ? "" : target.slice(question + 1);
    const { trustedProxies } = runtime.settings;
    this.remoteIp = trustedClient(head.fields, this.downstream, trustedProxies);
    this.requestId = applyForwarding(head.fields, this.downstream, trustedProxies);
    const decision = this.decision = runtime.policies.decide(this);
    if (decision.audited.length > 0 || decision.dryRun.length > 0) this.engine.observer?.onNoted(this, decision);
    if (!decision.allowed) return this.reply(403, "RBAC: access denied", "", decision.detail);
    if (runtime.config.httpsRedirect && this.downstream.scheme === "http") {
      return this.redirect(301, httpsLocation(head.authority, head.path));
    }
    this.#selectRoute(runtime);
  }

  #selectRoute(runtime: ListenerRuntime): void {
    const virtualHost = runtime.hosts.find(this.hostname);
    const index = virtualHost === null ? -1 : virtualHost.table.select(this);
    if (index < 0) return this.noRoute();
    const route = this.route = virtualHost!.routes[index];
    if (route.cors !== null) {
      const outcome = route.cors.judge(this.head);
      if (outcome === CorsOutcome.Preflight || outcome === CorsOutcome.Refused) return this.preflight(route, outcome);
      if (outcome === CorsOutcome.Allowed) this.corsOrigin = this.head.fields.get(ORIGIN)!;
    }
    const fault = route.route.fault;
    if (fault !== undefined) {
      const delay = drawDelay(fault, this.engine.random);
      if (delay > 0) {
        this.flag("DI");
        this.#waitTimer = this.engine.reactor.setTimer(delay, () => {
          this.#waitTimer = null;
          this.#afterDelay(route);
        });
        return;
      }
    }
    this.#afterDelay(route);
  }

  #afterDelay(route: CompiledRoute): void {
    const fault = route.route.fault;
    const abort = fault === undefined ? null : drawAbort(fault, this.engine.random);
    if (abort !== null) {
      this.flag("FI");
      const grpcStatus = abort.grpcStatus ?? -1;
      const status = abort.status ?? (grpcStatus >= 0 ? httpStatusOf(grpcStatus) : 503);
      return this.replyWith(status, "fault filter abort", "fault_filter_abort", grpcStatus);
    }
    if (route.forward !== null) this.#toBackend(route, route.forward);
    else if (route.redirect !== null) {
      const { localPort, scheme } = this.downstream, head = this.head;
      const location = redirectLocation(route.redirect, route.route.match.path, {
        scheme,
        authority: head.authority,
        path: head.path,
        listenerPort: localPort,
      });
      this.redirect(route.redirect.status, location);
    } else this.direct(route);
  }

  // --- to a backend

  #toBackend(route: CompiledRoute, forward: CompiledForward): void {
    const { head } = this, engine = this.engine;
    const destination = forward.totalWeight === 0 ? null : chooseDestination(forward, engine.random);
    if (destination === null) return this.reply(500, "", "", "direct_response");
    if (destination.invalid !== 0) return this.reply(destination.invalid, "", "", "direct_response");
    const cluster = engine.clusters.get(destination.name);
    if (cluster === undefined) return this.reply(503, "", "NC", "cluster_not_found");
    this.#forward = forward;
    this.destination = destination;
    this.cluster = cluster;
    destination.requestHeaders?.applyToRequest(head, this);
    route.requestHeaders?.applyToRequest(head, this);
    if (forward.rewrite !== null) {
      const before = head.path;
      forward.rewrite.apply(head);
      if (head.path !== before) {
        this.originalPath = before;
        head.fields.set(ORIGINAL_PATH, before);
      }
    }
    if (head.expectContinue) head.fields.remove(EXPECT);
    const { retry, timeoutMs } = forward;
    const perTry = retry === null ? 0 : retry.perTryTimeoutMs;
    if (timeoutMs > 0 || perTry > 0) {
      const expected = perTry > 0 && (timeoutMs === 0 || perTry < timeoutMs) ? perTry : timeoutMs;
      head.fields.set(EXPECTED_TIMEOUT, String(expected));
    }
    if (this.grpc && engine.observer !== null) this.#client = this.meter = new GrpcMeter(this.stream.body);
    this.trace = engine.observer === null ? null : engine.observer.trace(head);
    if (timeoutMs > 0) {
      this.#requestTimer = engine.reactor.setTimer(timeoutMs, () => {
        this.#requestTimer = null;
        this.#onTimeout("response_timeout");
      });
    }
    this.#begin(cluster);
    if (forward.mirrors.length > 0 && !this.#over && this.stream.requestEnded) this.#mirror(null);
  }

  #begin(cluster: Cluster): void {
    this.attempts++;
    this.head.fields.set(ATTEMPT_COUNT, this.attempts === 1 ? "1" : String(this.attempts));
    this.#attemptStart = this.engine.reactor.now;
    const attempt = this.#attempt = cluster.attempt(this, this);
    const perTry = this.#forward!.retry === null ? 0 : this.#forward!.retry.perTryTimeoutMs;
    if (perTry > 0) {
      this.#tryTimer = this.engine.reactor.setTimer(perTry, () => {
        this.#tryTimer = null;
        this.#onTryTimeout();
      });
    }
    attempt.begin();
  }

  onSent(attempt: Attempt): void {
    if (attempt !== this.#attempt) return;
    const target = attempt.stream!;
    target.body.monitor ??= this;
    this.upstreamHost = attempt.host;
    this.upstreamLocal = attempt.localAddress;
    if (this.bodyEnded) return;
    if (!this.#bodyAttached) {
      this.#bodyAttached = true;
      // Trailers that came before there was anywhere to send the body wait in the relay for the body to have gone.
      if (this.#earlyTrailers === null && !this.#needsCopy()) return join(this.#client, target.body);
      this.#relay = new RequestRelay(this.#client, this);
      this.#relay.trailers = this.#earlyTrailers;
    }
    this.#relay!.attach(target);
  }

  /** Whether the body may be wanted a second time, and may be short enough for it. */
  #needsCopy(): boolean {
    const { retry, mirrors } = this.#forward!;
    return ((retry !== null && retry.retries > 0) || mirrors.length > 0) && this.head.contentLength <= REPLAY_BYTES;
  }

  onRequestTrailers(_stream: ServerStream, trailers: Fields): void {
    if (this.#relay !== null) this.#relay.trailers = trailers;
    else if (this.#bodyAttached) this.#attempt?.stream?.sendTrailers(trailers);
    else this.#earlyTrailers = trailers;
  }

  /** The relay: the request is complete. */
  onRequestBodyEnd(): void {
    const relay = this.#relay;
    if (relay !== null && !relay.overflowed && this.#forward!.mirrors.length > 0) this.#mirror(relay);
  }

  #mirror(relay: RequestRelay | null): void {
    const engine = this.engine;
    for (const { destination, millionths } of this.#forward!.mirrors) {
      if (!drawShare(millionths, engine.random)) continue;
      const cluster = engine.clusters.get(destination);
      if (cluster !== undefined) {
        Mirrored.send(engine.reactor, cluster, this, relay ?? NO_BODY, this.#forward!.timeoutMs);
      }
    }
  }

  // --- from the backend

  onInformational(attempt: Attempt, status: number, fields: Fields): void {
    // The codec itself says 100 when the body is wanted.
    if (attempt === this.#attempt && status !== 100 && !this.answered) this.stream.inform(status, fields);
  }

  onResponse(attempt: Attempt, response: ResponseHead, ended: boolean): void {
    if (attempt !== this.#attempt) return;
    this.#endTry();
    const retry = this.#forward!.retry;
    if (retry !== null && retry.afterResponse(response)) {
      if (this.#mayRetry()) {
        attempt.cancel();
        return this.#retry(attempt.host);
      }
      this.#flagExhausted(retry);
    }
    const now = this.engine.reactor.now;
    this.answered = true;
    this.upstreamMs = now - this.#attemptStart;
    this.details = "via_upstream";
    const { fields } = response;
    fields.set(SERVER, SERVER_NAME);
    if (!fields.has(DATE)) fields.append(DATE, this.date());
    fields.set(SERVICE_TIME, String(Math.round(this.upstreamMs)));
    if (this.setCookie !== null) fields.append(SET_COOKIE, this.setCookie);
    const { status } = response;
    this.responseStatus = status;
    this.decorate(fields);
    this.responseFields = fields;
    if (this.grpc) this.noteGrpcStatus(fields);
    const stream = this.stream;
    // What was agreed on may go on for days. (The codecs say 101 for HTTP/2's extended CONNECT, too.)
    if (status === 101) this.#cancelRequestTimer();
    stream.respond(response, ended);
    if (ended || !stream.open || attempt.stream === null) return;
    this.#joinResponse(attempt);
  }

  #joinResponse(attempt: Attempt): void {
    const body = attempt.stream!.body, relay = this.#relay;
    if (relay === null) {
      if (body.partner === null) join(this.#client, body);
      return;
    }
    relay.answering = true;
    if ((relay.ended || relay.overflowed) && relay.idle) {
      this.#relay = null;
      join(this.#client, body);
    } else body.resume();
  }

  onTrailers(attempt: Attempt, trailers: Fields): void {
    if (attempt !== this.#attempt) return;
    if (this.grpc) this.noteGrpcStatus(trailers);
    this.stream.sendTrailers(trailers);
  }

  onFinished(subject: Attempt | ServerStream): void {
    if (subject !== this.stream) return;
    // The client has the whole answer, so the backend is at its end, too, and its stream is about to say so. To give it up would cost the
    // connection: HTTP/2 tells of this end while the backend's is still being passed on.
    const attempt = this.#attempt;
    this.#attempt = null;
    if (attempt !== null && !attempt.over) this.engine.linger(attempt);
    this.finish();
  }

  onFailed(attempt: Attempt, error: UpstreamError): void {
    if (attempt !== this.#attempt) return;
    this.#endTry();
    const { code } = error;
    this.upstreamFailure = error.message;
    if (attempt.host !== null) this.upstreamHost = attempt.host;
    if (this.answered) {
      return this.#breakOff(upstreamFlag(code) === "UR" ? "UR" : "UC", upstreamFailureDetails(code, true));
    }
    const retry = this.#forward!.retry;
    const wanted = retry !== null && retry.afterFailure(code, attempt.stream !== null);
    if (wanted && this.#mayRetry()) return this.#retry(attempt.host);
    if (!wanted && this.#mayRepeatStale(attempt, code)) return this.#again();
    if (wanted) this.#flagExhausted(retry);
    this.#attempt = null;
    this.flag(upstreamFlag(code));
    const retried = this.attempts > 1;
    this.details = upstreamFailureDetails(code, false);
    const status = code === "protocol_error" ? 502 : 503;
    this.replyWith(
      status,
      upstreamFailureText(code, retried),
      this.details,
      -1,
      code === "overflow" ? OVERLOADED : undefined,
    );
  }

  #onTryTimeout(): void {
    const attempt = this.#attempt;
    if (attempt === null || this.answered || this.#over) return;
    attempt.cancel(true);
    this.#endTry();
    this.upstreamHost = attempt.host;
    const retry = this.#forward!.retry!;
    if (retry.afterTimeout) {
      if (this.#mayRetry()) return this.#retry(attempt.host);
      this.#flagExhausted(retry);
    }
    this.#attempt = null;
    this.reply(504, "upstream request timeout", "UT", "upstream_per_try_timeout");
  }

  #onTimeout(details: string): void {
    if (this.#over) return;
    this.#dropAttempt(true);
    if (this.answered) return this.#breakOff("UT", details);
    this.reply(504, "upstream request timeout", "UT", details);
  }

  /** The engine: no byte has moved for too long. */
  onIdle(): void {
    if (this.#over) return;
    this.#dropAttempt(true);
    if (this.answered) return this.#breakOff("SI", "stream_idle_timeout");
    // 408 tells a client that has not sent everything to try again (Envoy does the same).
    const complete = this.stream.requestEnded || this.#relay?.ended === true;
    this.reply(complete ? 504 : 408, "stream timeout", "SI", "stream_idle_timeout");
  }

  // --- again

  /** Whether the request can be made once more: attempts left, the body at hand, and the cluster willing. */
  #mayRetry(): boolean {
    return this.attempts <= this.#forward!.retry!.retries && this.#replayable && this.#acquireRetry();
  }

  /** An attempt that deserved another one was the last of several that were allowed. */
  #flagExhausted(retry: CompiledRetry): void {
    if (retry.retries > 0 && this.attempts > retry.retries) this.flag("URX", true);
  }

  get #replayable(): boolean {
    return this.stream.requestEnded || !this.#bodyAttached || (this.#relay !== null && !this.#relay.overflowed);
  }

  #acquireRetry(): boolean {
    this.#holdsRetry = this.cluster!.acquireRetry();
    if (!this.#holdsRetry) this.flag("UO");
    return this.#holdsRetry;
  }

  /** A kept connection that had ended before its use says nothing about the host: an idempotent request goes out again. */
  #mayRepeatStale(attempt: Attempt, code: string): boolean {
    if (this.#retriedStale || !attempt.staleConnection || !this.#replayable) return false;
    if (code !== "reset" && code !== "connection_termination") return false;
    const { method } = this.head;
    if (method !== "GET" && method !== "HEAD" && method !== "OPTIONS" && method !== "PUT" && method !== "DELETE") {
      return false;
    }
    return this.#retriedStale = true;
  }

  #retry(host: Host | null): void {
    if (host !== null) {
      if (this.tried === NOBODY) this.tried = [host];
      else (this.tried as Host[]).push(host);
    }
    const wait = this.#forward!.retry!.wait(this.attempts, this.engine.random);
    this.#relay?.detach();
    this.#attempt = null;
    this.#waitTimer = this.engine.reactor.setTimer(wait, () => {
      this.#waitTimer = null;
      if (!this.#over) this.#begin(this.cluster!);
    });
  }

  #again(): void {
    this.#relay?.detach();
    this.#attempt = null;
    this.attempts--;
    this.#begin(this.cluster!);
  }

  /** An attempt has come to an outcome. */
  #endTry(): void {
    if (this.#tryTimer !== null) {
      this.#tryTimer.cancel();
      this.#tryTimer = null;
    }
    if (this.#holdsRetry) {
      this.#holdsRetry = false;
      this.cluster!.releaseRetry();
    }
  }

  /** The answer cannot be completed: the client must notice. */
  #breakOff(flag: string, details: string): void {
    this.flag(flag);
    this.details = details;
    this.#attempt = null;
    if (this.stream.open) this.stream.reset();
    this.finish();
  }

  // --- endings

  onAborted(_stream: ServerStream, error: StreamError): void {
    if (this.#over) return;
    this.#dropAttempt(false);
    const peers = error.code === "protocol_error";
    this.flag(peers ? "DPE" : "DC");
    if (!this.answered || this.details === "via_upstream") {
      this.details = peers ? "downstream_protocol_error" : "downstream_remote_disconnect";
    }
    this.finish();
  }

  /** The proxy ends. */
  giveUp(): void {
    if (this.#over) return;
    this.#dropAttempt(false);
    if (this.stream.open) this.stream.reset();
    this.finish();
  }

  /** What becomes of either body is told by its stream. */
  onEndpointDone(): void {}

  #dropAttempt(timedOut: boolean): void {
    const attempt = this.#attempt;
    this.#attempt = null;
    this.#endTry();
    this.#waitTimer?.cancel();
    this.#waitTimer = null;
    this.#relay?.detach();
    attempt?.cancel(timedOut);
  }

  protected override leaveBackend(): void {
    this.#attempt = null;
    this.#cancelRequestTimer();
    this.#relay?.release();
    this.#relay = null;
    this.meter?.release();
  }

  #cancelRequestTimer(): void {
    this.#requestTimer?.cancel();
    this.#requestTimer = null;
  }

  protected override finish(): void {
    if (this.#over) return;
    this.#over = true;
    this.engine.remove(this);
    this.#cancelRequestTimer();
    if (this.#attempt !== null || this.#waitTimer !== null || this.#holdsRetry) this.#dropAttempt(false);
    this.#relay?.release();
    this.#relay = null;
    this.stopClock();
    if (this.runtimeOrNull !== null) this.engine.observer?.onRequest(this);
  }
}
