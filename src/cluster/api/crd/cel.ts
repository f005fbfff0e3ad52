// The CEL evaluator, loaded when the first rules need it, with the functions that Kubernetes adds.

type CelModule = typeof import("@bufbuild/cel");

/** What a rule came to. `unsupported` rules use something that is not known here: they neither pass nor fail. */
export type CelOutcome = { value: unknown } | { failed: string } | { unsupported: string };

interface Engine {
  cel: CelModule;
  env: ReturnType<CelModule["celEnv"]>;
}

let loading: Promise<void> | undefined;
let engine: Engine | undefined;
const plans = new Map<string, ReturnType<CelModule["plan"]> | string>();
const PLAN_LIMIT = 2000;

/** Loads the evaluator; rules that meet an object before are reported as not evaluated. */
export function loadCel(): Promise<void> {
  return loading ??= (async () => {
    const [cel, { strings }] = await Promise.all([import("@bufbuild/cel"), import("@bufbuild/cel/ext")]);
    engine = { cel, env: cel.celEnv({ funcs: [...strings as any, ...kubernetesFunctions(cel)] } as any) };
  })();
}

/** The URL functions of Kubernetes' library; a URL is a map here. */
function kubernetesFunctions(cel: CelModule): unknown[] {
  const { STRING, BOOL, DYN } = cel.CelScalar;
  const map = cel.mapType(STRING, DYN);
  const parse = (text: string): URL | undefined => {
    if (text.startsWith("/")) return new URL(text, "relative://");
    return /^[A-Za-z][A-Za-z0-9+.-]*:/.test(text) && URL.canParse(text) ? new URL(text) : undefined;
  };
  const part = (name: string) =>
    cel.celMethod(name, map, [], STRING, function (this: any) {
      return String(this.get(name) ?? "");
    });
  return [
    cel.celFunc("isURL", [STRING], BOOL, (text: string) => parse(text) !== undefined),
    cel.celFunc("url", [STRING], map, (text: string) => {
      const url = parse(text);
      if (!url) throw new Error(`"${text}" is not a URL`);
      const relative = url.protocol === "relative:";
      return new Map([
        ["getScheme", relative ? "" : url.protocol.slice(0, -1)],
        ["getHost", url.host],
        ["getHostname", url.hostname],
        ["getPort", url.port],
        ["getEscapedPath", url.pathname],
      ]) as never;
    }),
    ...["getScheme", "getHost", "getHostname", "getPort", "getEscapedPath"].map(part),
  ];
}

/** Why an expression cannot be used, or undefined. Without the evaluator nothing is found. */
export function celProblem(expression: string): string | undefined {
  if (!engine) return undefined;
  const planned = planOf(engine, expression);
  return typeof planned === "string" ? planned : undefined;
}

function planOf({ cel, env }: Engine, expression: string): ReturnType<CelModule["plan"]> | string {
  let planned = plans.get(expression);
  if (planned === undefined) {
    try {
      planned = cel.plan(env, cel.parse(expression));
    } catch (error) {
      planned = error instanceof Error ? error.message : String(error);
    }
    if (plans.size >= PLAN_LIMIT) plans.clear();
    plans.set(expression, planned);
  }
  return planned;
}

/** Evaluates an expression over `self` and `oldSelf`. */
export function evaluateCel(expression: string, variables: Record<string, unknown>): CelOutcome {
  if (!engine) return { unsupported: "the evaluator is not loaded yet" };
  const planned = planOf(engine, expression);
  if (typeof planned === "string") return { unsupported: planned };
  try {
    const result = planned(variables as never);
    if (!engine.cel.isCelError(result)) return { value: result };
    return classify(result.message);
  } catch (error) {
    return classify(error instanceof Error ? error.message : String(error));
  }
}

/** Missing functions and overloads are shortcomings of this evaluator; what else goes wrong is the object's. */
function classify(message: string): CelOutcome {
  return /unbound function|no matching overload|unresolved attribute|no such overload/.test(message)
    ? { unsupported: message }
    : { failed: message };
}
