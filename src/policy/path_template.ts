// Path templates of AuthorizationPolicy: `/users/{*}/posts`, `/files/{**}`, `/a/{**}/z.txt`.

/** One part of a template: text that must be there, one segment, or any rest of the path. */
const enum Part {
  Text,
  Segment,
  Rest,
}

/** What no operator of Envoy's stands for. */
const NEVER = /["<>[\\\]^`{|}]/;

/**
 * A compiled template. `{*}` stands for one segment, not empty; `{**}` for any number of characters, slashes included, and is the last
 * operator, as Istio validates. Matching goes over the path once.
 */
export class PathTemplate {
  readonly #kinds: Part[] = [];
  readonly #texts: string[] = [];

  /** @returns undefined when `template` is not one */
  static parse(template: string): PathTemplate | undefined {
    if (!template.startsWith("/")) return undefined;
    const compiled = new PathTemplate();
    let text = "", rests = 0;
    const segments = template.slice(1).split("/");
    for (const segment of segments) {
      if (segment === "{*}" || segment === "{**}") {
        if (rests > 0) return undefined;
        compiled.#add(Part.Text, text + "/");
        text = "";
        compiled.#add(segment === "{*}" ? Part.Segment : Part.Rest, "");
        if (segment === "{**}") rests++;
      } else {
        if (/[{}*]/.test(segment)) return undefined;
        text += "/" + segment;
      }
    }
    if (text !== "") compiled.#add(Part.Text, text);
    return compiled;
  }

  #add(kind: Part, text: string): void {
    this.#kinds.push(kind);
    this.#texts.push(text);
  }

  /** @param strict operators stand for what Envoy's stand for, and not for `[`, `"`, …; otherwise for anything */
  matches(path: string, strict = true): boolean {
    let at = 0;
    for (let i = 0; i < this.#kinds.length; i++) {
      const kind = this.#kinds[i];
      if (kind === Part.Text) {
        if (!path.startsWith(this.#texts[i], at)) return false;
        at += this.#texts[i].length;
      } else if (kind === Part.Segment) {
        let end = path.indexOf("/", at);
        if (end < 0) end = path.length;
        if (end === at || (strict && NEVER.test(path.slice(at, end)))) return false;
        at = end;
      } else {
        // Nothing but text can follow.
        const tail = i + 1 < this.#texts.length ? this.#texts[i + 1] : "";
        return path.length - at >= tail.length && path.endsWith(tail) &&
          !(strict && NEVER.test(path.slice(at, path.length - tail.length)));
      }
    }
    return at === path.length;
  }
}
