// Access log lines by Envoy's format strings, compiled once.

import { formatIp } from "../../core/ip.ts";
import { EMPTY_OPERATORS, FORMAT_PIECE } from "../../model/l7_names.ts";
import { formatSocketAddress } from "../../net/mod.ts";
import { type FieldName, fieldName, type Fields } from "../fields.ts";
import type { RequestRecord } from "../exchange/record.ts";

/** Istio's default text format. */
export const DEFAULT_TEXT_FORMAT: string =
  '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% ' +
  '%RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% ' +
  '%BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" ' +
  '"%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% ' +
  "%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n";

/** Istio's default JSON keys. */
export const DEFAULT_JSON_FORMAT: Readonly<Record<string, string>> = Object.freeze({
  start_time: "%START_TIME%",
  route_name: "%ROUTE_NAME%",
  method: "%REQ(:METHOD)%",
  path: "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
  protocol: "%PROTOCOL%",
  response_code: "%RESPONSE_CODE%",
  response_flags: "%RESPONSE_FLAGS%",
  response_code_details: "%RESPONSE_CODE_DETAILS%",
  connection_termination_details: "%CONNECTION_TERMINATION_DETAILS%",
  bytes_received: "%BYTES_RECEIVED%",
  bytes_sent: "%BYTES_SENT%",
  duration: "%DURATION%",
  upstream_service_time: "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%",
  x_forwarded_for: "%REQ(X-FORWARDED-FOR)%",
  user_agent: "%REQ(USER-AGENT)%",
  request_id: "%REQ(X-REQUEST-ID)%",
  authority: "%REQ(:AUTHORITY)%",
  upstream_host: "%UPSTREAM_HOST%",
  upstream_cluster: "%UPSTREAM_CLUSTER_RAW%",
  upstream_local_address: "%UPSTREAM_LOCAL_ADDRESS%",
  downstream_local_address: "%DOWNSTREAM_LOCAL_ADDRESS%",
  downstream_remote_address: "%DOWNSTREAM_REMOTE_ADDRESS%",
  requested_server_name: "%REQUESTED_SERVER_NAME%",
  upstream_transport_failure_reason: "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
});

/** The value of one operator; undefined where there is none (`-` in text, null in JSON). */
export type Operator = (record: RequestRecord) => string | number | undefined;

/** Text with operators in it. */
export interface CompiledFormat {
  /** Literal texts around the operators: one more than there are operators. */
  readonly texts: readonly string[];
  readonly operators: readonly Operator[];
  /** Operators that are not known; they say `-`. */
  readonly unknown: readonly string[];
}

/** Compiles `%OPERATOR(argument):length%`; `%%` is a percent sign. */
export function compileFormat(format: string): CompiledFormat {
  const texts: string[] = [], operators: Operator[] = [], unknown: string[] = [];
  let text = "";
  for (let at = 0; at < format.length;) {
    const percent = format.indexOf("%", at);
    if (percent < 0) {
      text += format.slice(at);
      break;
    }
    text += format.slice(at, percent);
    if (format[percent + 1] === "%") {
      text += "%";
      at = percent + 2;
      continue;
    }
    FORMAT_PIECE.lastIndex = percent;
    const found = FORMAT_PIECE.exec(format)!;
    if (found[1] === undefined) {
      unknown.push(format.slice(percent, percent + 40));
      text += "%";
      at = percent + 1;
      continue;
    }
    const operator = operatorOf(found[1], found[2] ?? "");
    if (!operator) unknown.push(found[0]);
    texts.push(text);
    text = "";
    operators.push(limited(operator ?? (() => undefined), found[3]));
    at = percent + found[0].length;
  }
  texts.push(text);
  return { texts, operators, unknown };
}

function limited(operator: Operator, length: string | undefined): Operator {
  if (length === undefined) return operator;
  const limit = Number(length);
  return (record) => {
    const value = operator(record);
    return typeof value === "string" && value.length > limit ? value.slice(0, limit) : value;
  };
}

/** One line of text. */
export function formatText(format: CompiledFormat, record: RequestRecord): string {
  const { texts, operators } = format;
  let line = texts[0];
  for (let i = 0; i < operators.length; i++) {
    const value = operators[i](record);
    line += value === undefined || value === "" ? "-" : value;
    line += texts[i + 1];
  }
  return line;
}

