/** A failure of the Kubernetes API, thrown inside the embedded cluster and sent as a `Status` object. */
export class ApiError extends Error {
  constructor(
    readonly code: number,
    readonly reason: string,
    message: string,
    readonly details?: Record<string, unknown>,
  ) {
    super(message);
    this.name = "ApiError";
  }

  toStatus(): Record<string, unknown> {
    return {
      kind: "Status",
      apiVersion: "v1",
      metadata: {},
      status: "Failure",
      message: this.message,
      reason: this.reason,
      ...(this.details ? { details: this.details } : {}),
      code: this.code,
    };
  }

  static notFound(resource: string, group: string, name: string): ApiError {
    const qualified = group === "" ? resource : `${resource}.${group}`;
    return new ApiError(404, "NotFound", `${qualified} "${name}" not found`, { name, group, kind: resource });
  }

  static badRequest(message: string): ApiError {
    return new ApiError(400, "BadRequest", message);
  }

  static forbidden(message: string, details?: Record<string, unknown>): ApiError {
    return new ApiError(403, "Forbidden", message, details);
  }
}
