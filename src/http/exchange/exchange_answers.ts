// Answers that no backend gives: refusals and failures, redirects, fixed answers.

import type { FieldName, Fields } from "../fields.ts";
import { CorsOutcome, grpcStatusOf } from "../filters/mod.ts";
import type { CompiledRoute } from "./compiled_route.ts";
import { ExchangeAccount } from "./exchange_account.ts";
import { grpcReplyFields, LOCATION, replyFields } from "./local_reply.ts";

/** A request that we can answer ourselves. */
export abstract class ExchangeAnswers extends ExchangeAccount {
  /** The answer is ours: nothing more is wanted of a backend, of the request's body, or of its time. */
  protected abstract leaveBackend(): void;
  /** The exchange is over. Idempotent. */
  protected abstract finish(): void;

  protected noRoute(): void {
    this.reply(404, "", "NR", "route_not_found");
  }

  protected preflight(route: CompiledRoute, outcome: CorsOutcome): void {
    const fields = replyFields(this.date(), "");
    if (outcome === CorsOutcome.Preflight) route.cors!.preflight(this.head, fields);
    this.details = "cors_response";
    this.answer(200, fields, "");
  }

  protected redirect(status: number, location: string): void {
    const fields = replyFields(this.date(), "");
    fields.append(LOCATION, location);
    this.responseStatus = status;
    this.decorate(fields);
    this.details = "direct_response";
    this.answer(status, fields, "");
  }

  protected direct(route: CompiledRoute): void {
    const direct = route.direct!;
    const fields = replyFields(this.date(), direct.text);
    this.responseStatus = direct.status;
    this.decorate(fields);
    this.details = "direct_response";
    if (direct.bytes === null) return this.answer(direct.status, fields, direct.text);
    const stream = this.stream, { bytes } = direct;
    this.answered = true;
    this.responseFields = fields;
    stream.respond(
      { version: this.head.version, status: direct.status, fields, contentLength: bytes.length },
      bytes.length === 0,
    );
    if (!stream.open || bytes.length === 0 || this.head.method === "HEAD") return;
    stream.body.write(bytes);
    stream.body.finish();
  }

  /** @param flag Envoy's response flag; "" for none */
  protected reply(status: number, body: string, flag: string, details: string): void {
    if (flag !== "") this.flag(flag);
    this.replyWith(status, body, details, -1);
  }

  protected replyWith(status: number, body: string, details: string, grpcStatus: number, extra?: FieldName): void {
    this.details = details;
    let fields: Fields;
    if (this.grpc) {
      fields = grpcReplyFields(this.date(), status, grpcStatus, body);
      this.grpcStatus = grpcStatus >= 0 ? grpcStatus : grpcStatusOf(status);
    } else fields = replyFields(this.date(), body);
    if (extra !== undefined) fields.append(extra, "true");
    this.responseStatus = this.grpc ? 200 : status;
    this.decorate(fields);
    this.answer(this.grpc ? 200 : status, fields, this.grpc ? "" : body);
  }

  /** The response's changes by route and destination, and CORS. */
  protected decorate(fields: Fields): void {
    this.destination?.responseHeaders?.apply(fields, this);
    const route = this.route;
    if (route === null) return;
    route.responseHeaders?.apply(fields, this);
    if (this.corsOrigin !== null) route.cors!.decorate(this.corsOrigin, fields);
  }

  protected answer(status: number, fields: Fields, body: string): void {
    const stream = this.stream;
    this.answered = true;
    this.responseStatus = status;
    this.responseFields = fields;
    this.leaveBackend();
    stream.body.partner = null;
    if (stream.open) stream.reply(status, fields, body);
    else this.finish();
  }
}
