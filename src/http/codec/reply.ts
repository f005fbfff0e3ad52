import { fieldName, type Fields } from "../fields.ts";
import type { HttpVersion } from "../message.ts";
import { H1ResponseHead } from "./h1_head.ts";

const CONTENT_TYPE = fieldName("content-type");

/** The head of an answer made here, with a body of `length` bytes of text. */
export function replyHead(version: HttpVersion, status: number, fields: Fields, length: number): H1ResponseHead {
  if (length > 0 && !fields.has(CONTENT_TYPE)) {
    fields = fields.clone();
    fields.append(CONTENT_TYPE, "text/plain");
  }
  return new H1ResponseHead(version, status, fields, length);
}
