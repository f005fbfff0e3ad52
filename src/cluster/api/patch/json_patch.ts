import { ApiError } from "../../api_error.ts";
import { jsonEqual } from "../../store/freeze.ts";
import { define } from "./merge_patch.ts";

const OPERATION_LIMIT = 10_000;

/**
 * RFC 6902 on a private copy of `document`.
 *
 * @throws {ApiError} 400 where the patch is not one, 422 where it does not fit the document
 */
export function jsonPatch(document: unknown, patch: unknown): unknown {
  if (!Array.isArray(patch)) throw ApiError.badRequest("error decoding patch: a JSON patch is an array of operations");
  if (patch.length > OPERATION_LIMIT) {
    throw new ApiError(
      413,
      "RequestEntityTooLarge",
      `The allowed maximum operations in a JSON patch is ${OPERATION_LIMIT}, got ${patch.length}`,
    );
  }
  const root = { value: structuredClone(document) };
  for (const operation of patch) {
    if (typeof operation !== "object" || operation === null || typeof operation.path !== "string") {
      throw ApiError.badRequest("error decoding patch: an operation needs `op` and `path`");
    }
    const path = parsePointer(operation.path);
    switch (operation.op) {
      case "add":
        add(root, path, structuredClone(need(operation, "value")), operation.path);
        break;
      case "remove":
        remove(root, path, operation.path);
        break;
      case "replace":
        read(root, path, operation.path, "replace");
        put(root, path, structuredClone(need(operation, "value")));
        break;
      case "move": {
        const from = parsePointer(String(need(operation, "from")));
        const value = read(root, from, operation.from, "move");
        remove(root, from, operation.from);
        add(root, path, value, operation.path);
        break;
      }
      case "copy":
        add(
          root,
          path,
          structuredClone(read(root, parsePointer(String(need(operation, "from"))), operation.from, "copy")),
          operation.path,
        );
        break;
      case "test":
        if (!jsonEqual(readOrUndefined(root, path) ?? null, operation.value ?? null)) {
          throw unfit(`testing value ${operation.path} failed`);
        }
        break;
      default:
        throw ApiError.badRequest(`error decoding patch: unexpected operation ${JSON.stringify(operation.op)}`);
    }
  }
  return root.value;
}

type Root = { value: unknown };

function unfit(message: string): ApiError {
  return new ApiError(422, "Invalid", `the server rejected our request due to an error in our request: ${message}`);
}

function need(operation: any, name: string): unknown {
  if (!Object.hasOwn(operation, name)) {
    throw ApiError.badRequest(`error decoding patch: operation "${operation.op}" needs \`${name}\``);
  }
  return operation[name];
}

function parsePointer(pointer: string): string[] {
  if (pointer === "") return [];
  if (!pointer.startsWith("/")) throw ApiError.badRequest(`error decoding patch: "${pointer}" is not a JSON pointer`);
  return pointer.slice(1).split("/").map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
}

function child(parent: unknown, key: string): unknown {
  if (Array.isArray(parent)) return /^(0|[1-9]\d*)$/.test(key) ? parent[Number(key)] : undefined;
  if (typeof parent === "object" && parent !== null) {
    return Object.hasOwn(parent, key) ? (parent as any)[key] : undefined;
  }
  return undefined;
}

function readOrUndefined(root: Root, path: string[]): unknown {
  let value: unknown = root.value;
  for (const key of path) value = child(value, key);
  return value;
}

function read(root: Root, path: string[], pointer: string, op: string): unknown {
  const value = readOrUndefined(root, path);
  if (value === undefined) throw unfit(`${op} operation does not apply: doc is missing key: ${pointer}: missing value`);
  return value;
}

function parentOf(root: Root, path: string[], pointer: string): any {
  const parent = readOrUndefined(root, path.slice(0, -1));
  if (typeof parent !== "object" || parent === null) {
    throw unfit(`add operation does not apply: doc is missing path: "${pointer}": missing value`);
  }
  return parent;
}

function index(key: string, pointer: string, limit: number): number {
  if (!/^(0|[1-9]\d*)$/.test(key) || Number(key) > limit) throw unfit(`index ${key} is out of bounds in "${pointer}"`);
  return Number(key);
}

function add(root: Root, path: string[], value: unknown, pointer: string): void {
  if (path.length === 0) {
    root.value = value;
    return;
  }
  const parent = parentOf(root, path, pointer);
  const key = path[path.length - 1];
  if (Array.isArray(parent)) {
    parent.splice(key === "-" ? parent.length : index(key, pointer, parent.length), 0, value);
  } else define(parent, key, value);
}

function put(root: Root, path: string[], value: unknown): void {
  if (path.length === 0) {
    root.value = value;
    return;
  }
  const parent: any = readOrUndefined(root, path.slice(0, -1));
  const key = path[path.length - 1];
  if (Array.isArray(parent)) parent[Number(key)] = value;
  else define(parent, key, value);
}

function remove(root: Root, path: string[], pointer: string): void {
  if (path.length === 0) throw unfit("the whole document cannot be removed");
  const parent: any = readOrUndefined(root, path.slice(0, -1));
  const key = path[path.length - 1];
  if (child(parent, key) === undefined) {
    throw unfit(`remove operation does not apply: doc is missing key: ${pointer}: missing value`);
  }
  if (Array.isArray(parent)) parent.splice(Number(key), 1);
  else delete parent[key];
}
