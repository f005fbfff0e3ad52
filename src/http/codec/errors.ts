import { MeshError } from "../../core/errors.ts";
import type { StreamError, StreamErrorCode } from "../stream.ts";

/** Made without a stack: peers cause these all day. */
export function streamError(
  code: StreamErrorCode,
  message: string,
  source: "upstream" | "downstream" | "internal",
): StreamError {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 0;
  const error = new MeshError<StreamErrorCode>(code, message, { source });
  Error.stackTraceLimit = limit;
  return error;
}
