/** Whose fault a failure is, seen from the proxy or role that reports it. */
export type ErrorSource = "upstream" | "downstream" | "internal";

/** What every {@linkcode MeshError} carries beside its message. */
export interface MeshErrorOptions<Details = unknown> {
  source?: ErrorSource;
  retryable?: boolean;
  details?: Details;
  cause?: unknown;
}

/**
 * The one error class of the mesh. `code` is stable and belongs to a union that the throwing module declares;
 * the message says what was attempted, quotes values and ends without a full stop. An expected outcome, such as a
 * denial, is a value and never a MeshError.
 */
export class MeshError<Code extends string = string, Details = unknown> extends Error {
  readonly code: Code;
  readonly source: ErrorSource;
  readonly retryable: boolean;
  readonly details?: Details;

  constructor(code: Code, message: string, options: MeshErrorOptions<Details> = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "MeshError";
    this.code = code;
    this.source = options.source ?? "internal";
    this.retryable = options.retryable ?? false;
    this.details = options.details;
  }
}

/** The message of anything thrown, with the messages of its causes, for a log line or a terminal. */
export function describeError(thrown: unknown): string {
  const parts: string[] = [];
  let current: unknown = thrown;
  for (let depth = 0; current !== undefined && current !== null && depth < 8; depth++) {
    const message = current instanceof Error ? current.message || current.name : String(current);
    if (parts.length === 0 || !parts[parts.length - 1].includes(message)) parts.push(message);
    current = current instanceof Error ? current.cause : undefined;
  }
  return parts.join(": ");
}
