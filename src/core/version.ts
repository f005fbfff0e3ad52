import config from "../../deno.json" with { type: "json" };

/** The version of this build, as `version` prints it and as images are tagged. */
export const VERSION: string = config.version;
