import { RE2JS } from "re2js";

const compiled = new Map<string, RE2JS | undefined>();

/** Whether a text contains a match of an RE2 pattern; a pattern that is not RE2 matches everything. */
export function matchesPattern(pattern: string, text: string): boolean {
  if (!compiled.has(pattern)) compiled.set(pattern, compilePattern(pattern));
  const expression = compiled.get(pattern);
  return expression === undefined || expression.matcher(text).find();
}

/** The compiled pattern, or undefined where it is not one: definitions are refused then, before objects meet it. */
export function compilePattern(pattern: string): RE2JS | undefined {
  try {
    return RE2JS.compile(pattern);
  } catch {
    return undefined;
  }
}
