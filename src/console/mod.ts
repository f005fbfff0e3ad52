/** The console: who talks to whom in the mesh, read from the proxies' own metrics and drawn in a browser. */
export * from "./app.ts";
export * from "./config.ts";