/** A header's value: what is missing is left out, as Envoy has it in headers. */
export function formatHeaderValue(format: CompiledFormat, record: RequestRecord): string {
  const { texts, operators } = format;
  let value = texts[0];
  for (let i = 0; i < operators.length; i++) {
    value += operators[i](record) ?? "";
    value += texts[i + 1];
  }
  return value;
}

/** One JSON value: a lone operator keeps its type. */
export function formatJsonValue(format: CompiledFormat, record: RequestRecord): string | number | null {
  const { texts, operators } = format;
  if (operators.length === 1 && texts[0] === "" && texts[1] === "") {
    const value = operators[0](record);
    return value === undefined || value === "" ? null : value;
  }
  return formatText(format, record);
}

const FLAGS_LONG: Readonly<Record<string, string>> = {
  UH: "NoHealthyUpstream",
  UF: "UpstreamConnectionFailure",
  UO: "UpstreamOverflow",
  NR: "NoRouteFound",
  NC: "NoClusterFound",
  URX: "UpstreamRetryLimitExceeded",
  UT: "UpstreamRequestTimeout",
  UC: "UpstreamConnectionTermination",
  UR: "UpstreamRemoteReset",
  UPE: "UpstreamProtocolError",
  DC: "DownstreamConnectionTermination",
  DPE: "DownstreamProtocolError",
  DI: "DelayInjected",
  FI: "FaultInjected",
  SI: "StreamIdleTimeout",
};

function operatorOf(name: string, argument: string): Operator | undefined {
  if (EMPTY_OPERATORS.has(name)) return () => undefined;
  switch (name) {
    case "START_TIME":
      return startTime(argument);
    case "REQ":
      return headers(argument, requestHeader);
    case "RESP":
      return headers(argument, (wanted) => (record) => record.responseFields?.get(fieldName(wanted)), true);
    case "PROTOCOL":
      return (record) => record.head?.version;
    case "RESPONSE_CODE":
      return (record) => record.responseStatus;
    case "RESPONSE_FLAGS":
      return (record) => record.flags || "-"; // Envoy has it as text in JSON, too.
    case "RESPONSE_FLAGS_LONG":
      return (record) => record.flags.split(",").map((flag) => FLAGS_LONG[flag] ?? flag).join(",");
    case "RESPONSE_CODE_DETAILS":
      return (record) => record.details;
    case "CONNECTION_TERMINATION_DETAILS":
      return (record) => record.head === null && record.details.startsWith("rbac_") ? record.details : undefined;
    case "UPSTREAM_TRANSPORT_FAILURE_REASON":
      return (record) => record.upstreamFailure === "" ? undefined : record.upstreamFailure.replaceAll('"', "'");
    case "BYTES_RECEIVED":
      return (record) => record.bytesReceived;
    case "BYTES_SENT":
      return (record) => record.bytesSent;
    case "DURATION":
      return (record) => Math.round(record.durationMs);
    case "RESPONSE_DURATION":
      return (record) => record.upstreamMs < 0 ? undefined : Math.round(record.upstreamMs);
    case "UPSTREAM_HOST":
      return (record) => record.upstreamHost?.name;
    case "UPSTREAM_CLUSTER":
    case "UPSTREAM_CLUSTER_RAW":
      return (record) => record.cluster?.name;
    case "UPSTREAM_LOCAL_ADDRESS":
      return (record) => record.upstreamLocal === null ? undefined : formatSocketAddress(record.upstreamLocal);
    case "UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT":
      return (record) => record.upstreamLocal?.address;
    case "UPSTREAM_REQUEST_ATTEMPT_COUNT":
      return (record) => record.attempts;
    case "DOWNSTREAM_LOCAL_ADDRESS":
      return (record) => record.downstream.localText;
    case "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT":
      return (record) => record.downstream.localAddress;
    case "DOWNSTREAM_LOCAL_PORT":
      return (record) => record.downstream.localPort;
    case "DOWNSTREAM_REMOTE_ADDRESS":
      return (record) => {
        const { remoteIp, downstream } = record;
        return remoteIp === undefined || remoteIp === downstream.peerIp
          ? downstream.peerText
          : `${formatIp(remoteIp)}:0`;
      };
    case "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT":
      return (record) => record.remoteIp === undefined ? record.downstream.peerAddress : formatIp(record.remoteIp);
    case "DOWNSTREAM_DIRECT_REMOTE_ADDRESS":
      return (record) => record.downstream.peerText;
    case "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT":
      return (record) => record.downstream.peerAddress;
    case "REQUESTED_SERVER_NAME":
      return (record) => record.downstream.sni;
    case "DOWNSTREAM_PEER_URI_SAN":
      return (record) => record.downstream.spiffeId ?? record.downstream.certificate?.uris.join(",");
    case "DOWNSTREAM_PEER_SUBJECT":
      return (record) => record.downstream.certificate?.subject;
    case "ROUTE_NAME":
      return (record) => record.routeName;
    case "HOSTNAME":
      return () => Deno.hostname();
    case "GRPC_STATUS":
      return grpcStatus(argument);
    case "GRPC_STATUS_NUMBER":
      return (record) => record.grpcStatus < 0 ? undefined : record.grpcStatus;
    case "TRACE_ID":
      return (record) => record.trace?.traceId;
    default:
      return undefined;
  }
}

