import { fieldName, type Fields } from "../fields.ts";

const GRPC_STATUS = fieldName("grpc-status"), CONTENT_TYPE = fieldName("content-type");

/** Whether it is an answer whose outcome its trailers tell. */
export function isGrpc(fields: Fields): boolean {
  return fields.get(CONTENT_TYPE)?.startsWith("application/grpc") === true;
}

/** gRPC's code in headers or trailers; -1 when there is none. */
export function grpcStatusOf(fields: Fields): number {
  const text = fields.get(GRPC_STATUS);
  if (text === undefined || !/^\d{1,2}$/.test(text)) return -1;
  return Number(text);
}

/** The HTTP status that stands for a gRPC code (Envoy's grpcToHttpStatus), by code. */
const HTTP_OF_GRPC = [200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401];

export function statusOfGrpc(code: number): number {
  return HTTP_OF_GRPC[code] ?? 500;
}
