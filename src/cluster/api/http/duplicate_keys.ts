import { fieldPath, indexPath } from "../schema/schema.ts";

const LIMIT = 20;

/** Paths of object keys that occur more than once in a JSON text, which is known to be valid. */
export function findDuplicateKeys(text: string): string[] {
  const duplicates: string[] = [];
  let at = 0;

  const skipSpace = () => {
    while (at < text.length && text.charCodeAt(at) <= 0x20) at++;
  };
  const skipString = (): string => {
    const start = at++;
    while (text[at] !== '"') at += text[at] === "\\" ? 2 : 1;
    at++;
    return text.slice(start, at);
  };
  const value = (path: string): void => {
    skipSpace();
    if (text[at] === "{") {
      at++;
      const seen = new Set<string>();
      for (skipSpace(); text[at] !== "}"; skipSpace()) {
        if (text[at] === ",") {
          at++;
          continue;
        }
        const raw = skipString();
        const key = raw.includes("\\") ? JSON.parse(raw) : raw.slice(1, -1);
        const inner = fieldPath(path, key);
        if (seen.has(key) && duplicates.length < LIMIT && !duplicates.includes(inner)) duplicates.push(inner);
        seen.add(key);
        skipSpace();
        at++; // the colon
        value(inner);
      }
      at++;
    } else if (text[at] === "[") {
      at++;
      let index = 0;
      for (skipSpace(); text[at] !== "]"; skipSpace()) {
        if (text[at] === ",") {
          at++;
          continue;
        }
        value(indexPath(path, index++));
      }
      at++;
    } else if (text[at] === '"') skipString();
    else while (at < text.length && !/[,\]}\s]/.test(text[at])) at++;
  };
  value("");
  return duplicates;
}