const GRPC_NAMES = [
  "OK",
  "Canceled",
  "Unknown",
  "InvalidArgument",
  "DeadlineExceeded",
  "NotFound",
  "AlreadyExists",
  "PermissionDenied",
  "ResourceExhausted",
  "FailedPrecondition",
  "Aborted",
  "OutOfRange",
  "Unimplemented",
  "Internal",
  "Unavailable",
  "DataLoss",
  "Unauthenticated",
];

function grpcStatus(style: string): Operator {
  return ({ grpcStatus }) => {
    if (grpcStatus < 0) return undefined;
    if (style === "NUMBER") return grpcStatus;
    const name = GRPC_NAMES[grpcStatus] ?? String(grpcStatus);
    return style === "SNAKE_STRING" ? name.replace(/(?<=[a-z])[A-Z]/g, "_$&").toUpperCase() : name;
  };
}

/** `X?Y`: the second where the first is missing. */
function headers(argument: string, make: (name: string) => Operator, response = false): Operator {
  const [first, second] = argument.toLowerCase().split("?");
  if (response && first === "x-envoy-upstream-service-time") {
    return (record) =>
      record.upstreamMs < 0 || record.responseFields === null ? undefined : Math.round(record.upstreamMs);
  }
  const one = make(first);
  if (second === undefined || second === "") return one;
  const other = make(second);
  return (record) => one(record) ?? other(record);
}

function requestHeader(name: string): Operator {
  switch (name) {
    case ":method":
      return (record) => record.head?.method;
    case ":authority":
    case "host":
      return (record) => record.head?.authority;
    case ":scheme":
      return (record) => record.head?.scheme;
    case ":path":
      return (record) => record.head?.path;
    case "x-envoy-original-path":
      return (record) => record.originalPath === "" ? undefined : record.originalPath;
    case "x-request-id":
      return (record) => record.requestId;
  }
  const field: FieldName = fieldName(name);
  return (record) => record.head === null ? undefined : joined(record.head.fields, field);
}

const joined = (fields: Fields, name: FieldName) => fields.joined(name);

// --- time

/** The date and second of a log line are the same for many lines. */
function startTime(pattern: string): Operator {
  if (pattern !== "") return (record) => strftime(pattern, record.startTime);
  let second = -1, prefix = "";
  return ({ startTime }) => {
    const now = Math.floor(startTime / 1000);
    if (now !== second) {
      second = now;
      prefix = new Date(now * 1000).toISOString().slice(0, 20);
    }
    const ms = Math.floor(startTime) - now * 1000;
    return prefix + (ms < 10 ? "00" : ms < 100 ? "0" : "") + ms + "Z";
  };
}

/** The conversions of strftime that logs use, in UTC; `%3f`, `%6f`, `%9f` are fractions of the second. */
function strftime(pattern: string, time: number): string {
  const iso = new Date(time).toISOString();
  const fraction = iso.slice(20, 23).padEnd(9, "0");
  return pattern.replace(/%(\d?)([YmdHMSfsFTzZ])/g, (all, digits: string, letter: string) => {
    switch (letter) {
      case "Y":
        return iso.slice(0, 4);
      case "m":
        return iso.slice(5, 7);
      case "d":
        return iso.slice(8, 10);
      case "H":
        return iso.slice(11, 13);
      case "M":
        return iso.slice(14, 16);
      case "S":
        return iso.slice(17, 19);
      case "f":
        return fraction.slice(0, digits === "" ? 9 : Number(digits));
      case "s":
        return String(Math.floor(time / 1000));
      case "F":
        return iso.slice(0, 10);
      case "T":
        return iso.slice(11, 19);
      case "z":
        return "+0000";
      case "Z":
        return "UTC";
      default:
        return all;
    }
  });
}
