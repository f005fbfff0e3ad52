// Answers made here: status, body and headers as Envoy gives them (reference: gateways.md, section 4).

import { fieldName, Fields } from "../fields.ts";
import { CONTENT_TYPE, encodeGrpcMessage, GRPC_MESSAGE, GRPC_STATUS, grpcStatusOf } from "../filters/mod.ts";
import type { UpstreamErrorCode } from "../upstream/types.ts";

export const SERVER = fieldName("server");
export const DATE = fieldName("date");
export const OVERLOADED = fieldName("x-envoy-overloaded");
export const LOCATION = fieldName("location");
export const SERVER_NAME = "istio-envoy";

/** The `date` header's text, made once a second. */
export class HttpDate {
  #second = -1;
  #text = "";

  /** @param now milliseconds since the epoch */
  text(now: number): string {
    const second = Math.floor(now / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#text = new Date(second * 1000).toUTCString();
    }
    return this.#text;
  }
}

/** The fields of a local answer; a body of text has its type. */
export function replyFields(date: string, body: string): Fields {
  const fields = new Fields();
  if (body !== "") fields.append(CONTENT_TYPE, "text/plain");
  fields.append(DATE, date);
  fields.append(SERVER, SERVER_NAME);
  return fields;
}

/** The same for a client that speaks gRPC: 200 with the status in a head that is also the end. */
export function grpcReplyFields(date: string, httpStatus: number, grpcStatus: number, message: string): Fields {
  const fields = new Fields();
  fields.append(CONTENT_TYPE, "application/grpc");
  fields.append(GRPC_STATUS, String(grpcStatus >= 0 ? grpcStatus : grpcStatusOf(httpStatus)));
  if (message !== "") fields.append(GRPC_MESSAGE, encodeGrpcMessage(message));
  fields.append(DATE, date);
  fields.append(SERVER, SERVER_NAME);
  return fields;
}

/** Envoy's words for why an upstream gave no answer. */
export function resetReason(code: UpstreamErrorCode): string {
  switch (code) {
    case "connection_failure":
      return "remote connection failure";
    case "connection_timeout":
      return "connection timeout";
    case "connection_termination":
      return "connection termination";
    case "reset":
      return "remote reset";
    case "refused":
      return "remote refused stream reset";
    case "overflow":
      return "overflow";
    case "protocol_error":
      return "protocol error";
    case "aborted":
    case "no_healthy_upstream":
      return "local reset";
  }
}

/** The 503's body when an upstream gave no answer. */
export function upstreamFailureText(code: UpstreamErrorCode, retried: boolean): string {
  if (code === "no_healthy_upstream") return "no healthy upstream";
  const reason = resetReason(code);
  return retried
    ? `upstream connect error or disconnect/reset before headers. retried and the latest reset reason: ${reason}`
    : `upstream connect error or disconnect/reset before headers. reset reason: ${reason}`;
}

/** Response code details of the same. */
export function upstreamFailureDetails(code: UpstreamErrorCode, answered: boolean): string {
  if (code === "no_healthy_upstream") return "no_healthy_upstream";
  const when = answered ? "after" : "before";
  return `upstream_reset_${when}_response_started{${resetReason(code).replaceAll(" ", "_")}}`;
}
