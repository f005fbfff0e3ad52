import * as h2 from "./constants.ts";

/** A value that no peer may send. */
export interface SettingProblem {
  readonly code: number;
  readonly name: string;
}

const problem = (code: number, name: string): SettingProblem => ({ code, name });
const PUSH = problem(h2.PROTOCOL_ERROR, "SETTINGS_ENABLE_PUSH");
/** Streams whose windows overflow, too. */
export const WINDOW_PROBLEM: SettingProblem = problem(h2.FLOW_CONTROL_ERROR, "SETTINGS_INITIAL_WINDOW_SIZE");
const FRAME = problem(h2.PROTOCOL_ERROR, "SETTINGS_MAX_FRAME_SIZE");
const CONNECT = problem(h2.PROTOCOL_ERROR, "SETTINGS_ENABLE_CONNECT_PROTOCOL");

/** What the peer has told of itself (RFC 9113, 6.5.2), and what counts until it does. */
export class PeerSettings {
  /** Bytes it takes on a new stream. */
  window: number = h2.DEFAULT_WINDOW;
  /** Streams it lets us have open at once. */
  maxStreams = 100;
  /** Longest frame it takes. */
  maxFrame: number = h2.DEFAULT_FRAME_SIZE;
  /** Bytes of its HPACK table. */
  headerTable = 4096;
  /** It takes CONNECT with `:protocol` (RFC 8441). */
  extendedConnect = false;

  constructor(readonly role: "client" | "server") {}

  /** Takes one setting; undefined when it is well. Unknown ones are ignored, and the header list size is advice. */
  apply(setting: number, value: number): SettingProblem | undefined {
    switch (setting) {
      case h2.SETTINGS_HEADER_TABLE_SIZE:
        this.headerTable = value;
        break;
      case h2.SETTINGS_ENABLE_PUSH:
        // This side is a client where `role` says so: a server must not offer to take pushes.
        if (value > 1 || (value === 1 && this.role === "client")) return PUSH;
        break;
      case h2.SETTINGS_MAX_CONCURRENT_STREAMS:
        this.maxStreams = value;
        break;
      case h2.SETTINGS_INITIAL_WINDOW_SIZE:
        if (value > h2.MAX_WINDOW) return WINDOW_PROBLEM;
        this.window = value;
        break;
      case h2.SETTINGS_MAX_FRAME_SIZE:
        if (value < h2.DEFAULT_FRAME_SIZE || value > h2.MAX_FRAME_SIZE) return FRAME;
        this.maxFrame = value;
        break;
      case h2.SETTINGS_ENABLE_CONNECT_PROTOCOL:
        if (value > 1 || (value === 0 && this.extendedConnect)) return CONNECT;
        this.extendedConnect = value === 1;
        break;
    }
    return undefined;
  }
}
