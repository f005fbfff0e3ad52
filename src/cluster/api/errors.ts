import { ApiError } from "../api_error.ts";
import { type FieldError, qualified, type ResourceType } from "./types.ts";

// Failures with the reasons, codes and texts of a real API server: kubectl prints them and programs match on them.

export function alreadyExists(type: ResourceType, name: string): ApiError {
  return new ApiError(409, "AlreadyExists", `${qualified(type)} "${name}" already exists`, detailsOf(type, name));
}

export function notFound(type: ResourceType, name: string): ApiError {
  return ApiError.notFound(type.plural, type.group, name);
}

export function conflict(type: ResourceType, name: string, why: string): ApiError {
  return new ApiError(
    409,
    "Conflict",
    `Operation cannot be fulfilled on ${qualified(type)} "${name}": ${why}`,
    detailsOf(type, name),
  );
}

export const MODIFIED = "the object has been modified; please apply your changes to the latest version and try again";

export function invalid(kind: string, group: string, name: string, errors: FieldError[]): ApiError {
  const texts = errors.map((error) => `${error.field}: ${error.message}`);
  const text = texts.length === 1 ? texts[0] : `[${texts.join(", ")}]`;
  const qualifiedKind = group === "" ? kind : `${kind}.${group}`;
  return new ApiError(422, "Invalid", `${qualifiedKind} "${name}" is invalid: ${text}`, {
    name,
    group,
    kind,
    causes: errors.map((error) => ({
      reason: CAUSES[error.type],
      message: error.message,
      field: error.field,
    })),
  });
}

const CAUSES: Record<FieldError["type"], string> = {
  Required: "FieldValueRequired",
  Invalid: "FieldValueInvalid",
  NotSupported: "FieldValueNotSupported",
  Duplicate: "FieldValueDuplicate",
  Forbidden: "FieldValueForbidden",
  TooLong: "FieldValueTooLong",
  TooMany: "FieldValueTooMany",
  TypeInvalid: "FieldValueTypeInvalid",
};

export function methodNotAllowed(): ApiError {
  return new ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource");
}

export function expired(message: string): ApiError {
  return new ApiError(410, "Expired", message);
}

export function unknownPath(): ApiError {
  return new ApiError(404, "NotFound", "the server could not find the requested resource", {});
}

export function unauthorized(): ApiError {
  return new ApiError(401, "Unauthorized", "Unauthorized");
}

export function unsupportedMediaType(accepted: string[]): ApiError {
  return new ApiError(
    415,
    "UnsupportedMediaType",
    `the body of the request was in an unknown format - accepted media types include: ${accepted.join(", ")}`,
  );
}

export function notAcceptable(accepted: string[]): ApiError {
  return new ApiError(
    406,
    "NotAcceptable",
    `only the following media types are accepted: ${accepted.join(", ")}`,
  );
}

export function tooLarge(limit: number): ApiError {
  return new ApiError(413, "RequestEntityTooLarge", `Request entity too large: limit is ${limit}`);
}

export function internal(message: string): ApiError {
  return new ApiError(500, "InternalError", `Internal error occurred: ${message}`, {
    causes: [{ message }],
  });
}

export function serviceUnavailable(message: string): ApiError {
  return new ApiError(503, "ServiceUnavailable", message);
}

function detailsOf(type: ResourceType, name: string): Record<string, unknown> {
  return { name, group: type.group, kind: type.plural };
}

/** Shortcuts for the errors of one field, worded as Kubernetes' field package words them. */
export const field = {
  required(path: string, detail = ""): FieldError {
    return { type: "Required", field: path, message: `Required value${detail === "" ? "" : `: ${detail}`}` };
  },
  invalid(path: string, value: unknown, detail: string): FieldError {
    return { type: "Invalid", field: path, message: `Invalid value: ${show(value)}: ${detail}` };
  },
  notSupported(path: string, value: unknown, supported: readonly unknown[]): FieldError {
    const list = supported.map((item) => show(item)).join(", ");
    return {
      type: "NotSupported",
      field: path,
      message: `Unsupported value: ${show(value)}: supported values: ${list}`,
    };
  },
  duplicate(path: string, value: unknown): FieldError {
    return { type: "Duplicate", field: path, message: `Duplicate value: ${show(value)}` };
  },
  forbidden(path: string, detail: string): FieldError {
    return { type: "Forbidden", field: path, message: `Forbidden: ${detail}` };
  },
  immutable(path: string, value: unknown): FieldError {
    return { type: "Invalid", field: path, message: `Invalid value: ${show(value)}: field is immutable` };
  },
};

/** A value as it stands in a message. */
export function show(value: unknown): string {
  const text = typeof value === "string" ? JSON.stringify(value) : JSON.stringify(value) ?? "null";
  return text.length > 400 ? `${text.slice(0, 400)}…` : text;
}
